"""The dialogs that change how a run goes on: a change from the next step on, and a fork of it."""

from __future__ import annotations

import shlex

from engine.errors import UserError
from engine.protocol.commands import Change
from engine.protocol.events import Changed
from engine.runs.directory import RunDir, step_of
from engine.runs.fork import Plan, plan
from zotui.app.kit.ask_fields import Field, Fields
from zotui.text import numbers


def change_dialog(now: Changed) -> Fields:
    """Asks for lr, eps and the evaluation interval, other than they are `now`."""
    fields = [
        Field("lr", f"{now.lr:g}", "the learning rate, before its schedule"),
        Field("eps", f"{now.eps:g}", "the size of the perturbation"),
        Field("eval every", f"{now.eval_every}", "steps between evaluations; 0: none between"),
    ]
    text = "What is changed counts from the next step on. It is on record, and a resumed run follows it exactly."
    return Fields("change settings", text, fields, lambda texts: _wrong(texts), "change")


def change_of(texts: dict[str, str]) -> Change:
    """The command for what was changed."""
    return Change(
        lr=float(texts["lr"]) if "lr" in texts else None,
        eps=float(texts["eps"]) if "eps" in texts else None,
        eval_every=int(texts["eval every"]) if "eval every" in texts else None,
    )


def _wrong(texts: dict[str, str]) -> str:
    for name in texts.keys() & {"lr", "eps"}:
        try:
            value = float(texts[name])
        except ValueError:
            value = 0.0
        if not 0 < value <= 1e30:
            return f"{name}: a number above 0, such as 1e-6"
    text = texts.get("eval every", "0")
    return "" if text.isdecimal() and len(text) < 10 else "eval every: a whole number; 0 evaluates only at the end"


def fork_dialog(run: RunDir, first: Plan) -> Fields:
    """Asks where to fork, `first` unless it is changed, and what is to differ from there on. Raises `UserError`."""
    method, length = first.preset.method, first.preset.run
    saved = map(step_of, run.checkpoint_folders())
    steps = ", ".join(numbers.count(step) for step in saved) or "none"
    fields = [
        Field("after step", str(first.step), f"1 to {numbers.count(run.steps_done())}"),
        Field("lr", f"{method.lr:g}", "method.lr: the learning rate"),
        Field("eps", f"{method.eps:g}", "method.eps: the perturbation"),
        Field("steps", str(length.steps), "run.steps: where it ends"),
        Field("more", "", "other keys, as key=value"),
    ]
    text = (
        f"A new run begins where {run.name} was, with its steps until then, and goes on with other settings; "
        f"{run.name} stays as it is. Quickest from a checkpoint: {steps}."
    )

    def wrong(texts: dict[str, str]) -> str:
        try:
            plan(run, *fork_of(texts, first.step))
        except UserError as error:
            return str(error)
        return ""

    return Fields("fork", text, fields, wrong, "fork")


def fork_of(texts: dict[str, str], step: int) -> tuple[int, list[str]]:
    """Step and changes of what was changed; the step is `step` where it was not. Raises `UserError`."""
    try:
        more = shlex.split(texts.get("more", ""))
        step = int(texts.get("after step", str(step)).replace(",", ""))
    except ValueError as error:
        raise UserError(f"{error}; write a step, and changes as key=value") from None
    keys = {"lr": "method.lr", "eps": "method.eps", "steps": "run.steps"}
    return step, [*(f"{key}={texts[name]}" for name, key in keys.items() if name in texts), *more]
