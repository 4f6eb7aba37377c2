"""What a run's journal holds, read without the engine's own reader, and whether two runs ended the same."""

from __future__ import annotations

import json
from typing import Any

from safetensors.numpy import load_file

from engine.runs.directory import RunDir

# What a step computed. The other keys say how long it took, or what was kept since the engine was started.
_RESULTS = (
    "step", "loss", "loss_plus", "loss_minus", "projected_grad", "gradients", "lr", "eps", "seed", "drew", "tokens",
)  # fmt: skip


def whole_lines(run: RunDir) -> list[bytes]:
    """The journal's lines up to the first that is not the step that is due there."""
    try:
        lines = run.journal_file.read_bytes().split(b"\n")[:-1]
    except FileNotFoundError:
        return []
    found = []
    for number, line in enumerate(lines):
        try:
            record = json.loads(line)
        except ValueError:
            break
        if not isinstance(record, dict) or record.get("step") != number:
            break
        found.append(line)
    return found


def differences(run: RunDir, reference: RunDir) -> list[str]:
    """How the end of `run` is not the end of `reference`, each in a few words: weights, scalars, evaluations."""
    found = []
    ours, theirs = (list(map(_results, whole_lines(each))) for each in (run, reference))
    unlike = [number for number, (a, b) in enumerate(zip(ours, theirs, strict=False)) if a != b]
    if unlike:
        found.append(f"step {unlike[0]} has other numbers")
    if len(ours) != len(theirs):
        found.append(f"{len(ours)} steps, not {len(theirs)}")
    if _weights(run) != _weights(reference):
        found.append("other weights")
    ours_at, theirs_at = _evaluations(run), _evaluations(reference)
    missing = [step for step in theirs_at if step not in ours_at]
    if missing:
        found.append(f"no evaluation of step {missing[0]}")
    if any(each != theirs_at[step][0] for step in ours_at if step in theirs_at for each in ours_at[step]):
        found.append("other evaluations")
    return found


def _results(line: bytes) -> dict[str, Any]:
    record = json.loads(line)
    return {key: record[key] for key in _RESULTS if key in record}


def _weights(run: RunDir) -> dict[str, tuple[Any, bytes]]:
    """Every tensor of the last checkpoint, of what was learned or of the weights, bit for bit."""
    folders = sorted(run.checkpoints.glob("step-*"))
    if not folders:
        return {}
    (file,) = folders[-1].glob("*.safetensors")
    tensors = load_file(file)
    return {"step": (folders[-1].name, b"")} | {
        name: ((str(tensor.dtype), tensor.shape), tensor.tobytes()) for name, tensor in tensors.items()
    }


def _evaluations(run: RunDir) -> dict[int, list[dict[str, float]]]:
    """Step -> what its evaluations found; more than one where a fault struck between two records."""
    found: dict[int, list[dict[str, float]]] = {}
    for line in run.evaluations_file.read_bytes().splitlines():
        record = json.loads(line)
        found.setdefault(record["step"], []).append(record["metrics"])
    return found
