"""Fetch a model from the Hugging Face hub, file by file, so that progress can be told."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from engine.errors import UserError

_SMALL = (".json", ".txt", ".model", ".py", ".jinja")  # configuration, tokenizer, the model's own code
_TIMEOUT = 10.0  # seconds for the hub to answer at all
_GB = 1e9


def fetch_model(path: str, report: Callable[[float | None, str], None]) -> str:
    """The folder of the model `path`, downloaded if it is a hub id and not in the cache yet.

    Where the hub cannot be reached, what the cache holds must do. Raises `UserError`.
    """
    if Path(path).expanduser().is_dir():
        return str(Path(path).expanduser())
    from huggingface_hub import HfApi, hf_hub_download, snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        info = HfApi().model_info(path, files_metadata=True, timeout=_TIMEOUT)
    except (HfHubHTTPError, OSError):
        try:
            return snapshot_download(path, local_files_only=True)
        except LocalEntryNotFoundError:
            raise UserError(
                f"model.path: {path}: is neither a folder nor in the cache, and the hub cannot be reached"
            ) from None
    sizes = {file.rfilename: file.size or 0 for file in info.siblings or ()}
    names = _needed(list(sizes))
    total = sum(sizes[name] for name in names) or 1
    done = 0
    folder = Path()
    for name in names:
        report(done / total, f"{name} ({done / _GB:.1f} of {total / _GB:.1f} GB)")
        folder = Path(hf_hub_download(path, name, revision=info.sha)).parent
        done += sizes[name]
    report(1.0, path)
    return str(folder)


def _needed(names: list[str]) -> list[str]:
    """The files at the top of the repository that transformers and vLLM read; safetensors preferred."""
    top = [name for name in names if "/" not in name]
    weights = [n for n in top if n.endswith(".safetensors")] or [
        n for n in top if n.startswith("pytorch_model") and n.endswith(".bin")
    ]
    return [*(n for n in top if n.endswith(_SMALL)), *weights]
