"""Delete a run: its folder, and nothing else."""

from __future__ import annotations

import shutil

from engine.errors import UserError
from engine.runs.directory import RunDir
from engine.runs.home import runs_home


def delete_run(run: RunDir) -> None:
    """Delete the folder of a run that the list of runs shows. Raises `UserError` for one that must stay.

    What a link in it leads to is left alone.
    """
    refuse(run)
    run.acquire()  # nobody resumes it meanwhile; the lock goes with the folder
    try:
        shutil.rmtree(run.path)
    except OSError as error:
        raise UserError(f"{run.path}: cannot be deleted whole ({error.strerror}: {error.filename})") from None


def refuse(run: RunDir) -> None:
    """Raise `UserError` for what must stay: a live run, a link, and what is no run."""
    if run.path.parent != runs_home().absolute() or not (run.path / "run.json").is_file():
        raise UserError(f"{run.path}: is no run of {runs_home()}; delete it by hand")
    if run.path.is_symlink():
        raise UserError(f"{run.name}: is a link to {run.path.resolve()}; delete it by hand")
    if run.is_live():
        raise UserError(f"{run.name}: is live; stop it first")
