"""[task]: what it is tuned for."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from engine.preset.section import Section


def _as_text(value: Any) -> Any:
    """Labels and options are text: `1 = 5` is the same verbalizer as `"1" = "5"`."""
    if not isinstance(value, dict):
        return value
    return {str(k): str(v) if isinstance(v, (int, float)) else v for k, v in value.items()}


class Task(Section):
    name: Literal["sst2", "demo"] | None = Field(
        None, description="A built-in task; every other task.* key overrides what it brings."
    )
    train: str | None = Field(
        None,
        description="A .jsonl, .ndjson, .json, .csv or .tsv file, each also as .gz; .parquet, a folder of such or a "
        "pattern for their names; or a hub id name[:config]@split.",
    )
    validation: str | None = Field(None, description="Held-out examples; same forms as task.train.")
    test: str | None = Field(None, description="Kept for a last evaluation: no run reads it. Same forms as task.train.")
    template: str | None = Field(None, description="The prompt, with {column} where a column of the data goes.")
    label: str | None = Field(None, description="Column that holds the label.")
    verbalizer: Annotated[dict[str, str] | None, BeforeValidator(_as_text)] = Field(
        None, description="Label -> option text, joined to the prompt by one space."
    )
    target: str | None = Field(
        None,
        description="Objective lm: the text to learn after the prompt, with {column} fields; white space that it ends "
        "in is learned too.",
    )
    end: Literal["eos", "none"] | None = Field(
        None,
        description="Objective lm: what follows the target. eos: the tokenizer's EOS token, which is learned with it; "
        "none: nothing; unset: none.",
    )
    objective: Literal["classification", "lm"] | None = Field(
        None, description="classification over the options, or lm: likelihood of the target."
    )
    train_examples: int | None = Field(
        None, ge=1, description="Size of the seeded training sample; unset is all of it."
    )
    validation_examples: int | None = Field(
        None, ge=1, description="Size of the seeded validation sample; unset is all of it."
    )
    bos: Literal["auto", "never"] = Field(
        "auto",
        description="auto: prompts begin with the tokenizer's BOS token if it has one; never: only "
        "if the tokenizer itself puts it there.",
    )
    too_long: Literal["refuse", "truncate", "skip"] = Field(
        "refuse", description="What to do with examples longer than the model's context."
    )

    @model_validator(mode="after")
    def _complete(self) -> Task:
        if self.name is None and self.train is None:
            raise ValueError("set task.name to a built-in task, or task.train to a file or hub id")
        return self
