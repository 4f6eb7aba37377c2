"""The start screen: presets and runs."""
