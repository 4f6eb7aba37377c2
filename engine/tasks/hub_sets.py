"""Data sets of the Hugging Face hub, by the `datasets` library, which is imported only when one is read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from engine.errors import UserError, first_line
from engine.models import hub
from engine.tasks.table import Check, Table, Unfit, Value, source_of

if TYPE_CHECKING:
    from datasets import Dataset

_BATCH = 8192  # rows that are decoded at once


def read(name: str, config: str | None, split: str, wanted: Sequence[str], check: Check, *, key: str) -> Table:
    """The `wanted` columns of one split, from the cache that all Hugging Face tools share. Raises `UserError`.

    `key` is the preset's key, for messages.
    """
    import datasets

    where = f"{name}{f':{config}' if config else ''}@{split}"
    datasets.disable_progress_bars()  # they would fill the engine's log
    return table_of(_load(name, config, split, f"{key}: {where}"), wanted, check, where)


def table_of(loaded: Dataset, wanted: Sequence[str], check: Check, where: str) -> Table:
    """The `wanted` columns of a split that was loaded; `where` is what messages call it. Raises `UserError`."""
    import datasets

    from engine.tasks.files.arrow import asked

    check(loaded.column_names)
    sources = {column: source_of(column, loaded.column_names) for column in wanted}
    values: dict[str, list[Value]] = {column: [] for column in wanted}
    for batch in loaded.select_columns(list(dict.fromkeys(sources.values()))).with_format("arrow").iter(_BATCH):
        for column, into in values.items():
            try:
                into += asked(batch.column(sources[column]), column, sources[column])
            except Unfit as fault:
                raise UserError(f"{where}: row {len(into) + fault.row + 1}: {fault}") from None
    features = {column: loaded.features[column] for column in wanted if column in loaded.features}
    classes = {column: list(f.names) for column, f in features.items() if isinstance(f, datasets.ClassLabel)}
    return Table(values, lambda index: f"{where}: row {index + 1}", classes)


def _load(name: str, config: str | None, split: str, where: str) -> Dataset:
    import datasets

    reply = hub.ask(where, "data set", lambda api: api.dataset_info(name, timeout=hub.TIMEOUT))
    offline = reply if isinstance(reply, str) else ""
    key = where.partition(":")[0]
    try:
        with _offline(offline):
            loaded = datasets.load_dataset(name, config, split=split)
    except Exception as error:  # noqa: BLE001 - connection, configuration, split, broken data
        if offline:
            raise UserError(
                f"{where}: {offline}, and it is not in the local cache; go online or set {key} to a local file"
            ) from None
        raise UserError(f"{where}: cannot be loaded ({first_line(error)})") from None
    if not isinstance(loaded, datasets.Dataset):
        raise UserError(f"{where}: is not one split; write name[:config]@split")
    return loaded


@contextmanager
def _offline(reason: str) -> Iterator[None]:
    """With a reason, let `datasets` look only into its cache instead of retrying."""
    import datasets
    from huggingface_hub import constants

    before = datasets.config.HF_HUB_OFFLINE, constants.HF_HUB_OFFLINE
    if reason:
        datasets.config.HF_HUB_OFFLINE = constants.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        datasets.config.HF_HUB_OFFLINE, constants.HF_HUB_OFFLINE = before
