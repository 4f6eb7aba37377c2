"""The fault table in short: every fault strikes real runs, and none takes a step or changes a bit."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from .faults.table import ROWS, work
from .faults.trial import Outcome
from .faults.workshop import Workshop

NAMES = [row.name for row in ROWS]


@pytest.fixture(scope="module")
def table(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Outcome]]:
    """The rows that are asked for, worked on together: most of the time goes to starting engines."""
    here = [item for item in request.session.items if item.path == request.path]
    wanted = {name for item in here if (name := _row_of(item))}
    shop = Workshop(tmp_path_factory.mktemp("faults"), long=False)
    yield {row.name: outcome for row, outcome in work(shop, [row for row in ROWS if row.name in wanted])}
    shop.close()


def _row_of(item: Any) -> str:
    return item.callspec.params["name"] if hasattr(item, "callspec") else ""


@pytest.mark.parametrize("name", NAMES)
def test_a_fault_takes_no_step_and_changes_no_bit(table: dict[str, Outcome], name: str) -> None:
    outcome = table[name]
    if outcome.skipped:
        pytest.skip(outcome.skipped)
    assert not outcome.failed, outcome.failed
    assert outcome.tried > 0 and outcome.runs > 0
    assert (outcome.lost, outcome.unlike) == (0, [])
