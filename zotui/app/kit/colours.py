"""The colours of how a run stands."""

from __future__ import annotations

COLOURS = {
    "live": "success",
    "paused": "warning",
    "finished": "primary",
    "stopped": "warning",
    "failed": "error",
    "crashed": "error",
    "new": "quiet",
}
