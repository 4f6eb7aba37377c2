"""The fault table in short: every fault strikes real runs, and none takes a step or changes a bit."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.faults.table import ROWS, Row, inject
from tests.faults.workshop import Workshop


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workshop]:
    """Where the undisturbed runs are made once, for all rows that come to this worker."""
    opened = Workshop(tmp_path_factory.mktemp("faults"), long=False)
    yield opened
    opened.close()


@pytest.mark.parametrize("row", ROWS, ids=[row.name for row in ROWS])
def test_a_fault_takes_no_step_and_changes_no_bit(shop: Workshop, row: Row) -> None:
    outcome = inject(shop, row)
    if outcome.skipped:
        pytest.skip(outcome.skipped)
    assert not outcome.failed, outcome.failed
    assert outcome.tried > 0 and outcome.runs > 0
    assert (outcome.lost, outcome.unlike) == (0, [])
