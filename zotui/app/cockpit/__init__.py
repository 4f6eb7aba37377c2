"""The screens: start, cockpit, and the dialogs over them."""
