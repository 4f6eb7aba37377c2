"""The lock on a run's directory: a file that the engine has open and locked (flock) for as long as it lives."""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from engine.errors import UserError

if TYPE_CHECKING:
    from filelock import FileLock

_PATIENCE = 0.5  # seconds: `is_held` of another process holds it for a moment


class RunLock:
    """The lock of one run. The system lets go of it with the process that holds it, however that ends."""

    def __init__(self, file: Path) -> None:
        """`file` lies in the run's directory; it holds the process id of whoever took the lock last."""
        self.file = file
        self._held: FileLock | None = None

    def acquire(self) -> None:
        """Take the lock for as long as this process lives. Raises `UserError` if another has it, or nobody can."""
        from filelock import FileLock, Timeout  # who only looks at a run needs none of it

        run = self.file.parent
        held = FileLock(self.file, _PATIENCE, thread_local=False, preserve_lock_file=True, on_acquired=_sign)
        try:
            held.acquire()
        except Timeout:
            raise UserError(f"{run.name}: is live in another engine; `zotui attach` steers that one") from None
        except OSError as error:
            raise UserError(f"{run}: cannot be written ({error.strerror}); a run needs to") from None
        self._held = held

    def is_held(self) -> bool:
        """Whether somebody holds it.

        Not by asking `FileLock`, which can only take it for itself: two that look would be engines to each other, and
        who may only read a run could not look.
        """
        try:
            with self.file.open("rb") as handle:
                fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except FileNotFoundError:
            return False
        except BlockingIOError:
            return True
        return False

    def holder(self) -> int | None:
        """The process that holds it, told from others by having the file open. None where there is none to be seen."""
        with suppress(OSError, ValueError):
            pid, lock = int(self.file.read_bytes()), self.file.stat()
            for opened in Path(f"/proc/{pid}/fd").iterdir():
                with suppress(OSError):  # closed in between
                    if os.path.samestat(lock, opened.stat()):
                        return pid if self.is_held() else None
        return None


def _sign(lock: int) -> None:
    """Leave the process id in the file that was locked."""
    os.ftruncate(lock, 0)
    os.pwrite(lock, str(os.getpid()).encode(), 0)
