"""Proposals, from a file to a preset that a run can start on."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from engine.errors import UserError
from engine.models import hub
from engine.preset.load import load
from engine.preset.method import Method
from engine.preset.paths import local, there
from engine.preset.schema import BUILTIN_DEMO, Preset
from engine.preset.task import TASKS
from engine.preset.task import Task as PresetTask
from engine.propose.columns import columns_of
from engine.propose.draft import toml_of
from engine.propose.file import read_all, source_of
from engine.propose.guessed_tokens import GuessedTokens
from engine.propose.rate import rate_for
from engine.propose.roles import roles_in
from engine.propose.task import Proposed, propose
from engine.protocol.findings import Draft, Shown, Why
from engine.tasks.builtin import BUILTIN
from engine.tasks.example import Example
from engine.tasks.fitting import length_with
from engine.tasks.load import Task, load_task
from engine.tasks.sources import Source, beside, split_of
from engine.tasks.spec import TaskSpec
from engine.tasks.table import Table
from engine.tasks.table import source_of as column_of
from engine.text import listed

Report = Callable[[str], None]

_METHOD = "fast"
_STEPS, _BATCH = 2000, 16
_EVALUATED = 500  # validation examples at most, as MeZO has it
_GENERATED = 100  # of them for which a text is generated
_LOOKED_AT = 5000  # training rows that are tokenised for their lengths
_ROWS = 3  # that are shown
_ROUND = 32  # tokens that a length is rounded up to
_TOKENS = 50, 512  # of a generated text: what is taken anyway, and the most
_ANY = 10**9  # longer than any context


class _Model(NamedTuple):
    """Its tokenizer, context in tokens and number of parameters; the last two are None where nobody knows."""

    tokenizer: Any
    context: int | None
    parameters: int | None
    checks: list[str]


class Session:
    """A file and a model, read once, for as many proposals as are asked for."""

    def __init__(self, data: str, model: str) -> None:
        self._data, self._path = data, model
        self._table: tuple[Source, Table] | None = None
        self._models: dict[str, _Model] = {}

    def draft(self, overrides: Sequence[str], report: Report) -> Draft:
        """A preset, some keys of which are decided (`key=value`).

        Raises `UserError` where nothing can be made of the file, or with the model.
        """
        given = _given(self._path, overrides)
        source, table = self._read(report)
        found = _task(source, table.columns, given["task"], table.classes)
        _sources(found, source)
        report("counting tokens")
        task = PresetTask.model_validate({**found.keys, **_merged(found.keys, given["task"])})
        tokenizer, context, parameters, unread = self._model(Preset.model_validate(given))
        found.checks += unread
        if found.keys.get("end") == "eos" and tokenizer.eos_token_id is None:
            found.keys.pop("end")
            found.checks.append("this model's tokenizer has no EOS token, so that nothing ends what it learns to write")
            task = task.model_copy(update={"end": None})
        looked = min(_LOOKED_AT, task.train_examples or _LOOKED_AT)
        generation = task.kind == "generation"
        untouched = {"train_examples": looked, **({"generate_examples": 0} if generation else {})}
        loaded = load_task(task.model_copy(update=untouched), tokenizer, seed=0, max_length=_ANY)
        if generation:
            _generation(found, loaded, context)
        if len(loaded.validation) > _EVALUATED:
            found.put("validation_examples", _EVALUATED, f"of {len(loaded.validation):,}; the same ones every time")
        whole = len(table) if "validation" in found.keys else len(table) - len(loaded.validation)
        unsure = "lengths are guessed" if isinstance(tokenizer, GuessedTokens) else ""
        if len(loaded.train) < whole:
            unsure = unsure or "not every row was looked at"
        lengths = _lengths(found, loaded, context, unsure)
        run = Method.model_validate({"name": _METHOD, **given.get("method", {})})
        lr, why_lr = rate_for(run, parameters)
        sections: dict[str, dict[str, Any]] = {
            "model": {"path": _absolute(given["model"]["path"]), **lengths.keys},
            "task": found.keys,
            "method": {"name": run.name, "lr": lr},
            "run": _run(whole, given["run"]["steps"], run),
        }
        why = {f"task.{key}": text for key, text in found.why.items()}
        why |= {f"model.{key}": text for key, text in lengths.why.items()}
        why["method.name"] = "what learned fastest where methods were measured; `lozo` is the plain one"
        why["method.lr"] = f"{why_lr}; a guess, which `zotui tune` mends"
        name = Path(source.text).name
        text = toml_of(f"{_title(found)} of {name}", sections, why, _decided(overrides, given))
        preset = load("the proposal", text)
        return Draft(
            text=text,
            why=[Why(key=key, why=reason) for key, reason in why.items()],
            checks=list(dict.fromkeys([*found.checks, *lengths.checks, *loaded.warnings])),
            rows=[_shown(example, tokenizer) for example in loaded.train[:_ROWS]],
            columns=roles_in(task, columns_of(table.columns)),
            train=min(whole, preset.task.train_examples or whole),
            validation=min(len(loaded.validation), preset.task.validation_examples or len(loaded.validation)),
        )

    def _read(self, report: Report) -> tuple[Source, Table]:
        if self._table is None:
            source = source_of(self._data)
            report(f"reading {source}")
            self._table = source, read_all(source)
        return self._table

    def _model(self, wanted: Preset) -> _Model:
        key = f"{wanted.model!r} {wanted.method.scope}"
        if key not in self._models:
            self._models[key] = _model(wanted)
        return self._models[key]


def _given(model: str, overrides: Sequence[str]) -> dict[str, Any]:
    """What is decided, by section. Raises `UserError` for a key or a value that is wrong."""
    steps = _steps(overrides)
    run = f"steps = {steps}\neval_every = {max(1, steps // 10)}"
    base = f"[model]\npath = {_quoted(model)}\n[task]\ntrain = 'x'\n[run]\n{run}\n"
    return load("the proposal", base, overrides).model_dump(exclude_unset=True)


def _steps(overrides: Sequence[str]) -> int:
    """How many there are, on which other keys depend."""
    pairs = [each.partition("=") for each in overrides]
    said = [value.strip() for key, _, value in pairs if key.strip() == "run.steps"]
    return int(said[-1]) if said and said[-1].isdecimal() else _STEPS


def _decided(overrides: Sequence[str], given: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Of what is decided that which was said, not what it rests on."""
    said: dict[str, dict[str, Any]] = {}
    for override in overrides:
        section, _, key = override.partition("=")[0].strip().partition(".")
        if key:
            key = key.partition(".")[0]
            said.setdefault(section, {})[key] = given[section][key]
    return said


def _absolute(text: str) -> str:
    path = local(text)
    return os.path.normpath(path.absolute()) if there(path) else text


def _merged(keys: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    """What is given of the task, labels beside those that are proposed."""
    own = {key: value for key, value in given.items() if key != "train"}
    if isinstance(own.get("verbalizer"), dict):
        own["verbalizer"] = {**keys.get("verbalizer", {}), **own["verbalizer"]}
    return own


def _task(source: Source, columns: Any, given: dict[str, Any], names: Any) -> Proposed:
    if given.get("name"):
        return Proposed()
    try:
        found = propose(columns, given, names)
    except UserError as error:
        raise UserError(f"{source}: {error}") from None
    if alike := _builtin_with(list(columns), found.keys.get("verbalizer", ())):
        found.checks.append(
            f"columns and labels as in {listed(alike)}: if it is that, --set task.name={alike[0]} takes MeZO's prompt"
        )
    return found


def _is_telling(task: str) -> bool:
    """Whether the columns of a built-in task are not those of many another."""
    return BUILTIN[task].drawn == "mezo"


def _builtin_with(columns: Sequence[str], labels: Iterable[str]) -> list[str]:
    """The built-in tasks whose columns are all there, with the same labels."""
    specs = {name: TaskSpec.of(PresetTask.model_validate({"name": name})) for name in TASKS if _is_telling(name)}
    alike = [name for name, spec in specs.items() if all(column_of(column, columns) for column in spec.used)]
    return [name for name in alike if set(specs[name].options) == set(labels)]


def _sources(found: Proposed, source: Source) -> None:
    """The file, and those of other splits that lie beside it."""
    path = Path(_absolute(source.text))
    keys, found.keys = found.keys, {}
    if "kind" in keys:
        found.keys["kind"] = keys["kind"]
    found.keys["train"] = str(path)
    split = split_of(path)
    if split in ("", "train"):
        for other in ("validation", "test"):
            if split and (there := beside(path, other)):
                found.put(other, str(there), "it lies beside the other")
    else:
        found.checks.append(f"the name of {path.name} says {split}; is it to be trained on?")
    if "validation" not in found.keys:
        found.why["train"] = "no validation file beside it: a part of its rows is held out"
    found.keys |= {key: value for key, value in keys.items() if key != "kind"}


def _model(wanted: Preset) -> _Model:
    from engine.models.tokenizer import read_tokenizer
    from engine.preflight.outlook import facts_without_download

    path = wanted.model.path
    if path == BUILTIN_DEMO:
        raise UserError("--model: builtin:demo knows the words of its own data alone; give a model's folder or hub id")
    facts, _ = facts_without_download(wanted.model, wanted.method.scope)
    context, parameters = (facts.context, facts.parameters) if facts else (None, None)
    try:
        readable = hub.find_model(path).readable
    except hub.Unreachable as error:
        guessed = f"lengths are guessed from characters ({str(error).removeprefix('model.path: ')})"
        return _Model(GuessedTokens(), context, parameters, [guessed])
    tokenizer = read_tokenizer(readable, trust_remote_code=wanted.model.trust_remote_code)
    return _Model(tokenizer, context, parameters, [])


def _generation(found: Proposed, loaded: Task, context: int | None) -> None:
    longest = max(len(example.options[example.label]) for example in loaded.train)
    if longest > _TOKENS[0]:
        tokens = min(_TOKENS[1], _up(longest), (context or _ANY) // 2)
        found.put("generate_tokens", tokens, f"the longest answer that was seen has {longest:,} tokens")
    if len(loaded.validation) > _GENERATED:
        found.put("generate_examples", _GENERATED, "texts that an evaluation writes, each token a pass of its own")


def _lengths(found: Proposed, loaded: Task, context: int | None, unsure: str) -> Proposed:
    """The longest sequence, for `[model]`; what becomes of longer ones is the task's."""
    examples = [*loaded.train, *loaded.validation]
    room = found.keys.get("generate_tokens", _TOKENS[0]) if loaded.kind == "generation" else 0
    longest = max(max(length_with(example, room), len(example.prompt) + room) for example in examples)
    lengths = Proposed()
    if context is not None and longest > context:
        over = sum(length_with(example, room) > context for example in examples)
        found.put("too_long", "truncate", f"{over:,} of {len(examples):,} are longer than the {context:,} that fit")
        lengths.checks.append(f"longer than the model's context, and cut: {over:,} of {len(examples):,} rows")
        return lengths
    limit = _up(longest) if context is None else min(context, _up(longest))
    seen = f"the longest of {len(examples):,} rows"
    lengths.put("max_length", limit, f"tokens; {seen} has {longest:,}{' with what is generated' if room else ''}")
    if unsure:
        found.put("too_long", "truncate", f"{unsure}: a row that is longer is cut")
    return lengths


def _run(rows: int, steps: int, method: Method) -> dict[str, Any]:
    # The ratchet learns at evaluations that a rate is too large.
    often, seldom = max(1, steps // (40 if method.ratchet else 10)), max(1, steps // 2)
    return {"steps": steps, "batch_size": min(_BATCH, rows), "eval_every": often, "checkpoint_every": seldom}


def _title(found: Proposed) -> str:
    return str(found.keys.get("kind", "task")).replace("-", " ").capitalize()


def _up(tokens: int) -> int:
    return -(-tokens // _ROUND) * _ROUND


def _shown(example: Example, tokenizer: Any) -> Shown:
    prompt, *options = (tokenizer.decode(list(ids)) for ids in (example.prompt, *example.options))
    return Shown(prompt=str(prompt), options=[str(option) for option in options], label=example.label)


def _quoted(text: str) -> str:
    import tomlkit

    return tomlkit.item(text).as_string()
