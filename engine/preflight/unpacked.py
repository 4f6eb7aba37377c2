"""Where packed passes cannot be had: vLLM's public API or the training loop, whichever takes a step in less time here.

Both take the run's first step, one after the other, for there may be no memory for both at once; of two tries the
shorter counts, the first having warmed up. What is kept is opened anew, and its weights are those of the files.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from engine.errors import UserError, first_line
from engine.machine import give_back
from engine.optimizer import probing_of
from engine.preflight.checks import Fit
from engine.preflight.plan import Prepared
from engine.runtimes.base import Note, Probe, Report, Runtime
from engine.runtimes.vllm.runtime import VllmRuntime
from engine.runtimes.vllm.self_check import verdict
from engine.runtimes.vllm.support import REMEDY
from engine.tasks.batches import Batches
from engine.tasks.example import Example

_TRIES = 2

_clock = time.perf_counter


@dataclass(frozen=True)
class _Step:
    seconds: float
    probes: list[Probe]

    def __str__(self) -> str:
        return f"{self.seconds:.3g} s"


def without_packed(
    prepared: Prepared, vllm: VllmRuntime, why: str, load: Callable[[str], Runtime], report: Report, note: Note
) -> Runtime:
    """The runtime to go on with, after the self-check of `vllm` said `why` it must not be packed passes.

    `load` opens `vllm` or `training-loop` anew. `model.runtime = vllm` keeps vLLM; `auto` takes the faster, or the one
    of the two that works. Raises `UserError` where none does.
    """
    plan, wanted = prepared.plan, prepared.plan.wanted
    examples = Batches.of(prepared.task.train, wanted).at(0)
    public = None
    if "public" in vllm.paths:
        report("self-check", None, "timing a step by vLLM's public API")
        public = _step(vllm, prepared, examples)
        why = f"{why}; vLLM's public API: {public} a step"
    if wanted.model.runtime != "auto":
        if public is None:
            vllm.close()
            raise UserError(f"model.path: {prepared.path}: {why}; use --set model.runtime=training-loop")
        asked = "as the run began" if plan.begun else "for model.runtime is vllm"
        note("warning", f"{why}, and it is used, {asked}")
        return vllm
    vllm.close()
    give_back(plan.device)
    loop: Runtime | None = None
    try:
        updates = _fit_of_loop(prepared).updates
        loop = load("training-loop")
        report("self-check", None, "timing a step by the training loop")
        by_loop = _step(loop, prepared, examples)
    except Exception as error:
        if public is None:
            raise
        why = f"{why}; the training loop cannot be had here ({first_line(error)})"
    else:
        why = f"{why}{',' if public else ';'} the training loop: {by_loop}"
        off = _difference(examples, public, by_loop, plan.dtype) if public else 0.0
        if off:
            why = f"{why}; they differ by {off:.2g} nats"
        if public is None or off or by_loop.seconds < public.seconds:
            loop.abandon_probe()  # its weights were moved there and back
            note("warning", f"{why}: the training loop is used")
            note(*_what_becomes_of_updates(updates, plan.dtype))
            return loop
    loop = None
    give_back(plan.device)
    note("warning", f"{why}: the public API is used")
    reopened = load("vllm")
    assert isinstance(reopened, VllmRuntime)
    reopened.use_public_api()
    return reopened


def without_vllm(prepared: Prepared, why: str, load: Callable[[str], Runtime], note: Note) -> Runtime:
    """The training loop, where vLLM does not load the model or cannot adapt it, as a `CannotAdapt` said in `why`."""
    plan = prepared.plan
    give_back(plan.device)
    updates = _fit_of_loop(prepared).updates
    loop = load("training-loop")
    note("warning", f"{why.removesuffix(REMEDY)}: the slower training-loop runtime is used")
    note(*_what_becomes_of_updates(updates, plan.dtype))
    return loop


def _what_becomes_of_updates(told: str, dtype: str) -> tuple[Literal["info", "warning"], str]:
    """In 16 bits the loop's steps, be they quick, lose most of what vLLM's would keep."""
    if dtype == "float32":
        return "info", told
    return "warning", f"{told}; --set model.runtime=vllm keeps what that loses, at its public API's pace"


def _fit_of_loop(prepared: Prepared) -> Fit:
    """Raises `UserError` where there is no memory for it."""
    return prepared.plan.by_training_loop("").fit(prepared.needs)


def _step(runtime: Runtime, prepared: Prepared, examples: list[Example]) -> _Step:
    """What the run's first step scores; nothing is learned from it, which costs next to nothing, and leaves traces."""
    method, found, seconds = prepared.plan.wanted.method, [], math.inf
    for _ in range(_TRIES):
        runtime.redraw(0)
        began = _clock()
        probing = probing_of(method, len(examples))
        found = runtime.probe(0, probing, method.eps, examples)
        seconds = min(seconds, _clock() - began)
    return _Step(seconds, found)


def _difference(examples: list[Example], public: _Step, loop: _Step, dtype: str) -> float:
    """How far apart the two score the same directions, in nats; 0 where they agree.

    In 16 bits the loop's directions are rounded into its weights, and tell nothing of the other.
    """
    if dtype != "float32":
        return 0.0
    off = 0.0
    for one, other in zip(public.probes, loop.probes, strict=True):
        agreed, worst = verdict(examples, [one.plus, one.minus], [other.plus, other.minus], dtype)
        if not agreed:
            off = max(off, worst) if math.isfinite(worst) else math.inf
    return off
