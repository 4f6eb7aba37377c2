"""Standard output is data, standard error is the log; errors are one line and an exit code."""

from __future__ import annotations

import io
import logging
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

from engine.errors import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_USAGE, RunFailed, UserError


def take_stdout() -> int:
    """Keep the real standard output for data; returns its descriptor.

    What is printed from now on, by libraries too, goes to standard error.
    """
    sys.stdout.flush()
    descriptor = os.dup(1)
    os.dup2(2, 1)
    return descriptor


def exit_code(act: Callable[[], int]) -> int:
    """Do it and return its exit code; what went wrong is told in one line on standard error."""
    try:
        return act()
    except UserError as error:
        code, text = EXIT_USAGE, str(error)
    except RunFailed as error:
        code, text = EXIT_FAILED, str(error)
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    print(f"zotui: {text}", file=sys.stderr)
    return code


@contextmanager
def hushed() -> Iterator[None]:
    """Libraries warn of nothing meanwhile: a model is only looked at, and what is wrong with it is said in one line."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)


def leave(code: int) -> NoReturn:
    """End the process, not through the interpreter's shutdown: threads of the libraries must not be able to hang it."""
    sys.stderr.flush()
    os._exit(code)


class _Forgiving(io.FileIO):
    """Where the disk is full, a line of the log is lost, not the run that would have written it."""

    def write(self, data: Any) -> int:
        try:
            return super().write(data)
        except OSError:
            return memoryview(data).nbytes


def log_to_stderr() -> None:
    """From now on whatever this process prints goes to its standard error, its log, and printing never fails."""
    file = io.BufferedWriter(_Forgiving(2, "wb", closefd=False))
    sys.stderr = sys.stdout = io.TextIOWrapper(file, encoding="utf-8", errors="backslashreplace", line_buffering=True)
