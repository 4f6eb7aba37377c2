"""From a preset's task to examples: rows read, sampled, filled in and tokenised."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from engine.errors import UserError
from engine.preset.task import Kind
from engine.preset.task import Task as PresetTask
from engine.tasks import sampling, sources
from engine.tasks.chat import check_template
from engine.tasks.classes import Classes
from engine.tasks.example import Example
from engine.tasks.remarks import Remarks, remark_on_classes, remark_on_overlap
from engine.tasks.rows import Filling, Rows
from engine.tasks.spec import SPLITS, Split, TaskSpec
from engine.tasks.tokenize import RULES, Encoder, encode
from engine.tasks.whole import encode_whole

Report = Callable[[str, float | None], None]
"""Told what is being done and how far it is (0..1, or None)."""


@dataclass(frozen=True)
class Task:
    """What is trained on and what is evaluated, as token ids."""

    objective: Literal["classification", "lm"]
    train: list[Example]
    validation: list[Example]
    option_texts: list[str]  # in verbalizer order; empty where options are not the same for all
    notes: list[str] = field(default_factory=list)  # things worth a log line
    warnings: list[str] = field(default_factory=list)
    kind: Kind = "classification"
    generate_tokens: int = 0  # of a text that an evaluation generates, at most
    stops_at_newline: bool = True  # whether such a text does


def check_sources(task: PresetTask) -> None:
    """The cheap checks, before any model is loaded. Raises `UserError`.

    Files exist and are of a known kind, templates parse and name columns that are there, and the
    task says what to predict.
    """
    spec = TaskSpec.of(task)
    for split in SPLITS:
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
    said = Remarks()
    loader = _loader(task, tokenizer, max_length, rules, report, said.notes)
    spec = loader.spec
    train_rows, validation_rows = loader.drawn(seed)
    loader.demonstrate()
    train = loader.examples("train", train_rows)
    validation = loader.examples("validation", validation_rows)
    if spec.kind == "classification":
        remark_on_classes(spec.options, "train", train, said)
        remark_on_classes(spec.options, "validation", validation, said)
    same = _same(train_rows.source, validation_rows.source) if "validation" in spec.sources else ""
    remark_on_overlap(spec.kind, train, validation, same=same, said=said)
    once = list(dict.fromkeys(said.notes))  # of a file that is both splits the same may be said twice
    return Task(
        spec.objective, train, validation, list(spec.options.values()), once, said.warnings, spec.kind,
        spec.generate_tokens, spec.end == "none",
    )  # fmt: skip


def load_test(
    task: PresetTask,
    tokenizer: Any,
    *,
    max_length: int,
    rules: int = RULES,
    report: Report = lambda text, fraction: None,
) -> tuple[list[Example], list[str]]:
    """The test split, the same for every seed, and what is worth a log line. Raises `UserError`."""
    notes: list[str] = []
    loader = _loader(task, tokenizer, max_length, rules, report, notes)
    loader.demonstrate()
    return loader.examples("test", loader.sampled("test", sampling.FIXED_SEED)), notes


def _loader(task: PresetTask, tokenizer: Any, max_length: int, rules: int, report: Report, notes: list[str]) -> _Loader:
    spec = TaskSpec.of(task)
    encoder = Encoder(tokenizer, bos=task.bos == "auto", rules=rules)
    if spec.template and encoder.begins_by(spec.template):
        notes.append(
            f"task.template begins with the tokenizer's BOS token, {tokenizer.bos_token}: no other is put there"
        )
    if spec.end == "eos" and tokenizer.eos_token_id is None:
        raise UserError("task.end: eos, but this model's tokenizer has no EOS token; set task.end to none")
    if spec.messages:
        check_template(tokenizer)
    if spec.domain and not spec.domain.text.strip() and not encoder.leading and not spec.shots:
        raise UserError(
            "task.domain: empty, and this model's tokenizer has no BOS token that could stand before an option; write "
            "what may stand there whatever the example, as in 'Answer:'"
        )
    return _Loader(
        spec=spec,
        encoder=encoder,
        end=tokenizer.eos_token_id if spec.end == "eos" else None,
        max_length=max_length,
        report=report,
        notes=notes,
    )


def _same(one: sources.Source, other: sources.Source) -> str:
    """What two sources are if they are one; else nothing."""
    if one.paths and other.paths:
        equal = [path.resolve() for path in one.paths] == [path.resolve() for path in other.paths]
        return ("the same file" if len(one.paths) == 1 else "the same files") if equal else ""
    equal = (one.name, one.config, one.split, one.paths) == (other.name, other.config, other.split, other.paths)
    return "the same split" if equal else ""


@dataclass(kw_only=True)
class _Loader:
    """Rows to examples, for every split alike."""

    spec: TaskSpec
    encoder: Encoder
    end: int | None  # token that a target ends in
    max_length: int
    report: Report
    notes: list[str]

    def __post_init__(self) -> None:
        self.filling = Filling(self.spec, self.encoder)
        self._train: tuple[Rows, Sequence[int]] | None = None

    def demonstrate(self) -> None:
        """Have the demonstrations stand before every prompt, where the task has some."""
        if self.spec.shots:
            rows, shots = self._with_shots()
            self.filling.demonstrate(replace(rows, indices=shots))
            some = f"{len(shots):,} row{'s' * (len(shots) != 1)}"
            self.notes.append(f"{some} of {rows.source} stand before every prompt, and are not trained on")

    def _with_shots(self) -> tuple[Rows, Sequence[int]]:
        """The rows of the training split, and the demonstrations among them, which are the same for every seed."""
        if self._train is None:
            rows, wanted = self._rows("train"), self.spec.shots
            if wanted >= len(rows.indices):
                raise UserError(
                    f"task.shots: {wanted:,}, but {rows.source} has {len(rows.indices):,} rows, and none of those is "
                    "trained on; lower it"
                )
            self._train = rows, sampling.shots(len(rows.indices), wanted, as_mezo=self.spec.as_mezo)
        return self._train

    def drawn(self, seed: int) -> tuple[Rows, Rows]:
        """What is trained on and what is validated on."""
        rows, shots = self._with_shots()
        spec, shown = self.spec, set(shots)
        if "validation" in spec.sources:
            left = replace(rows, indices=[i for i in rows.indices if i not in shown]) if shown else rows
            return self._sample("train", left, seed), self.sampled("validation", sampling.FIXED_SEED)
        count = len(rows.indices)
        if count < 2:
            raise UserError(f"{rows.source}: has one row, none is left to validate on; set task.validation")
        if spec.as_mezo:
            train, held = sampling.as_mezo(count, spec.sizes["train"] or count, spec.sizes["validation"] or 1, seed)
            self.notes.append(
                f"as MeZO draws them, {len(train):,} of {count:,} rows of {rows.source} are trained on and "
                f"{len(held):,} others validated on"
            )
            train, held = self._not_shown(train, held)
            return replace(rows, indices=train), replace(rows, indices=held)
        train, held = sampling.held_out(count)
        train, held = self._not_shown(train, held) if shown else (train, held)
        self.notes.append(
            f"no task.validation: {len(held):,} of {count:,} rows of {rows.source} are held out to validate on"
        )
        return (
            self._sample("train", replace(rows, indices=train), seed),
            self._sample("validation", replace(rows, indices=held), sampling.FIXED_SEED),
        )

    def _not_shown(self, train: Sequence[int], held: Sequence[int]) -> tuple[list[int], list[int]]:
        """The rows that are no demonstrations. Raises `UserError` where one of the two has no other."""
        rows, shots = self._with_shots()
        shown = set(shots)
        left = [[i for i in some if i not in shown] for some in (train, held)]
        if not all(left):
            what = "validated on; lower it, or set task.validation" if left[0] else "trained on; lower it"
            raise UserError(f"task.shots: {len(shots):,} of {len(rows.indices):,} rows leave none to be {what}")
        return left[0], left[1]

    def sampled(self, split: Split, seed: int) -> Rows:
        """As many rows of a split as are wanted."""
        return self._sample(split, self._rows(split), seed)

    def _sample(self, split: Split, rows: Rows, seed: int) -> Rows:
        wanted = self.spec.sizes[split]
        if wanted is not None and wanted > len(rows.indices):
            self.notes.append(
                f"task.{split}_examples is {wanted:,}, {rows.source} has {len(rows.indices):,}: all are used"
            )
        indices = sampling.sample(rows.indices, wanted, seed, split, as_mezo=self.spec.as_mezo)
        return replace(rows, indices=indices)

    def _rows(self, split: Split) -> Rows:
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
        names = data.classes.get(spec.label, []) if spec.kind == "classification" else []
        classes = Classes.of(names, spec.options, f"column '{spec.label}' of {source}") if names else None
        return Rows(source, data, range(len(data)), classes)

    def examples(self, split: Split, rows: Rows) -> list[Example]:
        """Rows as token ids, in the order of the source."""
        spec = self.spec
        trained = split == "train"
        generated = set() if trained else self._generated(rows.indices)
        raw = [self.filling.raw(rows, i, trained=trained, generated=i in generated) for i in rows.indices]

        def report(fraction: float) -> None:
            self.report(f"tokenising {split}", fraction)

        if spec.template is None:
            return encode_whole(
                raw, self.encoder, max_length=self.max_length, too_long=spec.too_long, name=str(rows.source),
                notes=self.notes, end=self.end, report=report,
            )  # fmt: skip
        return encode(
            raw, self.encoder, max_length=self.max_length, too_long=spec.too_long, name=str(rows.source),
            notes=self.notes, join=self.filling.join,
            end=self.end, room=spec.generate_tokens, report=report,
        )  # fmt: skip

    def _generated(self, indices: Sequence[int]) -> set[int]:
        """The rows for which an evaluation generates a text, the same ones every time."""
        if self.spec.generated == 0:
            return set()
        return set(sampling.sample(indices, self.spec.generated, sampling.FIXED_SEED, "generated", as_mezo=False))
