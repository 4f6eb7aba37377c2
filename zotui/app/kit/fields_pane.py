"""The pane that a form's fields are in."""

from __future__ import annotations

from textual.containers import VerticalScroll


class FieldsPane(VerticalScroll, can_focus=False, inherit_bindings=False):
    """Follows the cursor: the arrows move between the fields, and do not scroll."""
