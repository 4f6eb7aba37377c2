"""The file format of a run: one directory, readable without the engine.

preset.toml         the resolved preset
run.json            which preset, runtime, versions and hardware, `formerly` those of steps before a resume;
                    what it was `started_on` (see `engine.preflight.identity`); where the run stands, and its pauses;
                    see `engine.runs.info`
journal.jsonl       one line per step, with its checksum: the scalars from which the weights can be rebuilt
evaluations.jsonl   one line per evaluation, likewise
changes.jsonl       one line per change while the run was at work, likewise; see `engine.runs.changes`
evals.jsonl         one line per `zotui eval` of the run, likewise
usage.jsonl         one line per half minute, likewise: memory, load, KV-cache use, every GPU; see `engine.runs.usage`
checkpoints/        step-00000450/ with learned.safetensors (what each interval learned, where that is small) or
                    weights.safetensors, and manifest.json, which has its hash
engine.log          the engine's and vLLM's log
exports/            what the app wrote of it for elsewhere; tensorboard/ and wandb/: what `run.track` asks for
lock                held (flock) by the engine while it lives; holds its process id
control             the socket of a live engine: events and commands, as on its pipes
"""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec
from msgspec import structs

from engine.errors import UserError
from engine.preset.load import load_file
from engine.preset.schema import Preset
from engine.protocol.events import Changed, Eval, Step
from engine.protocol.findings import Evaluated
from engine.runs import usage
from engine.runs.home import home, runs_home
from engine.runs.info import Info, RunInfo
from engine.runs.journal import LineReader, append, last_line, misplaced, read
from engine.runs.lock import RunLock
from engine.runs.usage import Usage

_CHECKPOINT = re.compile(r"step-\d{8,}")

_KEPT_LOGS = 20

ASIDE = ".writing-"
"""How the folder of a checkpoint begins that is not complete."""

Standing = Literal["live", "finished", "stopped", "failed", "crashed", "new"]
"""Where a run stands; `crashed` is an engine that is gone without having said why."""


@dataclass(frozen=True)
class Summary:
    """One line about a run, for lists."""

    name: str
    path: str
    preset: str
    standing: Standing
    steps_done: int
    steps: int
    metrics: dict[str, float]  # of the last evaluation
    started: float  # seconds since the epoch
    error: str
    early: str = ""  # why it finished before its last step
    paused: bool = False  # live, and held until somebody resumes it

    @property
    def word(self) -> str:
        """Where it stands, in a word for people."""
        return "paused" if self.paused else self.standing


class RunDir:
    """A run's directory. Reading needs no lock; the engine holds it while it writes."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self.preset_file = self.path / "preset.toml"
        self.journal_file = self.path / "journal.jsonl"
        self.evaluations_file = self.path / "evaluations.jsonl"
        self.changes_file = self.path / "changes.jsonl"
        self.evals_file = self.path / "evals.jsonl"
        self.usage_file = self.path / "usage.jsonl"
        self.log_file = self.path / "engine.log"
        self.checkpoints = self.path / "checkpoints"
        # A record alone would be no run.
        self.info = RunInfo(self.path / "run.json", self.preset_file.exists)
        self.control_file = self.path / "control"
        self._lock = RunLock(self.path / "lock")
        self._made_folder = False

    @property
    def name(self) -> str:
        """The run's name: that of its folder."""
        return self.path.name

    @classmethod
    def create(
        cls,
        preset: Preset,
        preset_name: str,
        path: Path | None = None,
        *,
        label: str = "",
        fill: Callable[[RunDir], None] = lambda run: None,
        info: Info = Info(),  # noqa: B008 - it is frozen
    ) -> RunDir:
        """Make the directory of a new run, named after its preset and `label` unless `path` is given.

        `fill` may put more into it before there is its run.json, without which it is no run, and which begins as
        `info`. Raises `UserError`, and leaves nothing, if `path` already holds a run or cannot be written, and
        whatever `fill` raises, likewise.
        """
        run, begun = cls(path or runs_home()), False
        try:
            if path is None:
                run = cls(_new_folder(preset_name, label))
                run._made_folder = True
            else:
                run.refuse_used_folder()
                run._made_folder = not run.path.exists()
                run.path.mkdir(parents=True, exist_ok=True)
            begun = True
            run.preset_file.write_text(preset.absolute().to_toml(), encoding="utf-8")
            fill(run)
            new = structs.replace(info, preset=preset_name, started=time.time(), steps=preset.run.steps)
            run.info.update(**structs.asdict(new))
        except BaseException as error:
            if begun:
                run._take_back()
            if isinstance(error, OSError):
                raise UserError(f"{run.path}: cannot be written ({error.strerror}); choose another --run-dir") from None
            raise
        return run

    def refuse_used_folder(self) -> None:
        """Raise `UserError` if the folder holds a run, or a file that a run would overwrite."""
        if self.info.file.exists():
            raise UserError(
                f"{self.path}: already holds a run; `zotui resume {self.path}`, or choose another --run-dir"
            )
        if self.path.exists() and not self.path.is_dir():
            raise UserError(f"{self.path}: is a file; choose another --run-dir")
        for used in (*self._files(), self.checkpoints):
            if used.exists():
                raise UserError(f"{self.path}: holds {used.name}, which a run would write; choose another --run-dir")

    def _files(self) -> tuple[Path, ...]:
        return (
            self.preset_file,
            self.journal_file,
            self.evaluations_file,
            self.changes_file,
            self.evals_file,
            self.usage_file,
            self.log_file,
            self.info.file,
            self.info.aside,
            self._lock.file,
            self.control_file,
        )

    def begun(self) -> bool:
        """Whether anything is on record beside the log: a step, an evaluation, a checkpoint."""
        evaluated = self.evaluations_file.exists() and self.evaluations_file.stat().st_size
        return bool(evaluated or self.steps_done() or any(self.checkpoints.glob("*")))

    def keep_log(self) -> Path | None:
        """Copy the log to where it outlasts a run that is taken back; None where that cannot be written."""
        kept = home() / "logs" / f"{self.name}.log"
        try:
            kept.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(self.log_file, kept)
            oldest = sorted(kept.parent.glob("*.log"), key=lambda file: file.stat().st_mtime)[:-_KEPT_LOGS]
            for file in oldest:
                file.unlink(missing_ok=True)
        except OSError:
            return None
        return kept

    def discard(self) -> None:
        """Take back what `create` made, for a run that was refused before its first step.

        Only a run's own files go; the folder itself goes if `create` made it and nothing else is in
        it. A run that has a checkpoint or a step stays.
        """
        if not self.steps_done() and not any(self.checkpoints.glob("*")):
            self._take_back()

    def _take_back(self) -> None:
        with suppress(OSError):
            for file in self._files():
                file.unlink(missing_ok=True)
            if self.checkpoints.is_dir():
                shutil.rmtree(self.checkpoints)
            if self._made_folder:
                self.path.rmdir()

    @classmethod
    def find(cls, run: str) -> RunDir:
        """The run called `run`, or at that path. Raises `UserError` if there is none."""
        name = [runs_home() / run] if Path(run).name == run and run not in ("", "..") else []  # else a path
        for candidate in (*name, Path(run)):
            if (candidate / "run.json").is_file():
                return cls(candidate)
        raise UserError(f"{run}: no such run; `zotui list` shows them")

    def preset(self) -> Preset:
        """The resolved preset that the run was started with."""
        return load_file(self.preset_file)

    # -- what is known about the run ------------------------------------------------------------

    def summary(self) -> Summary:
        """Where the run stands, from its small files and the end of its journal."""
        info = self.info.read()
        standing: Standing = "crashed" if info.state == "running" else info.state
        if self.is_live():
            standing = "live"
        evaluation = last_line(self.evaluations_file, Eval)
        return Summary(
            name=self.name,
            path=str(self.path),
            preset=info.preset or "?",
            standing=standing,
            steps_done=self.steps_done(),
            steps=info.steps,
            metrics=evaluation.metrics if evaluation else {},
            started=info.started,
            error=info.error,
            early=info.early if standing == "finished" else "",
            paused=standing == "live" and info.paused,
        )

    # -- the engine that has it ------------------------------------------------------------------

    def acquire(self) -> None:
        """Take the lock for as long as this process lives. Raises `UserError` if another has it, or nobody can."""
        self._lock.acquire()

    def is_live(self) -> bool:
        """Whether an engine holds the lock."""
        return self._lock.is_held()

    def engine_pid(self) -> int | None:
        """The engine that holds the lock. None where there is none to be seen."""
        return self._lock.holder()

    @contextmanager
    def control_address(self) -> Iterator[str]:
        """Where to bind or connect the control socket: Linux allows an address of 108 bytes, a folder's path is longer.

        Raises `OSError`.
        """
        folder = os.open(self.path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            yield f"/proc/self/fd/{folder}/{self.control_file.name}"
        finally:
            os.close(folder)

    # -- records --------------------------------------------------------------------------------

    def journal(self) -> Iterator[Step]:
        """The steps in order. A torn end (a process killed while writing) is left out.

        Raises `UserError` naming the line where the steps stop being consecutive or as they were written.
        """
        for number, step in enumerate(LineReader(self.journal_file, Step).more()):
            if step.step != number or (step.returned_to or 0) > number:
                raise misplaced(self.journal_file, number)
            yield step

    def first_step(self) -> Step | None:
        """The first of the journal's steps, if it can be read; what is wrong with the others is told by `journal`."""
        with suppress(OSError, msgspec.DecodeError), self.journal_file.open("rb") as file:
            return msgspec.json.decode(file.readline(), type=Step)
        return None

    def steps_done(self) -> int:
        """How many steps the journal holds, by its last whole line."""
        last = last_line(self.journal_file, Step)
        return last.step + 1 if last else 0

    def refuse_damaged(self) -> None:
        """Raise `UserError` if a record is not as it was written: cheap, before a model is loaded."""
        for _ in self.journal():
            pass
        self.evaluations()
        self.changes()

    def evaluations(self) -> list[Eval]:
        """Every evaluation, in the order taken. Raises `UserError` if one is not as it was written."""
        return read(self.evaluations_file, Eval).records

    def add_evaluation(self, evaluation: Eval) -> None:
        """Append one evaluation. Raises `OSError` if it cannot be written."""
        append(self.evaluations_file, evaluation)

    def evals(self) -> list[Evaluated]:
        """What `zotui eval` found of it, in the order found, as far as it can be read: nothing depends on it."""
        found: list[Evaluated] = []
        with suppress(UserError):
            for one in LineReader(self.evals_file, Evaluated).more():
                found.append(one)
        return found

    def changes(self) -> list[Changed]:
        """Every change, in the order made. Raises `UserError` if one is not as it was written."""
        contents = read(self.changes_file, Changed)
        if contents.torn and self.changes_file.read_bytes().endswith(b"\n"):  # it was whole, and confirmed
            raise UserError(
                f"{self.changes_file}: line {len(contents.records) + 1} is damaged; put a good copy of the file back, "
                "or delete that line to go on without the change that it held"
            )
        return contents.records

    def usage(self) -> list[Usage]:
        """What the run took, in the order recorded, as far as it can be read: nothing depends on it."""
        return usage.read(self.usage_file)

    def checkpoint_folders(self) -> list[Path]:
        """The checkpoints, the newest last; `step_of` gives the steps done of each."""
        return sorted(path for path in self.checkpoints.glob("step-*") if _CHECKPOINT.fullmatch(path.name))

    def clear_unfinished(self) -> None:
        """Remove the checkpoints that an engine was writing when it died."""
        for folder in self.checkpoints.glob(f"{ASIDE}*"):
            shutil.rmtree(folder, ignore_errors=True)

    def checkpoint_at(self, step: int) -> Path | None:
        """The checkpoint of a step, if there is one."""
        folder = self.checkpoints / f"step-{step:08d}"
        return folder if folder.is_dir() else None

    def log_tail(self, lines: int = 15) -> list[str]:
        """The last lines of the engine's log."""
        try:
            with self.log_file.open("rb") as file:
                file.seek(0, os.SEEK_END)
                file.seek(max(0, file.tell() - 65536))
                return file.read().decode(errors="replace").splitlines()[-lines:]
        except OSError:
            return []


def step_of(checkpoint: Path) -> int:
    """How many steps were done at a checkpoint, by its folder."""
    return int(checkpoint.name.removeprefix("step-"))


def all_runs() -> list[RunDir]:
    """The runs under the home folder, newest first."""
    found = [RunDir(path.parent) for path in runs_home().glob("*/run.json")]
    return sorted(found, key=lambda run: run.info.read().started, reverse=True)


def _new_folder(preset_name: str, label: str) -> Path:
    """Make a folder for a run; two launches in the same second get one each."""
    stem = re.sub(r"[^A-Za-z0-9._-]+", "-", Path(preset_name).stem).strip("-.")[:80] or "run"
    stem = f"{stem}-{label}" if label else stem
    stamp = time.strftime("%Y%m%d-%H%M%S")
    for suffix in ("", *(f"-{n}" for n in range(2, 1000))):
        path = runs_home() / f"{stem}-{stamp}{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileExistsError):
            path.mkdir()
            return path
    raise UserError(f"{runs_home()}: too many runs called {stem}-{stamp}; give --run-dir")
