"""[task]: what it is tuned for."""

from __future__ import annotations

from typing import Annotated, Any, Literal, get_args

from pydantic import BeforeValidator, Field, model_validator

from engine.preset.section import Section


def _as_text(value: Any) -> Any:
    """Labels and options are text: `1 = 5` is the same verbalizer as `"1" = "5"`."""
    if not isinstance(value, dict):
        return value
    return {str(k): str(v) if isinstance(v, (int, float)) else v for k, v in value.items()}


def _as_list(value: Any) -> Any:
    """A template by itself is a list of one."""
    return [value] if isinstance(value, str) else value


TaskName = Literal[
    "sst2", "rte", "cb", "boolq", "wsc", "wic", "multirc", "copa", "record", "squad", "drop", "ag_news", "demo"
]
TASKS: tuple[TaskName, ...] = get_args(TaskName)
Kind = Literal["classification", "multiple-choice", "generation", "text"]


class Task(Section):
    name: TaskName | None = Field(None, description="A built-in task; every other task.* key overrides what it brings.")
    kind: Kind | None = Field(
        None,
        description="classification: which of the verbalizer's options? multiple-choice: which of an example's own? "
        "generation: a text after the prompt. text: all of a text, without a prompt. Unset: what the other keys say.",
    )
    train: str | None = Field(
        None,
        description="A .jsonl, .ndjson, .json, .csv or .tsv file, each also as .gz; .parquet, a folder of such or a "
        "pattern for their names; or a hub id name[:config]@split.",
    )
    validation: str | None = Field(None, description="Held-out examples; same forms as task.train.")
    test: str | None = Field(None, description="Kept for a last evaluation: no run reads it. Same forms as task.train.")
    template: str | None = Field(
        None,
        description="The prompt, with {column} where a column of the data goes; {column:lower}, {column:old=new} and "
        "the like change its text.",
    )
    join: str | None = Field(
        None,
        description="What stands between the prompt and an option or target; unset: a space, but nothing after a "
        "template that ends in a newline.",
    )
    label: str | None = Field(
        None,
        description="Column that holds the label; of a multiple choice the number of the right one, from 0, or its "
        "letter.",
    )
    verbalizer: Annotated[dict[str, str] | None, BeforeValidator(_as_text)] = Field(
        None, description="Label -> option text, joined to the prompt by task.join."
    )
    choices: Annotated[list[str] | None, BeforeValidator(_as_list)] = Field(
        None,
        description="Multiple choice: a template for each choice; or one, which is filled in for every element of a "
        "column that holds a list.",
    )
    answers: str | None = Field(
        None,
        description="Column that holds what is right, a text or a list of texts: among the choices, where there is no "
        "label; or what a generated text is compared with.",
    )
    target: str | None = Field(
        None,
        description="Generation and text: the text to learn, with {column} fields; white space that it ends in is "
        "learned too.",
    )
    end: Literal["eos", "none"] | None = Field(
        None,
        description="Generation and text: what follows the target. eos: the tokenizer's EOS token, which is learned "
        "with it; none: nothing; unset: none.",
    )
    objective: Literal["classification", "lm"] | None = Field(
        None, description="Of older presets: classification, or lm for every other kind. Set task.kind instead."
    )
    messages: str | None = Field(
        None,
        description="Text: column that holds a conversation, a list of {role, content}; the model's chat template "
        "writes it, and what the assistant says is learned.",
    )
    shots: int | None = Field(
        None,
        ge=0,
        description="Training examples, with their answers, that stand before every prompt, the same ones for all, "
        "and are not trained on. Unset: 0.",
    )
    calibration: Literal["none", "sfc"] | None = Field(
        None,
        description="sfc: an evaluation takes from an option's log-probability that behind task.domain, so that what "
        "is likely anyway does not win. Unset: none.",
    )
    domain: str | None = Field(
        None,
        description="For calibration: a prompt that says nothing of the example, as in 'It was'; {column} fields may "
        "be in it. Unset: an empty one.",
    )
    generate_examples: int | None = Field(
        None,
        ge=0,
        description="Generation: for how many validation examples an evaluation also generates a text, and compares it "
        "with the answers by token F1 and exact match; unset: all where the kind is said, none where task.target alone "
        "says it.",
    )
    generate_tokens: int | None = Field(
        None,
        ge=1,
        description="Generation: tokens of a generated text at most; it stops at EOS, and at a newline unless task.end "
        "is eos. Unset: 50.",
    )
    train_examples: int | None = Field(
        None, ge=1, description="Size of the seeded training sample; unset is all of it."
    )
    validation_examples: int | None = Field(
        None, ge=1, description="Size of the seeded validation sample; unset is all of it."
    )
    test_examples: int | None = Field(None, ge=1, description="Size of the seeded test sample; unset is all of it.")
    bos: Literal["auto", "never"] = Field(
        "auto",
        description="auto: prompts begin with the tokenizer's BOS token if it has one; never: only "
        "if the tokenizer itself puts it there.",
    )
    too_long: Literal["refuse", "truncate", "skip"] | None = Field(
        None,
        description="What to do with examples longer than the model's context; unset: refuse, but as MeZO truncate "
        "those of its tasks.",
    )

    @model_validator(mode="after")
    def _complete(self) -> Task:
        if self.name is None and self.train is None:
            raise ValueError("set task.name to a built-in task, or task.train to a file or hub id")
        return self
