"""What a run was started on, so that a resume can tell whether it still is what it was.

Of the model: the files that decide its numbers, each by its size and a hash. A file of up to 64 MiB is
hashed whole. A larger one is hashed by its safetensors header (every tensor's name, type, shape and
place) and by a block of 16 KiB every 16 MiB: 26 GB of weights cost 26 MB of reading. That finds another
model, another training state and another type, a download that was cut short, and whatever rewrote a
tensor of 16 MiB or more. It can miss what changed fewer bytes than lie between two blocks: a few
entries edited by hand, a single small tensor, a bad sector. It is a check against mistakes; nobody who
forges a file on purpose is stopped by it.

Of the data: what is really trained on and evaluated, token ids, options and labels, so that a change of the
file, the template, the verbalizer, the tokenizer or the sampling shows.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import IO

import msgspec

from engine.errors import UserError
from engine.models import hub
from engine.models.headers import LONGEST_HEADER
from engine.models.weights import weight_files
from engine.preflight.demo import with_demo
from engine.preset.paths import there
from engine.preset.schema import BUILTIN_DEMO
from engine.runs.directory import RunDir
from engine.runs.info import FileMark, SplitMark, StartedOn
from engine.runtimes.base import Note
from engine.tasks.example import Example
from engine.tasks.load import Task
from engine.tasks.tokenize import RULES

_WHOLE = 64 * 2**20
_EVERY = 16 * 2**20
_BLOCK = 16 * 2**10

_SMALL = (
    "config.json",
    "*.index.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
    "*.model",
    "*.tiktoken",
    "tekken.json",
)

Files = dict[str, FileMark]
"""By name."""

Splits = dict[str, SplitMark]
"""By split."""

_REMEDY = "put the original back, or start a new run"


def of_model(folder: Path, *, code: bool) -> Files:
    """The files of a model that decide its numbers; with `code`, its Python files too."""
    wanted = [*_SMALL, "*.py"] if code else _SMALL
    small = {path for pattern in wanted for path in folder.glob(pattern) if path.is_file()}
    return {path.name: _of_file(path) for path in sorted({*small, *weight_files(folder)})}


def of_data(task: Task) -> Splits:
    """The splits of a task as they are trained on and evaluated."""
    return {"train": _of_examples(task, task.train), "validation": _of_examples(task, task.validation)}


def check_model(folder: Path, now: Files, was: Files) -> None:
    """Raise `UserError`, naming the files, unless the model in `folder` is what it was."""
    changes = []
    for name in sorted({*was, *now}):
        if name not in now:
            changes.append(f"{name} is missing")
        elif name not in was:
            changes.append(f"{name} is new")
        elif now[name] != was[name]:
            sizes = [one.size for one in (was[name], now[name])]
            how = "in content" if sizes[0] == sizes[1] else f"{sizes[0]:,} bytes, now {sizes[1]:,}"
            changes.append(f"{name} has changed ({how})")
    if changes:
        more = f" and {len(changes) - 3} more" if len(changes) > 3 else ""
        raise UserError(
            f"model.path: {folder}: is not the model that this run was started on: {', '.join(changes[:3])}{more}; "
            f"{_REMEDY}"
        )


def check_data(now: Splits, was: Splits) -> None:
    """Raise `UserError`, naming the split, unless the data is what it was."""
    for split, found in now.items():
        before = was.get(split)
        if before is None or found == before:
            continue
        why = "its data, template or tokenizer have changed"
        if found.examples == before.examples:
            why += ", or zotui 0.3 or older changed numbers, dates or truth values as it read them"
            what = f"gives {found.examples:,} examples as when this run was started, but not the same ones"
        else:
            what = f"gives {found.examples:,} examples, this run was started on {before.examples:,}"
        raise UserError(f"task.{split}: {what}; {why}: {_REMEDY}")


def _of_file(path: Path) -> FileMark:
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        if size <= _WHOLE:
            return FileMark(size=size, sha256=hashlib.file_digest(file, "sha256").hexdigest())
        header = 8 + int.from_bytes(file.read(8), "little") if path.suffix == ".safetensors" else 0
        return FileMark(size=size, sampled_sha256=_sampled(file, size, min(header, LONGEST_HEADER)))


def _sampled(file: IO[bytes], size: int, header: int) -> str:
    starts = [*range(0, size - _BLOCK, _EVERY), size - _BLOCK]
    if hasattr(os, "posix_fadvise"):
        for start in starts:  # all at once: a disk that has to be asked for each would take a second
            os.posix_fadvise(file.fileno(), start, _BLOCK, os.POSIX_FADV_WILLNEED)
    file.seek(0)
    digest = hashlib.sha256(file.read(header))
    for start in starts:
        file.seek(start)
        digest.update(file.read(_BLOCK))
    return digest.hexdigest()


def _of_examples(task: Task, examples: Sequence[Example]) -> SplitMark:
    digest = hashlib.sha256(task.objective.encode())
    for example in examples:
        digest.update(msgspec.json.encode([example.prompt, example.options, example.label]))
        few_have = (example.right, example.answers, example.counted, example.domain)
        if more := [part for part in few_have if part]:
            digest.update(msgspec.json.encode(more))
    return SplitMark(examples=len(examples), sha256=digest.hexdigest())


def model_of(run: RunDir, note: Note) -> str:
    """The folder of the model that a run was started on. Raises `UserError` if it is gone or has changed."""
    from engine.models.missing import check_weights

    wanted = run.preset()
    was = started_on(run, note)
    check_still_there(run, {"model.path": wanted.model.path})
    path = wanted.model.path
    if path == BUILTIN_DEMO:
        path, _ = with_demo(wanted, lambda name, progress, detail: None)
    folder = Path(hub.download(hub.find_model(path, was.revision if was else None), lambda fraction, detail: None))
    if was:
        identify(folder, was, code=wanted.model.trust_remote_code)
    check_weights(str(folder), trust_remote_code=wanted.model.trust_remote_code)
    return str(folder)


def identify(folder: Path, was: StartedOn | None, *, code: bool) -> Files:
    """What a model's files are. Raises `UserError` if the run was started on others."""
    try:
        files = of_model(folder, code=code)
    except OSError as error:
        raise UserError(f"model.path: {error.filename or folder}: cannot be read ({error.strerror})") from None
    if was and was.model:
        check_model(folder, files, was.model)
    return files


def started_on(run: RunDir, note: Note) -> StartedOn | None:
    """What a run was started on, by its own record; None where it has none, as a new run."""
    known = run.info.read().started_on
    if known is None and run.steps_done():
        note("warning", "the run has no record of the model and the data that it was started on: taken as they are now")
    return known


def rules_of(run: RunDir | None, was: StartedOn | None) -> int:
    """By which rules a run's texts become tokens: those that it began by, so that a resumed one goes on as it did."""
    if was is not None:
        return was.rules if isinstance(was.rules, int) else 1
    return 1 if run and run.steps_done() else RULES


def check_still_there(run: RunDir, paths: dict[str, str | None]) -> None:
    """Raise `UserError` for a path of a run's preset, by its key, that leads nowhere any more."""
    for key, text in paths.items():
        if text and Path(text).is_absolute() and not there(Path(text)):
            raise UserError(
                f"{key}: {text}: is not there any more; put it back, or write its new place into {run.preset_file}"
            )
