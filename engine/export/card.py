"""The model card of what was exported: README.md, as the hub shows it.

It says what was run, on what, what came of it and how sure that is, and how to load it. Paths of this machine are told
by their last name: a card is read elsewhere.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import tomlkit

from engine.errors import UserError
from engine.export.served import serve_adapter, serve_model
from engine.export.which import Chosen
from engine.preset.paths import local
from engine.protocol.events import Eval
from engine.protocol.findings import Evaluated
from engine.runs.directory import RunDir
from engine.runs.info import Info
from engine.runs.proportion import SHARES, intervals

CARD = "README.md"
_ROWS = 12  # of the curve


@dataclass(frozen=True)
class Exported:
    """What the folder holds. rank: of an adapter, None of a merged model; notes: what was said of it."""

    folder: str  # its name
    rank: int | None
    notes: Sequence[str]


def write_card(chosen: Chosen, exported: Exported, folder: Path) -> None:
    """Write it into `folder`."""
    (folder / CARD).write_text("\n".join(_lines(chosen, exported)) + "\n", encoding="utf-8")


def _lines(chosen: Chosen, exported: Exported) -> Iterator[str]:
    run, wanted, info = chosen.run, chosen.wanted, chosen.run.info.read()
    base = _elsewhere(wanted.model.path)
    yield from _front(chosen, exported)
    yield f"# {run.name}\n"
    what = "A LoRA adapter for" if exported.rank is not None else "A fine-tune of"
    yield (
        f"{what} `{base}`, trained with forward passes alone: {chosen.done:,} of {wanted.run.steps:,} steps of "
        f"`{wanted.method.name}` by zotui, seed {wanted.run.seed}.\n"
    )
    yield from (f"- {note}" for note in exported.notes)
    yield "\n## Results\n"
    yield from _results(chosen)
    yield from _measured_since(chosen)
    yield from _seeds(chosen)
    yield "\n## Curve\n"
    yield from _curve(chosen)
    yield "\n## How to load it\n"
    yield from _loading(chosen, exported, base)
    yield "\n## What it was trained on\n"
    yield from _data(chosen, info)
    yield "\n## Preset\n"
    yield f"```toml\n{_preset(chosen)}\n```"
    for changed in run.changes():
        if changed.step < chosen.done:
            yield f"\nFrom step {changed.step:,} on: lr {changed.lr:g}, eps {changed.eps:g}."
    yield "\n## Made with\n"
    yield from _made_with(chosen, info)


def _front(chosen: Chosen, exported: Exported) -> Iterator[str]:
    """What the hub reads: only ids that it knows."""
    wanted = chosen.wanted
    sources = (wanted.task.train, wanted.task.validation)
    sets = sorted({one.partition("@")[0].partition(":")[0] for one in sources if one and not _is_local(one)})
    yield "---"
    if not _is_local(wanted.model.path):
        yield f"base_model: {wanted.model.path}"
    yield f"library_name: {'transformers' if exported.rank is None else 'peft'}"
    yield "pipeline_tag: text-generation"
    if sets:
        yield "datasets:"
        yield from (f"- {one}" for one in sets)
    yield "tags:"
    yield from (f"- {tag}" for tag in ("zotui", "zeroth-order", *(["lora"] if exported.rank is not None else [])))
    yield "---\n"


def _results(chosen: Chosen) -> Iterator[str]:
    """Of the base model and of this state, by split."""
    evaluations = chosen.run.evaluations()
    here = [one for one in evaluations if one.step in (0, chosen.done)]
    if not any(one.step == chosen.done for one in here):
        yield f"The state after {chosen.done:,} steps was not evaluated by the run.\n"
    if not here:
        return
    yield "| after | split | examples | " + " | ".join(_names(here)) + " |"
    yield "|---|---|---|" + "---|" * len(_names(here))
    for one in sorted(here, key=lambda one: (one.split, one.step)):
        steps = f"{one.step:,} steps" if one.step else "0 steps (the base model)"
        cells = (_figure(name, one) for name in _names(here))
        yield f"| {steps} | {one.split} | {one.examples or '?'} | " + " | ".join(cells) + " |"
    if any(name in SHARES for name in _names(here)):
        yield "\nIn brackets: 95% intervals by Wilson's score, of the examples that were drawn."


def _measured_since(chosen: Chosen) -> Iterator[str]:
    """What `zotui eval` measured of the base model and of this state: of a split, a task and shots the newest."""
    newest = {(one.task, one.split, one.shots, one.step): one for one in chosen.run.evals()}
    here = [one for _, one in sorted(newest.items()) if one.step in (0, chosen.done)]
    if not here:
        return
    yield "\nMeasured by `zotui eval`, likewise with 95% intervals:\n"
    yield "| after | task | split | shots | examples | metrics |"
    yield "|---|---|---|---|---|---|"
    for one in here:
        figures = ", ".join(
            f"{name} {_with_interval(one.metrics[name], one.intervals.get(name))}" for name in _names([one])
        )
        yield f"| {one.step:,} steps | {one.task} | {one.split} | {one.shots} | {one.examples:,} | {figures} |"


def _seeds(chosen: Chosen) -> Iterator[str]:
    """The same run with other seeds, where they lie beside it and have come as far."""
    found = {chosen.wanted.run.seed: last} if (last := _at(chosen.run, chosen.done)) else {}
    for info in sorted(chosen.run.path.parent.glob("*/run.json")):
        other = RunDir(info.parent)
        if other.path == chosen.run.path:
            continue
        try:
            wanted = other.preset()
            same = wanted.run.model_copy(update={"seed": chosen.wanted.run.seed})
            if wanted.model_copy(update={"run": same}) == chosen.wanted and (its := _at(other, chosen.done)):
                found.setdefault(wanted.run.seed, its)
        except (UserError, OSError):  # of somebody else's run nothing is told
            continue
    if len(found) < 2:
        return
    names = _names(list(found.values()))
    yield f"\nThe same preset with {len(found)} seeds, after {chosen.done:,} steps:\n"
    yield "| seed | " + " | ".join(names) + " |"
    yield "|---|" + "---|" * len(names)
    for seed, one in sorted(found.items()):
        yield f"| {seed} | " + " | ".join(_figure(name, one) for name in names) + " |"
    means = (statistics.fmean(one.metrics.get(name, math.nan) for one in found.values()) for name in names)
    yield "| mean | " + " | ".join(f"{mean:.4f}" for mean in means) + " |"


def _at(run: RunDir, step: int) -> Eval | None:
    """Of the validation split after so many steps."""
    return next((one for one in reversed(run.evaluations()) if (one.step, one.split) == (step, "validation")), None)


def _names(evaluations: Sequence[Eval | Evaluated]) -> list[str]:
    names = dict.fromkeys(name for one in evaluations for name in one.metrics)
    return sorted(names, key=lambda name: (name not in SHARES, name != "loss"))


def _figure(name: str, one: Eval) -> str:
    value = one.metrics.get(name)
    if value is None:
        return ""
    # Records of before 0.6 do not say for how many examples a text was generated, and get no interval of that.
    generated = one.generated if isinstance(one.generated, int) else 0
    return _with_interval(value, intervals(one.metrics, one.examples, generated).get(name))


def _with_interval(value: float, interval: tuple[float, float] | None) -> str:
    if interval is None:
        return f"{value:.4f}"
    low, high = interval
    return f"{value:.3f} [{low:.3f}, {high:.3f}]"


def _curve(chosen: Chosen) -> Iterator[str]:
    """Evaluations, and the mean training loss of the steps before each: at most some rows, the last among them."""
    led = {step.step: step.loss for step in chosen.led_here}
    every = {one.step: one for one in chosen.run.evaluations() if one.split == "validation" and one.step <= chosen.done}
    steps = sorted(step for step in every if step == 0 or step - 1 in led)  # not of steps that were taken back
    apart = max(1, math.ceil((len(steps) - 1) / _ROWS))
    shown = sorted({*steps[::apart], *steps[-1:]})
    names = _names(list(every.values()))
    yield "| after | training loss | " + " | ".join(f"validation {name}" for name in names) + " |"
    yield "|---|---|" + "---|" * len(names)
    for before, step in zip([-1, *shown], shown, strict=False):
        losses = [loss for number in range(max(0, before), step) if math.isfinite(loss := led.get(number, math.nan))]
        mean = f"{statistics.fmean(losses):.4f}" if losses else ""
        figures = (every[step].metrics.get(name) for name in names)
        cells = ("" if one is None else f"{one:.4f}" for one in figures)
        yield f"| {step:,} | {mean} | " + " | ".join(cells) + " |"


def _loading(chosen: Chosen, exported: Exported, base: str) -> Iterator[str]:
    folder, code = exported.folder, chosen.wanted.model.trust_remote_code
    trust = ", trust_remote_code=True" if code else ""
    yield "```python\nfrom transformers import AutoModelForCausalLM, AutoTokenizer\n"
    if exported.rank is None:
        yield f'model = AutoModelForCausalLM.from_pretrained("{folder}", dtype="auto"{trust})'
        yield f'tokenizer = AutoTokenizer.from_pretrained("{folder}"{trust})\n```'
        serving = serve_model(folder, code=code)
    else:
        yield "from peft import PeftModel\n"
        yield f'base = AutoModelForCausalLM.from_pretrained("{base}", dtype="auto"{trust})'
        yield f'model = PeftModel.from_pretrained(base, "{folder}")'
        yield f'tokenizer = AutoTokenizer.from_pretrained("{base}"{trust})\n```'
        serving = serve_adapter(folder, base, chosen.run.name, exported.rank, code=code)
    yield f"\nServed with vLLM:\n\n```sh\n{serving}\n```"
    if chosen.wanted.task.template:
        yield "\nIt was trained on prompts as `task.template` below has them."


def _data(chosen: Chosen, info: Info) -> Iterator[str]:
    on, wanted = info.started_on, chosen.wanted
    yield "| | | examples | sha256 |"
    yield "|---|---|---|---|"
    for split, mark in (on.data or {} if on else {}).items():
        source = getattr(wanted.task, split, None)
        name = f"`{_elsewhere(source)}`" if source else f"`{wanted.task.name}`" if wanted.task.name else "held out"
        yield f"| {split} | {name} | {mark.examples:,} | `{mark.sha256}` |"
    revision = f", revision `{on.revision}`" if on and on.revision else ""
    for file, known in (on.model or {} if on else {}).items():
        digest = f"`{known.sha256}`" if known.sha256 else f"`{known.sampled_sha256}` (of a sample)"
        yield f"| model | `{file}`, {known.size:,} bytes{revision} | | {digest} |"
    yield "\nOf data the fingerprint is that of the token ids, options and labels that were used."


def _preset(chosen: Chosen) -> str:
    found = chosen.wanted.model_dump(exclude_none=True)
    found["model"]["path"] = _elsewhere(found["model"]["path"])
    for split in ("train", "validation", "test"):
        if found["task"].get(split):
            found["task"][split] = _elsewhere(found["task"][split])
    return tomlkit.dumps(found).strip()


def _made_with(chosen: Chosen, info: Info) -> Iterator[str]:
    versions = ", ".join(f"{name} {version}" for name, version in info.versions.items())
    device = f"{info.device}{f' ({gpu})' if (gpu := info.hardware.get('gpu')) and str(gpu) not in info.device else ''}"
    yield f"- {versions}"
    yield f"- runtime {info.runtime}, {info.dtype}, on {device or 'an unknown device'}"
    yield f"- {math.fsum(step.seconds for step in chosen.steps[: chosen.done]) / 3600:.3g} hours of steps"
    for former in info.formerly:
        before = ", ".join(f"{name} {version}" for name, version in (former.versions or {}).items())
        yield f"- up to step {former.until_step:,}: {before or 'unknown versions'}"


def _is_local(text: str) -> bool:
    return text.startswith("builtin:") or local(text).is_absolute()


def _elsewhere(text: str) -> str:
    """A path of this machine by its last name; a hub id as it is."""
    return local(text).name if _is_local(text) and not text.startswith("builtin:") else text
