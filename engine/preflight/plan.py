"""Every check of a run in order of cost, up to what only its runtime can tell: what is decided, and its data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.environment import overruled, prepare_device
from engine.errors import UserError
from engine.models import hub
from engine.preflight import identity
from engine.preflight.demo import with_demo
from engine.preflight.identity import check_still_there, identify, started_on
from engine.preset.method import set_for_nothing
from engine.preset.schema import Preset
from engine.preset.task import Task as PresetTask
from engine.runs.directory import RunDir
from engine.runs.info import StartedOn
from engine.runtimes.base import Needs, Note, Report
from engine.tasks.example import Example
from engine.tasks.fitting import length_with
from engine.tasks.load import Task, check_sources, load_task, load_test

if TYPE_CHECKING:
    from engine.directions.low_rank import Drawn
    from engine.models.facts import ModelFacts
    from engine.models.headers import TensorHeader
    from engine.preflight.checks import Fit
    from engine.preflight.disk import Disk
    from engine.preflight.folds import Folds
    from engine.preflight.identity import Files

_LEAST = Needs(batch=1, longest=8, options=1, option_tokens=1)  # of any data


@dataclass(frozen=True)
class Plan:
    """What is decided before anything is downloaded, and what is known of the model by then."""

    wanted: Preset
    task: PresetTask  # with what the built-in demo brings
    found: hub.Found
    files: Files  # of the model; none before it is downloaded
    headers: Mapping[str, TensorHeader] | None  # of its safetensors; None before it is downloaded
    facts: ModelFacts
    device: str
    dtype: str
    runtime: str
    why: str  # this runtime
    drawn: Drawn
    experts: bool  # whether those of a mixture move
    folds: Folds  # that the run may take
    least: Fit  # of the run, without its data: the data may leave less room
    disk: Disk
    begun: bool  # whether the run has taken steps
    was: StartedOn | None  # what the run was started on, if it was
    rules: int  # by which texts become tokens

    def fit(self, needs: Needs) -> Fit:
        """What the run takes, and the fold that leaves room for it. Raises `UserError` if it is more than there is."""
        return _fit(
            self.facts, needs, self.wanted, self.folds, dtype=self.dtype, device=self.device, runtime=self.runtime
        )

    def by_training_loop(self, why: str) -> Plan:
        """The same of a run that has taken no step yet, by the other runtime. Raises `UserError` as `fit` does."""
        from engine.preflight.disk import estimate_disk
        from engine.preflight.folds import folds_for

        setting = {"dtype": self.dtype, "runtime": "training-loop"}
        folds = folds_for(self.wanted.model.fold, "", device=self.device, scope=self.facts.scope, **setting)
        plan = replace(self, runtime="training-loop", why=why, folds=folds)
        least = plan.fit(_LEAST)
        disk = estimate_disk(
            self.facts, self.wanted, device=self.device, fold=least.fold, steps_done=0, saved=0, **setting
        )
        return replace(plan, least=least, disk=disk)


@dataclass(frozen=True)
class Prepared:
    """A run with its model's files and its data at hand; only its runtime is still to be loaded."""

    plan: Plan
    path: str  # of the model
    facts: ModelFacts
    tokenizer: Any
    task: Task
    needs: Needs
    fit: Fit
    started_on: StartedOn  # for the run's record


def plan_run(wanted: Preset, report: Report, note: Note = lambda level, text: None, run: RunDir | None = None) -> Plan:
    """Check what can be checked without a download. Raises `UserError`, cheap checks first.

    A `run` that was started before must find its model and its data as they were then.
    """
    was = started_on(run, note) if run else None
    if run and was:
        own, asked = run.preset().task, wanted.task  # an evaluation may ask for other files, unknown to the run
        sources = {"task.train": asked.train, "task.validation": asked.validation}
        began_with = {key: path for key, path in sources.items() if path == getattr(own, key.removeprefix("task."))}
        check_still_there(run, {"model.path": wanted.model.path, **began_with})
    if wanted.task.name != "demo":
        check_sources(wanted.task)
    report("preparing", None, "loading libraries")
    path, task = with_demo(wanted, report)

    from engine.directions.low_rank import drawn_by
    from engine.models.facts import read_headers, read_model
    from engine.preflight.checks import check_rank
    from engine.preflight.choose import choose_device, choose_dtype, choose_for, choose_for_folder, choose_runtime
    from engine.preflight.compiler import check_compiler
    from engine.preflight.disk import estimate_disk
    from engine.preflight.folds import fold_of, folds_for
    from engine.preflight.scope import check_scope

    device = choose_device(wanted.model.device)
    prepare_device(device)
    if line := overruled():
        note("info", line)
    trust = wanted.model.trust_remote_code
    report("checking", None, "reading the model's configuration")
    found = hub.find_model(path, was.revision if was else None)
    folder = Path(found.folder) if found.folder else None
    files = identify(folder, was, code=trust) if folder and was else {}  # another model than it was is said first
    if trust:
        note("warning", f"model.trust_remote_code: Python code that comes with {path} may run here")
    begun = run.info.read() if run and run.steps_done() else None
    experts = begun.experts if begun else True
    headers = read_headers(found.readable) if folder else None
    facts = read_model(
        found.readable, trust_remote_code=trust, experts=experts, headers=headers, scope=wanted.method.scope
    )
    check_rank(wanted.method, facts.matrices)
    if without_effect := set_for_nothing(wanted.method):
        note("warning", f"{', '.join(without_effect)}: without effect on {wanted.method.name} as it is")
    files = files or (identify(folder, was, code=trust) if folder else {})
    dtype = choose_dtype(wanted.model.dtype, device, facts)
    runtime, why = choose_runtime(wanted.model.runtime, device)
    check_compiler(device)
    runtime, why = choose_for(facts, wanted.model.runtime, runtime, why, device)
    if folder:
        runtime, why = choose_for_folder(
            facts, dtype, wanted.model.runtime, runtime, why, trust_remote_code=trust, begun=begun is not None
        )
    check_scope(facts, wanted.method, runtime)
    began = fold_of(begun, wanted.model.fold) if begun else ""
    folds = folds_for(wanted.model.fold, began, dtype=dtype, device=device, runtime=runtime, scope=wanted.method.scope)
    # The weights alone, before the data is read; the whole once the data says how long it is.
    least = _fit(facts, _LEAST, wanted, folds, dtype=dtype, device=device, runtime=runtime)
    drawn = drawn_by(run.first_step() if run else None)
    disk = estimate_disk(
        facts, wanted, dtype=dtype, device=device, runtime=runtime, fold=least.fold,
        steps_done=run.steps_done() if run else 0, saved=len(run.checkpoint_folders()) if run else 0,
    )  # fmt: skip
    rules = identity.rules_of(run, was)
    return Plan(
        wanted=wanted, task=task, found=found, files=files, headers=headers, facts=facts, device=device, dtype=dtype,
        runtime=runtime, why=why, drawn=drawn, experts=experts, folds=folds, least=least, disk=disk,
        begun=begun is not None, was=was, rules=rules,
    )  # fmt: skip


def prepare(plan: Plan, report: Report, note: Note = lambda level, text: None) -> Prepared:
    """Download the model, read the data, and check that both fit. Raises `UserError`."""
    from engine.models.missing import check_weights
    from engine.models.tokenizer import read_tokenizer
    from engine.preflight.checks import check_generation, check_ids
    from engine.preflight.choose import choose_for_folder

    wanted, was = plan.wanted, plan.was
    trust = wanted.model.trust_remote_code
    path = hub.download(plan.found, lambda fraction, detail: report("downloading", fraction, detail))
    files = plan.files or identify(Path(path), was, code=trust)
    unused = check_weights(path, trust_remote_code=trust, headers=plan.headers)
    facts = replace(plan.facts, path=path)
    if plan.found.folder is None:  # else it was asked before
        runtime, why = choose_for_folder(
            facts, plan.dtype, wanted.model.runtime, plan.runtime, plan.why, trust_remote_code=trust
        )
        if runtime != plan.runtime:
            note("warning", why)
            plan = plan.by_training_loop(why)
    if unused and plan.runtime == "vllm":
        named = f"{unused[0]} and {len(unused) - 1} more" if len(unused) > 1 else unused[0]
        note("warning", f"model: its files hold weights that it has no use for ({named}); vLLM may refuse them")

    tokenizer = read_tokenizer(path, trust_remote_code=trust)
    report("loading data", None, "")
    task = load_task(
        plan.task,
        tokenizer,
        seed=wanted.run.seed,
        max_length=_context(facts, wanted),
        rules=plan.rules,
        report=lambda text, fraction: report("loading data", fraction, text),
    )
    for line in task.notes:
        note("info", line)
    for line in task.warnings:
        note("warning", line)
    for split, examples in (("train", task.train), ("validation", task.validation)):
        check_ids(f"task.{split}", examples, tokenizer, facts.vocabulary)
    check_generation(task, runtime=plan.runtime, device=plan.device, dtype=plan.dtype)
    data = identity.of_data(task)
    if was and was.data:
        identity.check_data(data, was.data)
    needs = _needs(task, wanted)
    fit = plan.fit(needs)
    for line in (fit.updates, *fit.lines):
        note("info", line)
    on = StartedOn(revision=plan.found.revision, model=files, data=data, rules=plan.rules)
    return Prepared(plan, path, facts, tokenizer, task, needs, fit, on)


def on_test(prepared: Prepared, report: Report, note: Note = lambda level, text: None) -> Prepared:
    """The same with the test split in the place of the validation split. Raises `UserError`."""
    from engine.preflight.checks import check_generation, check_ids

    plan = prepared.plan
    examples, notes = load_test(
        plan.task,
        prepared.tokenizer,
        max_length=_context(prepared.facts, plan.wanted),
        rules=plan.rules,
        report=lambda text, fraction: report("loading data", fraction, text),
    )
    for line in notes:
        note("info", line)
    check_ids("task.test", examples, prepared.tokenizer, prepared.facts.vocabulary)
    task = replace(prepared.task, validation=examples)
    check_generation(task, runtime=plan.runtime, device=plan.device, dtype=plan.dtype)
    needs = _needs(task, plan.wanted)
    return replace(prepared, task=task, needs=needs, fit=plan.fit(needs))


def _context(facts: ModelFacts, wanted: Preset) -> int:
    """The longest sequence, in tokens."""
    return min(facts.context, wanted.model.max_length or facts.context)


def _fit(facts: ModelFacts, needs: Needs, wanted: Preset, folds: Folds, **setting: str) -> Fit:
    from engine.preflight.checks import check_memory

    model = wanted.model
    return check_memory(
        facts, needs, wanted.method, folds=folds, limit_gib=model.memory_limit_gib,
        graphs=model.cuda_graphs == "auto", **setting,
    )  # fmt: skip


def _needs(task: Task, wanted: Preset) -> Needs:
    from engine.preflight.scope import folds_of, probing_at_once

    domains = [example.domain for example in task.validation if example.domain]
    every: Sequence[Example] = [*task.train, *task.validation, *domains]
    if not task.train or not task.validation:
        raise UserError("task.train and task.validation must both hold an example")
    return Needs(
        batch=wanted.run.batch_size,
        longest=max(length_with(example, task.generate_tokens) for example in every),
        options=max(len(example.options) for example in every),
        step_options=max(len(example.options) for example in task.train),
        option_tokens=max(len(option) for example in every for option in example.options),
        probing=probing_at_once(wanted.method, wanted.run.batch_size),
        intervals=folds_of(wanted),
    )
