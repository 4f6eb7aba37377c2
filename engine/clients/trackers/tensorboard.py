"""TensorBoard: event files in the run's folder, written without TensorBoard itself."""

from __future__ import annotations

from typing import Any

from engine.runs.directory import RunDir

_FLUSH_EVERY = 5  # seconds


class Tensorboard:
    """Writes the folder `tensorboard` of a run; a resumed run adds a file to it."""

    def open(self, run: RunDir, config: dict[str, Any], first_step: int) -> str:
        from tensorboardX import SummaryWriter

        folder = run.path / "tensorboard"
        # Of steps that a power cut took, and that are taken again, only the second time is shown. An evaluation of
        # this very step is not taken again.
        purge = first_step + 1 if first_step else None
        # Files are called after the second: of two engines within one, the later would empty the other's.
        name = f".{first_step}"
        self._writer = SummaryWriter(str(folder), purge_step=purge, flush_secs=_FLUSH_EVERY, filename_suffix=name)
        rows = "\n".join(f"| {name} | {value} |" for name, value in config.items())
        self._writer.add_text("settings", f"| key | value |\n|---|---|\n{rows}", first_step)
        return f"in {folder}; `tensorboard --logdir` shows it"

    def log(self, step: int, values: dict[str, float]) -> None:
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def finish(self) -> None:
        self._writer.close()
