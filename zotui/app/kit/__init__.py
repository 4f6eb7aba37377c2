"""The panes of the screens, one widget a file."""
