"""Runs without a cockpit."""
