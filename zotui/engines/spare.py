"""An engine that is ready before there is a run: its libraries are loaded, which is most of a start."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import suppress
from typing import ClassVar

from engine.protocol.order import Order, encode_order


class Spare:
    """A waiting `python -m engine --spare`: a direct child in a session of its own, as every engine is.

    It ends by itself when this process does, however that ends: its standard input is closed then.
    """

    COMMAND: ClassVar[tuple[str, ...]] = (sys.executable, "-P", "-m", "engine", "--spare")
    """What starts one (-P: not a folder called engine here); tests put a scripted one in its place."""

    def __init__(self) -> None:
        """Start it. Raises `OSError` where the system refuses."""
        self._given = dict(os.environ)
        self._process = subprocess.Popen(
            self.COMMAND,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # until it has a run, and with it a log
            start_new_session=True,
        )

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    def usable(self) -> bool:
        """Whether it still waits, with the environment that an engine would be given now."""
        return self._process.poll() is None and self._given == dict(os.environ)

    def tell(self, order: Order) -> subprocess.Popen[bytes] | None:
        """Give it its run; its process, which is the run's engine from now on. None, and it is ended, if it cannot."""
        assert self._process.stdin is not None
        if self.usable():
            with suppress(OSError):  # it died this moment
                self._process.stdin.write(encode_order(order))
                self._process.stdin.flush()
                return self._process
        self.end()
        return None

    def end(self) -> None:
        """End it at once; it has nothing to lose."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            with suppress(OSError):  # an order that was not taken
                if pipe is not None:
                    pipe.close()
