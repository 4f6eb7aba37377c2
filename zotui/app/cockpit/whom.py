"""Whom the pane *try it* asks: the engine of a live run, or one of its own with the weights of a run that is over."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable
from typing import Protocol

from engine.errors import UserError
from engine.protocol.commands import Try
from engine.protocol.events import Error, Phase, Tried
from engine.protocol.findings import READY
from engine.runs.directory import RunDir
from zotui.app.state.run_state import RunState
from zotui.engines.trying import TryEngine
from zotui.text import numbers

_KEPT = 100  # answers


class Whom(Protocol):
    """Answers, sooner or later.

    Attributes: tried, the answers that have come; about, what there is to know before the first question; waiting, what
    a question waits for; stage, what it is at before it can answer; over, why nothing more can be asked, else nothing;
    other, the state that could be asked instead, None if there is none.
    """

    @property
    def about(self) -> str: ...

    @property
    def waiting(self) -> str: ...

    @property
    def tried(self) -> Iterable[Tried]: ...

    @property
    def stage(self) -> str: ...

    @property
    def over(self) -> str: ...

    @property
    def other(self) -> str | None: ...

    def begin(self) -> None: ...

    def send(self, question: Try) -> bool: ...

    def change_state(self) -> None: ...

    def close(self) -> None: ...


class LiveRun:
    """The engine that trains."""

    about = "Answered between two steps, by the weights as they are and by the base model; nothing is moved."
    waiting = "asked: the engine answers after the step in flight"
    stage = ""
    other = None

    def __init__(self, run: RunState, send: Callable[[Try], bool]) -> None:
        """`send` takes a command to the engine."""
        self._run, self.send = run, send

    @property
    def tried(self) -> Iterable[Tried]:
        return self._run.tried

    @property
    def over(self) -> str:
        return "" if self._run.live else "the engine has ended: what has been answered stays, nothing more can be asked"

    def begin(self) -> None: ...

    def change_state(self) -> None: ...

    def close(self) -> None: ...


class PastRun:
    """An engine of its own, that ends with the pane."""

    waiting = "asked: answered as soon as the model has the weights of the run"

    def __init__(self, run: RunDir) -> None:
        self._run, self._step = run, "last"
        self.tried: deque[Tried] = deque(maxlen=_KEPT)
        self.stage = self.over = ""
        self._engine: TryEngine | None = None

    @property
    def about(self) -> str:
        return (
            f"Answered by the weights of the run, at its {self._step} state, and by the base model; nothing is moved."
        )

    @property
    def other(self) -> str | None:
        """The best where the last is asked, and the other way round."""
        return "the best state" if self._step == "last" else "the last state"

    def begin(self) -> None:
        """Start the engine."""
        self.stage, self.over = f"the {self._step} state: starting", ""
        try:
            self._engine = TryEngine.on(self._run, self._step)
        except (UserError, OSError) as error:
            self._engine, self.over = None, str(error)
            return
        threading.Thread(target=self._listen, args=[self._engine, self._step], daemon=True).start()

    def send(self, question: Try) -> bool:
        return self._engine is not None and not self.over and self._engine.ask(question)

    def change_state(self) -> None:
        """The best instead of the last, or the other way round, by another engine."""
        self.close()
        self._step = "best" if self._step == "last" else "last"
        self.begin()

    def close(self) -> None:
        """End the engine; what it still says is not heard."""
        engine, self._engine = self._engine, None
        if engine is not None:
            engine.close()

    def _listen(self, engine: TryEngine, step: str) -> None:
        why = ""
        for found in engine.findings():
            if engine is not self._engine:
                return
            if isinstance(found, Tried):
                self.tried.append(found)
            elif isinstance(found, Phase):
                progress = "" if found.progress is None else f"{found.progress:.0%} "
                told = f"{progress}{found.name} {found.detail}".rstrip()
                self.stage = "" if found.name == READY else f"the {step} state: {told}"
            elif isinstance(found, Error):
                why = found.text
        code = engine.wait()
        if engine is self._engine:
            self.over = why or f"the engine ended with code {numbers.count(code)}; `zotui try` shows why"
