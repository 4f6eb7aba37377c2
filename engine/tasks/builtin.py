"""The tasks that have a name."""

from __future__ import annotations

from typing import Any

_SENTIMENT = {
    "template": "{sentence} It was",
    "label": "label",
    "verbalizer": {"0": "terrible", "1": "great"},
}

BUILTIN: dict[str, dict[str, Any]] = {
    "sst2": {
        **_SENTIMENT,
        "train": "stanfordnlp/sst2@train",
        "validation": "stanfordnlp/sst2@validation",
    },
    "demo": _SENTIMENT,  # the engine fills in the files that the demo makes
}
