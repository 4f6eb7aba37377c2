"""What is proposed for a file, in rows that can be changed."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from textual.containers import Vertical
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Static

from engine.protocol.findings import Draft, Seen
from zotui.app.kit.rows import Rows
from zotui.app.preset.field_row import FieldRow
from zotui.app.preset.own_data.label_table import LabelTable
from zotui.app.preset.own_data.text_row import TextRow
from zotui.home.preset_fields import fields
from zotui.text import numbers
from zotui.text.drafts import checks

Row = FieldRow | TextRow | LabelTable

_ROLES = {
    "": "not used",
    "template": "in the prompt",
    "target": "what is learned",
    "label": "the label",
    "choices": "a choice",
    "answers": "what is right",
    "messages": "conversations",
}
_NAME = 21  # cells
_CALLED = {"template": "prompt", "target": "learned"}


class Proposal(Vertical):
    """What is to be checked; kind, label, prompt, what is learned, the labels' texts; what each column is for."""

    DEFAULT_CSS = """
    Proposal { height: auto; }
    Proposal .heading { color: $primary; text-style: bold; height: 1; margin-top: 1; }
    Proposal Rows { padding-left: 2; }
    Proposal .checks.-none { color: $quiet; }
    Proposal .checks { padding-left: 2; height: auto; width: 1fr; color: $warning; }
    """

    def __init__(self) -> None:
        super().__init__()
        self.rows: dict[str, Row] = {}  # by key of `[task]`
        self._shape: object = None
        self._columns: Rows | None = None
        self._checks: Static | None = None

    def show(self, draft: Draft) -> None:
        """Show a proposal; rows stay, with the cursor in one of them, while it has the same ones."""
        task = tomllib.loads(draft.text)["task"]
        shape = (task.get("train"), task.get("kind"), task.get("label"), list(task.get("verbalizer", ())))
        if shape != self._shape:
            self._shape = shape
            self._build(task, draft)
        if self._columns is not None and self._checks is not None:
            told = checks(draft)
            self._checks.update(Content("\n".join(told) or "nothing stands out"))
            self._checks.set_class(not told, "-none")
            self._columns.show(None, [_column(column) for column in draft.columns])

    def clear(self) -> None:
        """There is none any more."""
        self.rows, self._shape, self._columns = {}, None, None
        self.remove_children()

    def _build(self, task: Mapping[str, Any], draft: Draft) -> None:
        focused = next((key for key, row in self.rows.items() if row.has_focus_within), "")
        self.rows = dict(_rows(task, [column.name for column in draft.columns]))
        self._columns, self._checks = Rows(_NAME), Static(classes="checks")
        shown: list[Widget] = [Static("to check", classes="heading"), self._checks]
        shown.append(Static("what is proposed", classes="heading"))
        shown += [row for key, row in self.rows.items() if key != "verbalizer"]
        if "verbalizer" in self.rows:
            shown += [Static("labels", classes="heading"), self.rows["verbalizer"]]
        shown += [Static("columns", classes="heading"), self._columns]
        with self.app.batch_update():
            self.remove_children()
            self.mount(*shown)
        if focused in self.rows:
            self.call_after_refresh(self._focus, self.rows[focused])

    def _focus(self, row: Row) -> None:
        """Where the cursor was, unless it went elsewhere meanwhile."""
        entry = next((one for one in row.query("*") if one.focusable), None)
        if entry is not None and self.screen.focused is None:
            entry.focus()


def _rows(task: Mapping[str, Any], columns: list[str]) -> Iterator[tuple[str, Row]]:
    known = {field.key: field for field in fields()}
    if "kind" in task:
        yield "kind", FieldRow(known["task.kind"], task["kind"])
    if task.get("kind") == "classification" and task.get("label") in columns:
        label = replace(known["task.label"], kind="choice", choices=tuple(columns), default=task["label"])
        yield "label", FieldRow(label, task["label"])
    for key, called in _CALLED.items():
        if key in task:
            yield key, TextRow(key, called, task[key])
    if "verbalizer" in task:
        yield "verbalizer", LabelTable(task["verbalizer"])


def _column(column: Seen) -> tuple[str, Content]:
    colour = "$foreground" if column.role else "$quiet"
    told = Content.assemble((_ROLES.get(column.role, column.role), colour), (f"  {column.sample}", "$quiet"))
    return numbers.shortened(column.name, _NAME - 2), told
