"""What is wrong with a recording, in words that name the field: before anything is loaded."""

from __future__ import annotations

from collections.abc import Iterator

from engine.parity.recording import FIGURES, RecordedExample, RecordedMethod, RecordedStep, Trajectory, kind_of

_NEEDED = {
    "lozo": ("rank", "interval"),
    "lozo-m": ("rank", "interval", "beta"),
    "zo-muon": ("rank", "interval", "sided", "update"),
    "conmezo": ("theta", "first_seed"),
}  # of the method, by family
_NEVER_DECAYS = ("fzoo", "p-rge", "conmezo")


def problem(trajectory: Trajectory) -> str | None:
    """The first thing that is wrong, or None."""
    if not (trajectory.steps and trajectory.parameters and trajectory.method.eps > 0):
        return "needs steps, parameters and a method.eps above 0"
    return next(_of_method(trajectory), None) or next(_of_parameters(trajectory), None) or _of_steps(trajectory)


def _of_method(trajectory: Trajectory) -> Iterator[str]:
    method = trajectory.method
    for name in _NEEDED.get(method.family, ()):
        if getattr(method, name) is None:
            yield f"method.{name}: {method.family} needs one"
    if method.weight_decay and method.family in _NEVER_DECAYS:
        yield f"method.weight_decay: the official code of {method.family} never decays, {method.weight_decay} cannot be"
    if method.sided == "two" and method.queries not in (None, 1):
        yield f"method.queries: two-sided {method.family} has one query, not {method.queries}"
    if method.family == "p-rge" and method.scope != "adapter":
        yield f"method.scope: p-rge moves an adapter, not {method.scope}"
    if (method.scope == "adapter") != (trajectory.adapter is not None):
        yield f"adapter: there must be one where method.scope is adapter, and only there; the scope is {method.scope}"


def _of_parameters(trajectory: Trajectory) -> Iterator[str]:
    method, seen = trajectory.method, set()
    for name, shape in trajectory.parameters:
        if name in seen:
            yield f"parameters: {name} is there twice"
        seen.add(name)
        if method.rank and len(shape) > 2:
            yield f"parameters: {name} of {len(shape)} dimensions; {method.family} draws for matrices and vectors"
        if method.family == "zo-muon" and len(shape) == 2 and shape[0] < (method.rank or 1):
            yield f"parameters: {name} has {shape[0]} rows, fewer than method.rank {method.rank} (official code fails)"
        if method.scope == "adapter" and not name.endswith((".lora_A", ".lora_B")):
            yield f"parameters: {name} is not of an adapter (….lora_A or ….lora_B), which is method.scope"
        if method.family == "p-rge" and not name.endswith(".lora_B"):
            yield f"parameters: {name} does not move in p-rge, which moves ….lora_B alone"


def _of_steps(trajectory: Trajectory) -> str | None:
    for index, step in enumerate(trajectory.steps):
        if step.step != index:
            return f"steps[{index}]: is step {step.step}; the steps must be all there, in order from 0"
        if not step.examples:
            return f"steps[{index}]: has no examples"
        if found := next(_of_step(trajectory.method, step), None):
            return f"steps[{index}].{found}"
        for number, example in enumerate(step.examples):
            if found := _of_example(example):
                return f"steps[{index}].examples[{number}]: {found}"
            if trajectory.objective == "lm" and len(example.sequences) != 1:
                return (
                    f"steps[{index}].examples[{number}]: objective lm takes one sequence, not {len(example.sequences)}"
                )
    return None


def _of_step(method: RecordedMethod, step: RecordedStep) -> Iterator[str]:
    kind = kind_of(method)
    losses, estimate = FIGURES[kind]
    needed = ["seeds" if kind == "one-sided" else "seed", *losses, estimate]
    needed += ["smooth"] if method.family == "hizoo" else []
    needed += ["beta"] if method.family == "conmezo" and step.step > 0 else []
    needed += ["lr"] if method.lr_schedule != "constant" else []
    for name in needed:
        if getattr(step, name) is None:
            yield f"{name}: missing; steps of {method.family} have {', '.join(needed)}"
    lists = {name: len(value) for name in needed if isinstance(value := getattr(step, name), list)}
    queries = method.queries or next(iter(lists.values()), 1)
    for name, count in lists.items():
        if count != queries or not count:
            yield f"{name}: {count} of them for {queries} queries ({', '.join(lists)} need one for each)"
    if method.shards and len(step.examples) < queries:
        yield f"examples: {len(step.examples)} of them cannot be {queries} shards"


def _of_example(example: RecordedExample) -> str | None:
    if not example.sequences or len(example.sequences) != len(example.option_lens):
        return "needs as many option_lens as sequences"
    if not 0 <= example.label < len(example.sequences):
        return f"label {example.label} is not one of its {len(example.sequences)} options"
    for sequence, count in zip(example.sequences, example.option_lens, strict=True):
        if not 1 <= count < len(sequence):
            return f"an option of {count} tokens in a sequence of {len(sequence)}"
    return None
