"""The rows of the table, worked on several at a time, and how the table is printed."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from tests.faults import app, changes, clock, damage, disk, fuzz, kills, readers, signals, strangers, tail
from tests.faults.trial import Outcome
from tests.faults.workshop import Unavailable, Workshop


@dataclass(frozen=True)
class Row:
    """A fault; `alone` if it measures times, which others beside it would disturb."""

    name: str
    fault: str
    inject: Callable[[Workshop, Outcome], None]
    alone: bool = False


# Those that take longest come first.
ROWS = (
    Row("kills-vllm", "SIGKILL, vLLM", kills.vllm),
    Row("kills", "SIGKILL, training loop", kills.training_loop),
    Row("tail", "journal cut, garbage, zeros, last second lost", tail.torn),
    Row("signals", "INT, TERM, HUP, once and twice", signals.once_and_twice),
    Row("checkpoint", "newest checkpoint damaged", damage.checkpoint),
    Row("small-files", "other files of the run torn", tail.small_files),
    Row("app", "app killed, its terminal closed", app.leaves),
    Row("journal-line", "a bit flipped within the journal", damage.journal_line),
    Row("changes", "model or data changed", changes.model_and_data),
    Row("unwritable", "directory read-only", disk.unwritable),
    Row("stop", "zotui stop from another shell", strangers.zotui_stop),
    Row("second-engine", "second engine on the run", strangers.second_engine),
    Row("limited", "no file may grow (RLIMIT_FSIZE)", disk.limited),
    Row("full", "disk full", disk.full),
    Row("clock", "clock jumps by a day", clock.jumps),
    Row("fuzz", "frames that are no commands, on pipe and socket", fuzz.pipe_and_socket),
    Row("readers", "reader slow or stuck", readers.slow_and_stuck, alone=True),
)


def work(shop: Workshop, rows: Sequence[Row], jobs: int = 2) -> Iterator[tuple[Row, Outcome]]:
    """Inject the faults of these rows, `jobs` rows at a time; gives each row as it is asked for, in order."""
    together = [row for row in rows if not row.alone]
    pool = ThreadPoolExecutor(jobs)
    outcomes = {row.name: pool.submit(inject, shop, row) for row in together}
    try:
        for row in together:
            yield row, outcomes[row.name].result()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)  # a row that is given up ends with its engines
    for row in rows:
        if row.alone:
            yield row, inject(shop, row)


def inject(shop: Workshop, row: Row) -> Outcome:
    """One row, and what came of it."""
    outcome = Outcome()
    try:
        row.inject(shop, outcome)
    except Unavailable as reason:
        outcome.skipped = str(reason)
    except Exception as error:  # noqa: BLE001 - a row that breaks is a row of the table, like any other
        outcome.failed = str(error) or type(error).__name__
        if not isinstance(error, AssertionError):
            outcome.failed = "".join(traceback.format_exception(error))
    return outcome


_HEAD = ("fault", "tried", "steps lost", "done again", "final weights identical", "")


def lines(found: Sequence[tuple[Row, Outcome]]) -> list[str]:
    """The table in Markdown."""
    cells = [_HEAD, *(_cells(row, outcome) for row, outcome in found)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(_HEAD))]
    rows = ["| " + " | ".join(cell.ljust(w) for cell, w in zip(line, widths, strict=True)) + " |" for line in cells]
    return [rows[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *rows[1:]]


def _cells(row: Row, outcome: Outcome) -> tuple[str, ...]:
    notes = "; ".join([*outcome.notes, *outcome.unlike])
    if outcome.skipped:
        return (row.fault, "0", "", "", "", f"skipped: {outcome.skipped}")
    if outcome.failed:
        *_, last = outcome.failed.strip().splitlines()
        return (row.fault, f"{outcome.tried:,}", str(outcome.lost), "", "", f"FAILED: {last[:200]}")
    identical = "no" if outcome.unlike else "yes"
    return (row.fault, f"{outcome.tried:,}", str(outcome.lost), str(outcome.again), identical, notes)
