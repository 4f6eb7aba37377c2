"""Which evaluation of a run is the best."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any


def best_evaluation(evaluations: Iterable[dict[str, Any]]) -> dict[str, Any] | None:
    """The record with the highest accuracy, then the lowest loss; the first of equals.

    None if there is none after the first step: the model as it came is not the run's doing.
    """
    return max((record for record in evaluations if record["step"] > 0), key=_merit, default=None)


def _merit(record: dict[str, Any]) -> tuple[float, float]:
    metrics = record["metrics"]
    return metrics.get("accuracy", 0.0), -metrics.get("loss", 0.0)
