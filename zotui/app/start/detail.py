"""What is known about the preset or run under the cursor, where there is room for it."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.content import Content

from engine.protocol.findings import Outlook
from engine.runs.directory import Summary
from zotui.app.kit.frame import frame
from zotui.app.kit.rows import Rows
from zotui.app.start.preset_list import Choice
from zotui.text import numbers


class Detail(VerticalScroll, can_focus=False):
    """Rows of name and value."""

    DEFAULT_CSS = (
        frame("Detail")
        + """
    Detail { padding: 0 2; }
    """
    )

    def __init__(self) -> None:
        super().__init__(id="detail")
        self._text = Rows(12)

    def compose(self) -> ComposeResult:
        yield self._text

    def show_preset(self, choice: Choice, outlook: Outlook | None) -> None:
        """Explain a preset."""
        self.border_title = Content(choice.name)
        preset = choice.preset
        if preset is None:
            self._text.show(Content.assemble((choice.fault, "$error")), [])
            return
        task = preset.task.name or preset.task.train or ""
        method, run = preset.method, preset.run
        every = "before and after" if run.eval_every is None else f"every {numbers.count(run.eval_every)} steps"
        save = "when stopped" if run.checkpoint_every is None else f"every {numbers.count(run.checkpoint_every)} steps"
        self._rows(
            preset.description,
            {
                "model": preset.model.path,
                "runtime": f"{preset.model.runtime} on {preset.model.device}, {preset.model.dtype}",
                "task": task,
                "method": f"{method.name}, rank {method.rank}, interval {method.interval}",
                "": f"eps {method.eps:g}, lr {method.lr:g}, queries {method.queries}",
                "steps": f"{numbers.count(run.steps)}, batch of {run.batch_size}, seed {run.seed}",
                "evaluates": every,
                "checkpoints": save,
                **_needs(outlook),
                **({"missing": "; ".join(choice.missing)} if choice.missing else {}),
            },
        )

    def show_new(self) -> None:
        """Explain the line above the presets."""
        self.border_title = "new from my file"
        self._rows(
            "A preset for your own data.",
            {
                "takes": "a file of rows: .jsonl, .json, .csv, .tsv (.gz, too) or .parquet",
                "proposes": "the kind of task, the prompt, what each label is called, lengths and a rate",
                "shows": "the first rows as the model sees them, while you change it",
                "": "enter, or f, begins",
            },
        )

    def show_run(self, run: Summary) -> None:
        """Explain a run."""
        self.border_title = Content(run.name)
        hint = {
            "live": "enter attaches to it",
            "finished": "enter looks at it",
            "new": "r starts it",
        }.get(run.standing, "r resumes it where it was, enter looks at it, d deletes it")
        self._rows(
            run.error,
            {
                "preset": run.preset,
                "standing": run.word,
                "steps": f"{numbers.count(run.steps_done)} of {numbers.count(run.steps)}",
                "held-out": numbers.figures(run.metrics) or numbers.NOTHING,
                "folder": run.path,
                "": hint,
            },
        )

    def clear(self) -> None:
        """Nothing is under the cursor."""
        self.border_title = ""
        self._text.show(None, [])

    def _rows(self, lead: str, rows: dict[str, str]) -> None:
        self._text.show(Content(f"{lead}\n ") if lead else None, [(name, Content(text)) for name, text in rows.items()])


def _needs(outlook: Outlook | None) -> dict[str, str]:
    """What a preset needs of this machine, as rows."""
    if outlook is None:
        return {"needs": numbers.NOTHING}
    if not outlook.memory:
        return {"needs": outlook.why}
    needs = f"about {numbers.size(outlook.memory)} of memory, {numbers.size(outlook.disk)} of disk"
    fits = "fits" if outlook.fits == "yes" else outlook.why
    download = {"download": f"about {numbers.size(outlook.download)} first"} if outlook.download else {}
    return {"needs": f"{needs}: {fits}", **download, "parameters": numbers.short_count(outlook.parameters)}
