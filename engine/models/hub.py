"""The Hugging Face hub: asked once, briefly; models are downloaded file by file once they are known to fit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.errors import UserError

if TYPE_CHECKING:
    from huggingface_hub import HfApi

_SMALL = (".json", ".txt", ".model", ".py", ".jinja")  # configuration, tokenizer, the model's own code
TIMEOUT = 10.0  # seconds for the hub to answer at all
_GB = 1e9


class Unreachable(UserError):
    """The hub cannot be asked, and the cache does not have it."""


@dataclass(frozen=True)
class Found:
    """A model that is here, or that can be downloaded."""

    name: str  # as it was given
    folder: str | None  # where it is, unless it has yet to be downloaded
    sizes: dict[str, int] = field(default_factory=dict)  # bytes of the files to download
    revision: str | None = None  # on the hub

    @property
    def readable(self) -> str:
        """What transformers can read the configuration from."""
        return self.folder or self.name


def find_model(path: str, revision: str | None = None) -> Found:
    """The model at a path or with a hub id, of one revision or the newest. Raises `UserError` where there is none.

    One request tells whether the hub can be reached; where it cannot, what the cache holds must do, or `Unreachable`
    is raised.
    """
    local = Path(path).expanduser()
    if local.exists() or path.startswith(("/", ".", "~")) or path.count("/") > 1:
        return Found(path, str(local))  # what is wrong with a folder is found when it is read
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    reply = ask(
        f"model.path: {path}",
        "model",
        lambda api: api.model_info(path, revision=revision, files_metadata=True, timeout=TIMEOUT),
    )
    if isinstance(reply, str):
        try:
            folder = Path(snapshot_download(path, revision=revision, local_files_only=True))
            return Found(path, str(folder), revision=folder.name)
        except LocalEntryNotFoundError:
            raise Unreachable(
                f"model.path: {path}: {reply}, and it is not in the local cache; give a model's folder"
            ) from None
    sizes = {file.rfilename: file.size or 0 for file in reply.siblings or ()}
    return Found(path, None, {name: sizes[name] for name in _needed(list(sizes))}, reply.sha)


def ask(where: str, what: str, request: Callable[[HfApi], Any]) -> Any:
    """One short request to the hub: its answer, or, as a text, why the hub cannot be asked.

    The libraries would retry for half a minute before they fail. Raises `UserError` if the hub says that
    there is no such thing; `where` begins the message, `what` names the thing.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import GatedRepoError, HFValidationError, OfflineModeIsEnabled, RepositoryNotFoundError

    try:
        return request(HfApi())
    except GatedRepoError:
        raise UserError(f"{where}: is gated; accept its terms on the hub and run `hf auth login`") from None
    except (RepositoryNotFoundError, HFValidationError):
        raise UserError(f"{where}: no such {what} on the hub (or it is private: `hf auth login`)") from None
    except OfflineModeIsEnabled:
        return "HF_HUB_OFFLINE is set"
    except Exception as error:  # noqa: BLE001 - of the HTTP library: no network, a time-out, a server's fault
        text = str(error).strip().splitlines()
        return f"the Hugging Face hub cannot be reached ({text[0] if text else type(error).__name__})"


def download(found: Found, report: Callable[[float | None, str], None]) -> str:
    """The folder of a model that was found, downloaded unless the cache has it."""
    if found.folder is not None:
        return found.folder
    from huggingface_hub import hf_hub_download

    total = sum(found.sizes.values()) or 1
    done = 0
    folder = Path()
    for name, size in found.sizes.items():
        report(done / total, f"{name} ({done / _GB:.1f} of {total / _GB:.1f} GB)")
        folder = Path(hf_hub_download(found.name, name, revision=found.revision)).parent
        done += size
    report(1.0, found.name)
    return str(folder)


def _needed(names: list[str]) -> list[str]:
    """The files at the top of the repository that transformers and vLLM read; safetensors preferred."""
    top = [name for name in names if "/" not in name]
    weights = [n for n in top if n.endswith(".safetensors")] or [
        n for n in top if n.startswith("pytorch_model") and n.endswith(".bin")
    ]
    return [*(n for n in top if n.endswith(_SMALL)), *weights]
