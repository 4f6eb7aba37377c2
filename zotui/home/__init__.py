"""What the user keeps: configuration and presets."""
