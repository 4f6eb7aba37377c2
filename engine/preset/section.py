"""What every section of a preset has: unknown keys are refused, and each key explains itself."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, field_validator

from engine.text import is_plain


class Section(BaseModel):
    """A part of a file of keys: unknown ones are refused, and no text holds what a terminal would obey."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, protected_namespaces=())

    @field_validator("*", mode="before")
    @classmethod
    def _plain(cls, value: Any) -> Any:
        """Presets are passed on: none may hold what a terminal that shows it would obey."""
        texts = [*value, *value.values()] if isinstance(value, dict) else [value]
        if not all(is_plain(text) for text in texts if isinstance(text, str)):
            raise ValueError("holds a control character; write plain text")
        return value
