"""From a preset's task to examples: rows read, sampled, filled in and tokenised."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from engine.errors import UserError
from engine.preset.task import Task as PresetTask
from engine.tasks import sources
from engine.tasks.batches import permutation
from engine.tasks.classes import Classes
from engine.tasks.example import Example
from engine.tasks.remarks import Remarks, remark_on_classes, remark_on_overlap
from engine.tasks.spec import TaskSpec
from engine.tasks.table import Table, Value
from engine.tasks.template import Filled
from engine.tasks.tokenize import RULES, Encoder, Raw, encode
from engine.text import listed

Split = Literal["train", "validation", "test"]
Report = Callable[[str, float | None], None]
"""Told what is being done and how far it is (0..1, or None)."""

_HELD_OUT = 0.1  # of the training data, when there is no validation split
_HELD_OUT_MOST = 1000
_FIXED_SEED = 0  # of what is evaluated, whatever the run's seed: runs with different seeds can be compared


@dataclass(frozen=True)
class Task:
    """What is trained on and what is evaluated, as token ids."""

    objective: Literal["classification", "lm"]
    train: list[Example]
    validation: list[Example]
    option_texts: list[str]  # in verbalizer order; empty for objective lm
    notes: list[str] = field(default_factory=list)  # things worth a log line
    warnings: list[str] = field(default_factory=list)


def check_sources(task: PresetTask) -> None:
    """The cheap checks, before any model is loaded. Raises `UserError`.

    Files exist and are of a known kind, templates parse and name columns that are there, and the
    task says what to predict.
    """
    spec = TaskSpec.of(task)
    for split in ("train", "validation", "test"):
        text = spec.sources.get(split)
        if text is None:
            continue
        source = sources.parse(f"task.{split}", text)
        present = sources.columns(source, list(spec.used))
        if present is not None:
            spec.check_columns(source, present)


def load_task(
    task: PresetTask,
    tokenizer: Any,
    *,
    seed: int,
    max_length: int,
    rules: int = RULES,
    report: Report = lambda text, fraction: None,
) -> Task:
    """Read, fill in, sample and tokenise the training and validation splits. Raises `UserError`.

    The training sample depends on `seed`; the validation sample does not, so that runs with
    different seeds can be compared. `rules` are those that the run began by.
    """
    spec = TaskSpec.of(task)
    said = Remarks()
    notes = said.notes
    encoder = Encoder(tokenizer, bos=task.bos == "auto", rules=rules)
    if encoder.begins_by(spec.template):
        notes.append(
            f"task.template begins with the tokenizer's BOS token, {tokenizer.bos_token}: no other is put there"
        )
    if spec.end == "eos" and tokenizer.eos_token_id is None:
        raise UserError("task.end: eos, but this model's tokenizer has no EOS token; set task.end to none")
    loader = _Loader(
        spec=spec,
        task=task,
        encoder=encoder,
        end=tokenizer.eos_token_id if spec.end == "eos" else None,
        max_length=max_length,
        report=report,
        notes=notes,
    )
    train_rows = loader.rows("train")
    if "validation" in spec.sources:
        validation_rows = loader.rows("validation")
    else:
        train_rows, validation_rows = _hold_out(train_rows, notes)
    train = loader.examples("train", train_rows, task.train_examples, seed)
    validation = loader.examples("validation", validation_rows, task.validation_examples, _FIXED_SEED)
    if spec.objective == "classification":
        remark_on_classes(spec.options, "train", train, said)
        remark_on_classes(spec.options, "validation", validation, said)
    same = _same(train_rows.source, validation_rows.source) if "validation" in spec.sources else ""
    remark_on_overlap(spec.objective, train, validation, same=same, said=said)
    once = list(dict.fromkeys(notes))  # of a file that is both splits the same may be said twice
    return Task(spec.objective, train, validation, list(spec.options.values()), once, said.warnings)


@dataclass(frozen=True)
class _Rows:
    """Rows of a source by their index in it."""

    source: sources.Source
    data: Table
    indices: Sequence[int]
    classes: Classes | None = None  # of the label, where its numbers have names


def _same(one: sources.Source, other: sources.Source) -> str:
    """What two sources are if they are one; else nothing."""
    if one.paths and other.paths:
        equal = [path.resolve() for path in one.paths] == [path.resolve() for path in other.paths]
        return ("the same file" if len(one.paths) == 1 else "the same files") if equal else ""
    equal = (one.name, one.config, one.split, one.paths) == (other.name, other.config, other.split, other.paths)
    return "the same split" if equal else ""


def _hold_out(rows: _Rows, notes: list[str]) -> tuple[_Rows, _Rows]:
    count = len(rows.indices)
    if count < 2:
        raise UserError(f"{rows.source}: has one row, none is left to validate on; set task.validation")
    held = max(1, min(_HELD_OUT_MOST, int(count * _HELD_OUT)))
    order = permutation(count, f"{_FIXED_SEED}/held out")
    notes.append(f"no task.validation: {held:,} of {count:,} rows of {rows.source} are held out to validate on")
    return (
        replace(rows, indices=sorted(order[held:])),
        replace(rows, indices=sorted(order[:held])),
    )


@dataclass(kw_only=True)
class _Loader:
    """Rows to examples, for every split alike."""

    spec: TaskSpec
    task: PresetTask
    encoder: Encoder
    end: int | None  # token that a target ends in
    max_length: int
    report: Report
    notes: list[str]

    def __post_init__(self) -> None:
        self.options = [Filled(text) for text in self.spec.options.values()]
        # White space before a BOS token of the template's is dropped, so that it is the only one.
        self.before = None if self.encoder.begins_by(self.spec.template) else ""

    def rows(self, split: Split) -> _Rows:
        """All rows of a split."""
        spec = self.spec
        text = spec.sources.get(split)
        if text is None:
            raise UserError(f"task.{split}: missing; set it to a file or a hub id")
        source = sources.parse(f"task.{split}", text)
        self.report(f"reading {source}", None)
        if len(source.paths) > 1:
            self.notes.append(
                f"task.{split}: {source}: {len(source.paths):,} Parquet files are read as one, "
                f"{source.paths[0].name} to {source.paths[-1].name}"
            )
        data = sources.read(source, list(spec.used), lambda present: spec.check_columns(source, present))
        names = data.classes.get(spec.label, [])
        classes = Classes.of(names, spec.options, f"column '{spec.label}' of {source}") if names else None
        return _Rows(source, data, range(len(data)), classes)

    def examples(self, split: Split, rows: _Rows, wanted: int | None, seed: int) -> list[Example]:
        """A seeded sample of `wanted` rows (all without), in the order of the source, as token ids."""
        indices = rows.indices
        if wanted is not None and wanted > len(indices):
            self.notes.append(f"task.{split}_examples is {wanted:,}, {rows.source} has {len(indices):,}: all are used")
        elif wanted is not None:
            order = permutation(len(indices), f"{seed}/sample/{split}")
            indices = sorted(indices[i] for i in order[:wanted])
        raw = [self._raw(rows, index) for index in indices]
        return encode(
            raw,
            self.encoder,
            max_length=self.max_length,
            too_long=self.task.too_long,
            name=str(rows.source),
            notes=self.notes,
            end=self.end,
            report=lambda fraction: self.report(f"tokenising {split}", fraction),
        )

    def _raw(self, rows: _Rows, index: int) -> Raw:
        spec, row, where = self.spec, rows.data.row(index), rows.data.where(index)
        prompt = spec.template.fill(row, where).stripped(left=self.before, right="")
        if self.encoder.by_later_rules and spec.template.columns and not prompt.data:
            raise UserError(f"{where}: {_without_text(spec.template.columns)}; mend or remove the row")
        if spec.target is None:
            label: Value = rows.data.columns[spec.label][index]
            if rows.classes and (number := rows.classes.number_of(label)):
                if number not in rows.classes.keys:
                    raise spec.unknown(rows.classes.shown(number), where)
                label = rows.classes.keys[number]
            return Raw(where, prompt, self.options, spec.option_of(label, where))
        # What it ends in is learned, as in "{answer}\n"; a prompt and what follows are joined by one space.
        target = spec.target.fill(row, where).stripped(left=None, right="" if self.encoder.by_later_rules else None)
        if not target.text.strip():
            raise UserError(f"{where}: task.target is empty there; mend or remove the row")
        return Raw(where, prompt, [target], 0)


def _without_text(columns: Sequence[str]) -> str:
    names = [f"'{column}'" for column in dict.fromkeys(columns)]
    return f"column {names[0]} has no text" if len(names) == 1 else f"columns {listed(names)} have no text"
