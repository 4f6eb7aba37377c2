"""Presets: what to run. One TOML file, validated; unknown keys are refused with a suggestion.

`Preset` is the schema and its field descriptions are the documentation of every knob. The files in
`presets/` show them in use.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal

import tomlkit
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator, model_validator

from engine.errors import UserError
from engine.plain import is_plain

BUILTIN_DEMO = "builtin:demo"


def _as_text(value: Any) -> Any:
    """Labels and options are text: `1 = 5` is the same verbalizer as `"1" = "5"`."""
    if not isinstance(value, dict):
        return value
    return {str(k): str(v) if isinstance(v, (int, float)) else v for k, v in value.items()}


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


class Model(Section):
    path: str = Field(min_length=1, description="Folder of a model, its hub id, or builtin:demo.")
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        "auto", description="Precision of the weights; auto is float32 on CPU, the model's own on a GPU."
    )
    runtime: Literal["auto", "vllm", "training-loop"] = Field(
        "auto", description="What scores the probes; auto is vllm when it loads, else training-loop."
    )
    fold: Literal["auto", "residual", "stochastic", "nearest"] = Field(
        "auto",
        description="How a fold keeps what bfloat16 or float16 weights cannot tell apart: residual (2 bytes a "
        "parameter), stochastic (rounding, no memory) or nearest (loses it); auto is residual; float32 needs none.",
    )
    cuda_graphs: Literal["auto", "off"] = Field(
        "auto", description="auto: small models on a GPU record their forward passes as CUDA graphs; off: never."
    )
    device: str = Field(
        "auto",
        pattern=r"^(auto|cpu|cuda(:\d+)?)$",
        description="auto, cpu, cuda or cuda:N; auto is the first GPU, else the CPU.",
    )
    memory_limit_gib: float | None = Field(
        None, gt=0, description="Most memory to use on the device, in GiB; unset is what is free."
    )
    max_length: int | None = Field(
        None, ge=8, description="Longest sequence in tokens; unset is the model's own context."
    )
    trust_remote_code: bool = Field(False, description="Run Python code that comes with the model.")


class Task(Section):
    name: Literal["sst2", "demo"] | None = Field(
        None, description="A built-in task; every other task.* key overrides what it brings."
    )
    train: str | None = Field(
        None, description="A .jsonl, .json, .csv or .parquet file, or a hub id name[:config]@split."
    )
    validation: str | None = Field(None, description="Held-out examples; same forms as task.train.")
    test: str | None = Field(None, description="Kept for a last evaluation: no run reads it. Same forms as task.train.")
    template: str | None = Field(None, description="The prompt, with {column} where a column of the data goes.")
    label: str | None = Field(None, description="Column that holds the label.")
    verbalizer: Annotated[dict[str, str] | None, BeforeValidator(_as_text)] = Field(
        None, description="Label -> option text, joined to the prompt by one space."
    )
    target: str | None = Field(
        None, description="Objective lm: the text to learn after the prompt, with {column} fields."
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


class Method(Section):
    name: Literal["lozo"] = Field("lozo", description="The zeroth-order method.")
    rank: int = Field(2, ge=1, le=512, description="Rank r of a direction Z = U V^T.")
    interval: int = Field(50, ge=1, description="Steps between redraws of V (nu); each ends in a fold.")
    eps: float = Field(1e-3, gt=0, le=1e30, description="Size of the perturbation W +- eps Z.")
    lr: float = Field(1e-6, gt=0, description="Learning rate.")
    schedule: Literal["constant", "linear"] = Field(
        "constant", description="Learning rate over the run: constant, or linear down to 0."
    )
    queries: int = Field(1, ge=1, le=256, description="Directions per step (q), averaged.")
    scope: Literal["linear"] = Field(
        "linear", description="Which parameters move: linear is every linear layer of the blocks."
    )


def _as_list(value: Any) -> Any:
    """`--set run.track=wandb` is a list of one."""
    return [part.strip() for part in value.split(",")] if isinstance(value, str) else value


class Run(Section):
    steps: int = Field(1000, ge=1, description="Optimisation steps.")
    batch_size: int = Field(16, ge=1, description="Examples per step.")
    seed: int = Field(0, ge=0, lt=2**63, description="Seed of the sample, the batches and the directions.")
    eval_every: int | None = Field(None, ge=1, description="Steps between evaluations; unset is only before and after.")
    checkpoint_every: int | None = Field(
        None, ge=1, description="Steps between checkpoints; unset is only when asked, for the best, and at the end."
    )
    keep_checkpoints: int = Field(
        2, ge=1, description="How many checkpoints are kept: the newest so many, and the best evaluated one."
    )
    checkpoint_best: bool = Field(
        True, description="Whether an evaluation that is the best so far writes a checkpoint, which is kept."
    )
    when_app_leaves: Literal["go-on", "stop"] = Field(
        "go-on",
        description="What a run does when its app leaves and none is attached: go-on to its end, or stop and save.",
    )
    track: Annotated[list[Literal["tensorboard", "trackio", "wandb"]], BeforeValidator(_as_list)] = Field(
        [], description="Where the figures are logged as well: a list of tensorboard, trackio and wandb."
    )


class Preset(Section):
    """What to run."""

    description: str = Field("", description="One line for the list of presets.")
    model: Model
    task: Task
    method: Method = Method()  # type: ignore[call-arg]
    run: Run = Run()  # type: ignore[call-arg]

    def absolute(self) -> Preset:
        """The same with local paths made absolute: a run is resumed from any folder."""

        def fix(text: str | None) -> str | None:
            path = Path(text).expanduser() if text else None
            return str(path.absolute()) if path and path.exists() else text

        sources = {split: fix(getattr(self.task, split)) for split in ("train", "validation", "test")}
        return self.model_copy(
            update={
                "model": self.model.model_copy(update={"path": fix(self.model.path)}),
                "task": self.task.model_copy(update=sources),
            }
        )

    def to_toml(self) -> str:
        """The resolved preset, every key that is set."""
        return tomlkit.dumps(self.model_dump(exclude_none=True))


def load(source: str, text: str, overrides: Iterable[str] = ()) -> Preset:
    """Validate the TOML `text` of the preset called `source`, with `key=value` overrides applied.

    Raises `UserError` naming the key and the remedy.
    """
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"{source}: not valid TOML: {error}") from None
    for override in overrides:
        _apply(data, override)
    try:
        return Preset.model_validate(data)
    except ValidationError as error:
        raise UserError(f"{source}: {explain(error)}") from None


def load_file(path: Path) -> Preset:
    """Read and validate a preset file. Raises `UserError`."""
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read ({error})") from None
    return load(str(path), text)


def keys(schema: type[Section] | None = None) -> dict[str, str]:
    """Every dotted key of a preset, or of another `schema`, with its documentation."""
    found: dict[str, str] = {}
    for name, field in (schema or Preset).model_fields.items():
        section = field.annotation
        if isinstance(section, type) and issubclass(section, Section):
            for key, inner in section.model_fields.items():
                found[f"{name}.{key}"] = inner.description or ""
        else:
            found[name] = field.description or ""
    return found


def _apply(data: dict[str, Any], override: str) -> None:
    key, equals, raw = override.partition("=")
    key = key.strip()
    if not equals or not key:
        raise UserError(f"--set {override}: expected key=value, for example --set method.lr=1e-6")
    parts = key.split(".")
    if key not in keys() and not key.startswith("task.verbalizer."):
        raise UserError(f"--set {key}: unknown key{suggest(key, keys())}")
    section = data
    for part in parts[:-1]:
        section = section.setdefault(part, {})
        if not isinstance(section, dict):
            raise UserError(f"--set {key}: {part} is a value, not a section")
    try:
        value = tomllib.loads(f"value = {raw}")["value"]
    except tomllib.TOMLDecodeError:
        value = raw.strip()
    section[parts[-1]] = raw.strip() if _holds_text(key) and not isinstance(value, str) else value


def _holds_text(key: str) -> bool:
    """Whether a key is plain text, so that `--set task.label=1` means the column called 1."""
    section, _, name = key.partition(".")
    model = Preset.model_fields[section].annotation
    if not (isinstance(model, type) and issubclass(model, Section)) or name not in model.model_fields:
        return False
    return model.model_fields[name].annotation in (str, str | None)


def suggest(word: str, known: Iterable[str]) -> str:
    """`; did you mean '...'?`, or nothing when no known word is near."""
    known = list(known)
    near = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    if not near:  # a right name in the wrong section
        tail = {name.rpartition(".")[2]: name for name in known}
        near = [tail[t] for t in difflib.get_close_matches(word.rpartition(".")[2], tail, n=1, cutoff=0.8)]
    return f"; did you mean '{near[0]}'?" if near else ""


def explain(error: ValidationError, schema: type[Section] = Preset) -> str:
    """The first fault, as `key: what is wrong; what to do`."""
    # A misspelt key comes first: what it leaves missing follows from it.
    first = min(error.errors(include_url=False), key=lambda fault: fault["type"] != "extra_forbidden")
    key = ".".join(str(part) for part in first["loc"])
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    if first["type"] == "extra_forbidden":
        return f"{key}: unknown key{suggest(key, [*keys(schema), *schema.model_fields])}{more}"
    if first["type"] == "missing":
        return f"{key}: missing; {keys(schema).get(key, 'a required section')}{more}"
    message = first["msg"].removeprefix("Value error, ")
    message = message[0].lower() + message[1:]
    given = first.get("input")
    shown = f", not {given!r}" if isinstance(given, (int, float, str)) else ""
    about = keys(schema).get(key, "")
    return f"{key}: {message}{shown}{'; ' + about if about else ''}{more}"
