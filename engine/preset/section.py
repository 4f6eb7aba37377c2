"""What every section of a preset has: unknown keys are refused, and each key explains itself."""

from __future__ import annotations

from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel, ConfigDict, ValidationInfo, field_validator

from engine.text import is_plain


class Section(BaseModel):
    """A part of a file of keys: unknown ones are refused, and no text holds what a terminal would obey."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, protected_namespaces=())

    @field_validator("*", mode="before")
    @classmethod
    def _plain(cls, value: Any, info: ValidationInfo) -> Any:
        """Presets are passed on: none may hold what a terminal that shows it would obey. And true is no number."""
        kinds = _kinds(cls.model_fields[info.field_name or ""].annotation)
        if isinstance(value, bool) and bool not in kinds and kinds & {int, float}:
            raise ValueError("expected a number")
        if (
            isinstance(value, (int, float))
            and not isinstance(value, bool)
            and bool in kinds
            and not kinds & {int, float}
        ):
            raise ValueError("expected true or false")
        texts = [*value, *value.values()] if isinstance(value, dict) else [value]
        if not all(is_plain(text) for text in texts if isinstance(text, str)):
            raise ValueError("holds a control character; write plain text")
        return value


def _kinds(annotation: Any) -> set[Any]:
    """The types that a value may have, of alternatives all of them."""
    if get_origin(annotation) is Literal:
        return {type(value) for value in get_args(annotation)}
    inner = get_args(annotation)
    return set().union(*map(_kinds, inner)) if inner else {annotation}
