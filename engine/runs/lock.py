"""The lock on a run's directory: a file that the engine has open and locked (flock) for as long as it lives."""

from __future__ import annotations

import fcntl
import os
import time
from contextlib import suppress
from pathlib import Path
from typing import IO

from engine.errors import UserError

_PATIENCE = 0.5  # seconds


class RunLock:
    """The lock of one run. The system lets go of it with the process that holds it, however that ends."""

    def __init__(self, file: Path) -> None:
        """`file` lies in the run's directory; it holds the process id of whoever took the lock last."""
        self.file = file
        self._handle: IO[bytes] | None = None

    def acquire(self) -> None:
        """Take the lock for as long as this process lives. Raises `UserError` if another has it, or nobody can."""
        run = self.file.parent
        try:
            # Not through a link: what it leads to would be emptied.
            handle = os.fdopen(os.open(self.file, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o666), "ab")
        except OSError as error:
            raise UserError(f"{run}: cannot be written ({error.strerror}); a run needs to") from None
        deadline = time.monotonic() + _PATIENCE
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() < deadline:  # `is_held` of another process holds it for a moment
                    time.sleep(0.05)
                    continue
                handle.close()
                raise UserError(f"{run.name}: is live in another engine; `zotui attach` steers that one") from None
            handle.truncate(0)
            handle.write(str(os.getpid()).encode())
            handle.flush()
            self._handle = handle
            return

    def is_held(self) -> bool:
        """Whether somebody holds it."""
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
