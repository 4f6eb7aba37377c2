"""`python -m engine RUN_DIR [--resume]`: train in a run's directory, talk over the pipes.

With `--spare` in place of a run it loads its libraries and waits to be told the run (`engine.training.spare`).

Events go to standard output and commands come from standard input (`engine.protocol.events`), and both go over
the control socket in the run's directory too; the log goes to standard error, which zotui points at a
file. The run outlives whoever launched it, unless `run.when_app_leaves` says otherwise. The exit code is
that of `engine.errors`.
"""

from __future__ import annotations

import argparse
import faulthandler
import logging
import os
import sys
import traceback
from pathlib import Path

from engine.clients.inbox import Inbox, Stopped
from engine.clients.outbox import Outbox
from engine.clients.socket import ControlSocket
from engine.environment import prepare
from engine.errors import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_USAGE, RunFailed, UserError, unforeseen
from engine.protocol.events import Done, Error
from engine.protocol.order import Order
from engine.runs.directory import RunDir
from engine.runs.timing import time_spent
from engine.stdio import leave, log_to_stderr
from engine.training.session import record_end, train
from engine.training.spare import stand_by


def main() -> int:
    """Run, and say how it ended."""
    parser = argparse.ArgumentParser(prog="python -m engine")
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("run", nargs="?")
    which.add_argument("--spare", action="store_true")
    parser.add_argument("--resume", action="store_true")
    arguments = parser.parse_args()
    order = stand_by() if arguments.spare else Order(run=arguments.run, resume=arguments.resume)
    outbox = Outbox.take_stdout()
    faulthandler.enable()  # a native crash leaves its stack in the log
    prepare()
    run = RunDir(Path(order.run))
    inbox = Inbox(outbox.emit)
    inbox.obey_signals()
    inbox.listen(lambda most: os.read(0, most))
    clients = ControlSocket(run, outbox, inbox.listen)
    code = EXIT_FAILED
    try:
        run.acquire()
        run.refuse_damaged()
        run.clear_unfinished()
        clients.open()
        code = train(run, inbox, outbox, resume=order.resume)
    except UserError as error:
        outbox.emit(Error(kind="usage", text=str(error)))
        code = EXIT_USAGE
    except Stopped:
        so_far = run.summary()  # of a run that was being resumed
        outbox.emit(
            Done(
                outcome="stopped", steps=so_far.steps_done, seconds=0.0, metrics=so_far.metrics, run=str(run.path),
                time=time_spent(run),
            )
        )  # fmt: skip
        record_end(run, state="stopped")
        code = EXIT_INTERRUPTED
    except BaseException as error:  # noqa: BLE001 - the last resort: say it, log it, and leave the journal as it is
        traceback.print_exc()
        told = isinstance(error, RunFailed)
        kept = None if order.resume or run.begun() else run.keep_log()
        if kept is None:
            text = str(error) if told else f"{type(error).__name__}: {str(error).strip() or 'no message'}"
            text = text.splitlines()[0]
            outbox.emit(Error(kind="failure", text=text))
        else:  # whoever started it takes it back
            text, code = (str(error), EXIT_FAILED) if told else unforeseen(error)
            outbox.emit(Error(kind="start", text=f"{text}; its log is {kept}"))
        record_end(run, state="failed", error=text)
    finally:
        outbox.close()
        clients.close()
    return code


if __name__ == "__main__":
    log_to_stderr()
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(name)s %(message)s")
    leave(main())
