"""The GPUs that NVIDIA's driver knows: which of them is the run's, and why torch can use none.

NVML counts by PCI bus, as `nvidia-smi` does, and so does CUDA (`CUDA_DEVICE_ORDER`, set in `engine.environment`). It
answers in milliseconds, and starts nothing on a GPU.
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

from engine.errors import UserError, first_line

# The oldest driver for builds of torch by the major version of their CUDA: any minor version runs on it.
# (docs.nvidia.com/deploy/cuda-compatibility/minor-version-compatibility.html, table 1)
_LEAST_DRIVER = {12: "525", 13: "580"}

_MISMATCH = 18  # nvml.h: NVML_ERROR_LIB_RM_VERSION_MISMATCH


class NoDriver(Exception):
    """NVML cannot be asked; the text is its own. `outdated`: an update waits for the machine to be restarted."""

    outdated = False


@dataclass(frozen=True)
class Trouble:
    """What stands in the way, and what to do."""

    found: str
    remedy: str


def nvml() -> Any:
    """NVML, ready to be asked. Raises `NoDriver`, and nothing else."""
    try:
        import pynvml

        pynvml.nvmlInit()
    except Exception as error:  # noqa: BLE001 - whatever is wrong with it, a run on the CPU must not end by it
        none = NoDriver(first_line(error))
        none.outdated = getattr(error, "value", None) == _MISMATCH
        raise none from None
    return pynvml


def trouble() -> Trouble | None:
    """Why torch sees no GPU though the driver knows one; None where there is none, or the environment hides them all.

    For where torch sees none. Loads torch.
    """
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None and not _shown(visible):
        return None
    try:
        asked = nvml()
        driver, count = _text(asked.nvmlSystemGetDriverVersion()), int(asked.nvmlDeviceGetCount())
        newest = int(asked.nvmlSystemGetCudaDriverVersion_v2())
    except NoDriver as error:
        told = "the libraries of NVIDIA's driver were updated, its kernel module was not"
        return Trouble(told, "restart the machine") if error.outdated else None
    except Exception:  # noqa: BLE001 - a driver that answers half of this is as good as none
        return None
    if not count:
        return None
    import torch

    built = torch.version.cuda
    if built is None:
        return Trouble(
            f"torch {torch.__version__} is built without CUDA, and this machine has {_gpus(count)}",
            "make a new environment and pip install 'zotui[cuda]' there",
        )
    if newest // 1000 < (major := int(built.partition(".")[0])):
        least = f"{_LEAST_DRIVER[major]} or newer" if major in _LEAST_DRIVER else "the newest"
        return Trouble(
            f"torch is built for CUDA {built}, and driver {driver} ends at CUDA {newest // 1000}.{newest % 1000 // 10}",
            f"update NVIDIA's driver to {least}",
        )
    if visible is not None:
        return Trouble(
            f"CUDA_VISIBLE_DEVICES={visible} shows torch none of this machine's {_gpus(count)}",
            "name one of those that nvidia-smi lists, or unset it",
        )
    return Trouble(
        f"torch, built for CUDA {built}, cannot start it on driver {driver} ({_refusal()})",
        "see whether nvidia-smi works, and restart the machine if the driver was updated",
    )


def mask_gpus(wanted: str, *, key: str = "model.device") -> int | None:
    """Hide every GPU but the one that `model.device` names, before CUDA is started; returns its NVML index.

    vLLM takes the first GPU that it sees, so `cuda:N` has to become the first. None: it is none that NVML knows.
    Raises `UserError`, named by `key`, for a GPU that is not there.
    """
    if wanted == "cpu":
        return None
    named, nth = wanted.startswith("cuda:"), int(wanted.partition(":")[2] or 0)
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        chosen = str(nth)
        with suppress(NoDriver):
            if named and nth >= (count := int(nvml().nvmlDeviceGetCount())):
                raise UserError(f"{key}: {wanted}: this machine has {_gpus(count)}, counted from 0")
    else:
        shown = _shown(visible)
        if nth >= len(shown):
            if named:
                raise UserError(
                    f"{key}: {wanted}: CUDA_VISIBLE_DEVICES={visible} shows {_gpus(len(shown))}, counted from 0"
                )
            return None
        chosen = shown[nth]
    if named:
        os.environ["CUDA_VISIBLE_DEVICES"] = chosen
    return int(chosen) if chosen.isdigit() else _index_of(chosen)


def _shown(visible: str) -> list[str]:
    """The names in CUDA_VISIBLE_DEVICES, up to the first that ends the list for CUDA."""
    names = (name.strip() for name in visible.split(","))
    return list(takewhile(lambda name: name and not name.startswith("-") and name != "NoDevFiles", names))


def _index_of(name: str) -> int | None:
    """The NVML index of `GPU-<uuid>`, which may be cut short, or of the GPU that a MIG device is part of."""
    try:
        asked = nvml()
        if name.startswith("MIG-") and not name.startswith("MIG-GPU-"):
            part = asked.nvmlDeviceGetHandleByUUID(name)
            return int(asked.nvmlDeviceGetIndex(asked.nvmlDeviceGetDeviceHandleFromMigDeviceHandle(part)))
        whole = name.removeprefix("MIG-").partition("/")[0]  # MIG-GPU-<uuid>/<instance>/<instance>, of older drivers
        for index in range(asked.nvmlDeviceGetCount()):
            if _text(asked.nvmlDeviceGetUUID(asked.nvmlDeviceGetHandleByIndex(index))).startswith(whole):
                return index
    except Exception:  # noqa: BLE001 - only figures for the eye depend on it
        return None
    return None


def _refusal() -> str:
    import torch

    try:
        torch.cuda.init()
    except Exception as error:  # noqa: BLE001 - its text is what is wanted
        return first_line(error)
    return "it tells no reason"


def _gpus(count: int) -> str:
    return f"{count} GPU{'s'[: count != 1]}"


def _text(told: str | bytes) -> str:
    return told.decode() if isinstance(told, bytes) else told
