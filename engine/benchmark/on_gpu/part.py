"""One part in a process of its own: `python -m engine.benchmark.on_gpu.part NAME SETTINGS FOLDER`.

Standard output is what it found, as one JSON object; standard error its log. It ends, with all that it started, when
its standard input does: whoever started it is gone.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import traceback
from pathlib import Path

import msgspec

from engine.benchmark.on_gpu.parts import parts
from engine.benchmark.on_gpu.results import Found, Skipped
from engine.benchmark.on_gpu.settings import Settings
from engine.environment import prepare
from engine.errors import EXIT_DONE, EXIT_FAILED, RunFailed, UserError, first_line
from engine.stdio import leave, take_stdout


def main() -> int:
    """Do the part."""
    answers = os.fdopen(take_stdout(), "wb", buffering=0)
    name, settings = sys.argv[1], msgspec.json.decode(sys.argv[2], type=Settings)
    threading.Thread(target=_end_with_stdin, daemon=True).start()
    prepare()
    (part,) = (part for part in parts(settings) if part.name == name)
    answers.write(msgspec.json.encode(_found(lambda: part.do(settings, Path(sys.argv[3])))))
    return EXIT_DONE


def _found(do: object) -> Found:
    assert callable(do)
    try:
        return do()
    except Skipped as why:
        return Found(outcome="skipped", text=str(why))
    except (UserError, RunFailed) as error:
        return Found(outcome="failed", text=str(error))
    except Exception as error:  # noqa: BLE001 - whatever it is, it is what was found
        traceback.print_exc()
        return Found(outcome="failed", text=f"{type(error).__name__}: {first_line(error)}")


def _end_with_stdin() -> None:
    while os.read(0, 4096):
        pass
    if os.getpgrp() == os.getpid():  # all of the group is ours
        os.killpg(os.getpgrp(), signal.SIGKILL)
    os._exit(EXIT_FAILED)


if __name__ == "__main__":
    leave(main())
