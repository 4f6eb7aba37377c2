"""Presets: what to run."""
