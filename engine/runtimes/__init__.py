"""Where probes are scored."""
