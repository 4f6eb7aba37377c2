"""How often screens that follow something take what is new, and draw."""

from __future__ import annotations

DRAIN_EVERY = 0.25


REDRAW_EVERY = 1.0
"""Seconds between two redraws while steps come in: most of what watching costs is painting."""


SOONEST = 0.5
"""Seconds after a redraw that other news waits for the next one."""
