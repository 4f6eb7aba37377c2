"""A model's folder written whole or not at all: weights in a precision, everything else as the base model has it."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from engine.errors import UserError, first_line
from engine.models.headers import TensorHeader
from engine.text import in_bytes

if TYPE_CHECKING:
    from transformers import PreTrainedModel

# What belongs to a model beside its weights: tokenizer, templates, generation, its own code, its licence. A model's
# card is not carried along: it describes another model.
_CARRIED = (
    "*.json", "*.jinja", "*.txt", "*.model", "*.tiktoken", "*.py", "additional_chat_templates/*.jinja",
    "LICENSE*", "LICENCE*", "COPYING*", "NOTICE*", "USE_POLICY*",
)  # fmt: skip
_WRITING = ".writing"
_LEFT = ("config.json", "trainer_state.json")  # written anew; of the base model's own training
_SHARD = "5GB"  # as on the hub


@contextmanager
def written_aside(target: Path) -> Iterator[Path]:
    """A new folder that becomes `target` at the end; where that fails, or is interrupted, nothing is left of it.

    A `target` that is there, and empty, may be a mount point, or in a folder that is not to be written into: what is
    written lies within it, and is moved up at the end. Files have the permissions that the umask leaves, whatever wrote
    them.
    """
    target = target.resolve()
    there = target.is_dir()
    above = next(folder for folder in target.parents if folder.exists())
    made = [folder for folder in target.parents if folder != above and folder.is_relative_to(above)]
    aside = target / _WRITING if there else target.with_name(f".{target.name}.writing")
    shutil.rmtree(aside, ignore_errors=True)
    moved: list[Path] = []
    try:
        aside.mkdir(parents=True)
        yield aside
        mask = os.umask(0)
        os.umask(mask)
        for path in aside.rglob("*"):
            path.chmod((0o777 if path.is_dir() else 0o666) & ~mask)
        if there:
            _move_up(aside, moved)
        else:
            aside.rename(target)
    except BaseException:
        for path in (aside, *moved):
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        for folder in made:
            with suppress(OSError):
                folder.rmdir()
        raise


def _move_up(aside: Path, moved: list[Path]) -> None:
    """Move what is in `aside` to beside it, the configuration, which makes it a model, last; `moved`: to where."""
    if any(path != aside for path in aside.parent.iterdir()):
        raise OSError(errno.ENOTEMPTY, os.strerror(errno.ENOTEMPTY))
    for path in sorted(aside.iterdir(), key=lambda path: path.name == "config.json"):
        moved.append(aside.with_name(path.name))
        path.rename(moved[-1])
    aside.rmdir()


def carry_along(base: Path, folder: Path, say: Callable[[str], None]) -> None:
    """Copy what belongs to the model in `base` beside its weights, byte for byte; what cannot be read is said."""
    for path in sorted({path for pattern in _CARRIED for path in base.glob(pattern)}):
        if path.name in _LEFT or path.name.endswith(".index.json") or not path.is_file():
            continue
        try:
            content = path.read_bytes()
        except OSError as error:
            say(f"{path.name} is not carried along: it cannot be read ({error.strerror})")
            continue
        copy = folder / path.relative_to(base)
        copy.parent.mkdir(exist_ok=True)
        copy.write_bytes(content)


def write_config(base: Path, folder: Path, dtype: torch.dtype, architecture: str) -> None:
    """The configuration of the model in `base`, as it is written there but for the precision."""
    config = json.loads((base / "config.json").read_text(encoding="utf-8"))
    parts = [config, *(part for part in config.values() if isinstance(part, dict))]
    said = [(part, key) for part in parts for key in ("dtype", "torch_dtype") if isinstance(part.get(key), str)]
    for part, key in said or [(config, "torch_dtype")]:
        part[key] = str(dtype).removeprefix("torch.")
    config["architectures"] = config.get("architectures") or [architecture]
    (folder / "config.json").write_text(json.dumps(config, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def write_weights(
    model: PreTrainedModel, folder: Path, main: torch.dtype, headers: Mapping[str, TensorHeader] | None
) -> None:
    """Write a model's weights as safetensors, under the names that its files have.

    Each tensor is rounded to nearest: to the precision that `headers` has it in, else to `main`. Raises `UserError` if
    the disk has no room, or a weight is larger than the precision holds; the latter before anything is written.
    """
    from huggingface_hub import save_torch_state_dict
    from safetensors import SafetensorError
    from transformers.core_model_loading import revert_weight_conversion

    state: dict[str, Any] = dict(model.state_dict())
    for name in getattr(model, "_keys_to_ignore_on_save", None) or ():
        state.pop(name, None)
    tied = list(getattr(model, "all_tied_weights_keys", None) or ())
    for name in tied:
        state.pop(name, None)
    state = revert_weight_conversion(model, state)
    for name, tensor in state.items():
        if tensor.is_floating_point():
            tensor = _rounded(name, tensor, _precision(name, headers or {}) or main)
        part = tensor.untyped_storage().nbytes() != tensor.nbytes  # such as an expert of a tensor of all
        state[name] = tensor.clone() if part else tensor
    needed, free = sum(tensor.nbytes for tensor in state.values()), shutil.disk_usage(folder).free
    if needed > free:
        raise UserError(f"{folder.parent}: the model takes {in_bytes(needed)}, {in_bytes(free)} are free; make room")
    try:
        save_torch_state_dict(
            state,
            folder,
            filename_pattern="model{suffix}.safetensors",
            max_shard_size=_SHARD,
            metadata={"format": "pt"},
        )
    except SafetensorError as error:
        raise UserError(f"{folder.parent}: the weights cannot be written ({first_line(error)})") from None


def _precision(name: str, headers: Mapping[str, TensorHeader]) -> torch.dtype | None:
    for known in (name, name.removeprefix("model."), f"model.{name}"):
        if known in headers:
            return headers[known].precision
    return None


def _rounded(name: str, tensor: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    rounded = tensor.to(dtype)
    if rounded is not tensor and tensor.isfinite().all() and not rounded.isfinite().all():
        raise UserError(f"--dtype: {name} has weights that {dtype} does not hold; use --dtype bfloat16 or float32")
    return rounded
