"""The control socket in a run's directory: every connection is a client like the launcher on the pipes.

A client reads the events from where it comes in, and may send commands. Only the user who runs the
engine can connect.
"""

from __future__ import annotations

import os
import socket
import stat
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

from engine.clients.outbox import Outbox
from engine.protocol.codec import encode
from engine.protocol.events import Error, Log
from engine.runs.directory import RunDir

MOST_CLIENTS = 16


class Listener(Protocol):
    """What obeys the commands; see `engine.clients.inbox.Inbox.listen`."""

    def __call__(self, read: Callable[[int], bytes], ended: Callable[[], None], /) -> None: ...


class ControlSocket:
    """Lets other processes in, each with a thread that reads its commands and one that writes its events."""

    def __init__(self, run: RunDir, outbox: Outbox, listen: Listener) -> None:
        self._run, self._outbox, self._listen = run, outbox, listen
        self._socket: socket.socket | None = None
        self._clients = 0
        self._lock = threading.Lock()

    def open(self) -> None:
        """Open for clients. The caller holds the run's lock, so that a socket found there is a dead engine's.

        Where the file system has no sockets, the run goes on and says that it cannot be attached to.
        """
        opened = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            # Linux gives the file the mode of the unbound socket, so that it is never open to others.
            os.fchmod(opened.fileno(), stat.S_IRUSR | stat.S_IWUSR)
            if self._run.control_file.is_socket():
                self._run.control_file.unlink()
            with self._run.control_address() as address:
                opened.bind(address)
            opened.listen(MOST_CLIENTS)
        except OSError as error:
            opened.close()
            self._outbox.emit(Log(level="warning", text=f"this run cannot be attached to: no control socket ({error})"))
            return
        self._socket = opened
        threading.Thread(target=self._accept, args=(opened,), name="control socket", daemon=True).start()

    def close(self) -> None:
        """Take the socket away. Clients that are connected are the outbox's."""
        opened, self._socket = self._socket, None
        if opened is not None:
            with suppress(OSError):  # on a disk that has become read-only it stays; the next engine takes it away
                self._run.control_file.unlink(missing_ok=True)
            _hang_up(opened)  # which wakes the thread
            opened.close()

    def _accept(self, opened: socket.socket) -> None:
        while self._socket is opened:
            try:
                client, _ = opened.accept()
            except OSError:  # closed; or there are no descriptors left, which may pass
                time.sleep(0.1)
                continue
            with self._lock:
                full = self._clients >= MOST_CLIENTS
                self._clients += not full
            if full:
                _refuse(client)
            else:
                self._serve(client)

    def _serve(self, client: socket.socket) -> None:
        reader = self._outbox.admit(client.send, lambda: _hang_up(client))

        def ended() -> None:
            self._outbox.dismiss(reader)
            _hang_up(client)  # should the other thread be stuck in a write
            client.close()
            with self._lock:
                self._clients -= 1

        self._listen(client.recv, ended)


def _refuse(client: socket.socket) -> None:
    text = f"{MOST_CLIENTS} apps are attached to this run already; leave one of them first"
    with suppress(OSError):
        client.settimeout(0)
        client.send(encode(Error(kind="usage", text=text)))
    client.close()


def _hang_up(client: socket.socket) -> None:
    with suppress(OSError):
        client.shutdown(socket.SHUT_RDWR)
