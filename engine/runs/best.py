"""Which evaluation of a run is the best."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

LOWER_IS_BETTER = ("loss", "perplexity")


def best_evaluation(evaluations: Iterable[dict[str, Any]], metric: str = "accuracy") -> dict[str, Any] | None:
    """The record with the highest accuracy, or the best `metric`; of those the lowest loss, and the first of equals.

    None if there is none after the first step: the model as it came is not the run's doing.
    """
    later = (record for record in evaluations if record["step"] > 0)
    return max(later, key=lambda record: _merit(record["metrics"], metric), default=None)


def _merit(metrics: dict[str, float], metric: str) -> tuple[float, float]:
    sign = -1.0 if metric in LOWER_IS_BETTER else 1.0
    return sign * metrics.get(metric, -sign * math.inf), -metrics.get("loss", 0.0)
