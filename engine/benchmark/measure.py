"""The paths of a step timed against each other, in turns.

A fold is timed by itself, after steps that learned something, and each step then gets the share of it that it has in a
run: the median over folds, by the steps of an interval.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
from dataclasses import dataclass
from typing import IO

import msgspec
from msgspec import structs

from engine.benchmark.side import Answer, Config, Peak, Ready, Refused, Request, Turn
from engine.errors import RunFailed, UserError
from engine.protocol.figures import BenchFigures, PathFigures

PATHS = ("loop", "vllm", "floor", "public")

_ONCE_AN_INTERVAL = {"loop": "redraw", "vllm": "fold", "public": "fold"}
"""What each path does at the end of one; the floor does nothing."""


@dataclass(frozen=True)
class Case:
    """What is measured at once: a model, as it was asked for, at one batch size."""

    model: str
    device: str  # described
    loop: Config
    vllm: Config
    rounds: int  # turns of every path
    interval: int  # steps between folds


def _median(turns: list[Turn]) -> float:
    return statistics.median(turn.seconds for turn in turns)


class _Side:
    """One of the two measuring processes."""

    def __init__(self, config: Config, log: IO[str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "engine.benchmark.side", msgspec.json.encode(config).decode()],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
        )
        self._decoder: msgspec.json.Decoder[Answer] = msgspec.json.Decoder(Answer)

    def ready(self) -> Ready:
        """Wait until it can take steps. Raises `UserError` for what the user can mend, and `RunFailed`."""
        answer = self._answer()
        if isinstance(answer, Refused):
            raise UserError(answer.text)
        assert isinstance(answer, Ready)
        return answer

    def take(self, path: str, step: int) -> Turn:
        """Have one step taken. Raises `RunFailed` if the process is gone."""
        answer = self._ask(Request(path, step))
        assert isinstance(answer, Turn)
        return answer

    def peak(self, path: str, step: int) -> int:
        """Have one step taken; returns the bytes at its peak. Raises `RunFailed` likewise."""
        answer = self._ask(Request(path, step, peak=True))
        assert isinstance(answer, Peak)
        return answer.bytes

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()

    def _ask(self, request: Request) -> Answer:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(msgspec.json.encode(request) + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass  # its last words, if any, are read below
        return self._answer()

    def _answer(self) -> Answer:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RunFailed("a measuring process ended")
        return self._decoder.decode(line)


def measure(case: Case, paths: list[str], log: IO[str]) -> BenchFigures:
    """Interleave the paths; returns the object that `zotui bench --json` prints."""
    sides: dict[str, _Side] = {}
    try:
        ready = {}
        # One after the other: each checks whether what is left of the memory will do.
        for name, config in (("vllm", case.vllm), ("loop", case.loop)):
            if set(paths) & ({"loop"} if name == "loop" else {"vllm", "floor", "public"}):
                sides[name] = _Side(config, log)
                ready[name] = sides[name].ready()
        if len({side.threads for side in ready.values()}) > 1:
            raise RunFailed(f"the two sides had different numbers of threads: {ready}")
        turns, peaks = _take_turns(sides, paths, case.rounds)
    finally:
        for side in sides.values():
            side.close()
    return sum_up(case, next(iter(ready.values())), turns, peaks)


def sum_up(case: Case, machine: Ready, turns: dict[str, list[Turn]], peaks: dict[str, int]) -> BenchFigures:
    """What the turns come to: those of every path, of its `fold` or `redraw`, and the first ones as `first PATH`.

    `peaks` has the bytes of every path that was taken.
    """
    turns = dict(turns)
    share = {path: _median(turns[rare]) / case.interval for path, rare in _ONCE_AN_INTERVAL.items() if path in peaks}
    for path in share:
        turns[path] = [structs.replace(turn, seconds=turn.seconds + share[path]) for turn in turns[path]]
    of_path = {path: _summary(turns[path], peaks[path]) if path in peaks else None for path in PATHS}
    loop, vllm, floor = turns["loop"], turns["vllm"], turns["floor"]
    speedup = floor_ratio = difference = None
    if loop and vllm:
        speedup = _median(loop) / _median(vllm)
        ours, theirs = (turns[f"first {path}"][0].loss for path in ("vllm", "loop"))
        if ours is not None and theirs is not None and not case.vllm.random_weights:
            # With weights from files, the first step of both sides is the same step.
            difference = abs(ours - theirs)
    if vllm and floor:
        # Of steps taken one right after the other, which whatever else the machine does slows alike.
        floor_ratio = statistics.median(a.seconds / b.seconds for a, b in zip(vllm, floor, strict=True))
    config = case.vllm
    return BenchFigures(
        model=case.model,
        device=case.device,
        rounds=case.rounds,
        dtype=config.dtype,
        batch_size=config.batch_size,
        options=config.options,
        option_tokens=config.option_tokens,
        length=config.length,
        rank=config.rank,
        queries=config.queries,
        method=config.method,
        interval=case.interval,
        loop=of_path["loop"],
        vllm=of_path["vllm"],
        floor=of_path["floor"],
        public=of_path["public"],
        speedup=speedup,
        floor_ratio=floor_ratio,
        overhead_share=statistics.median(1 - turn.forward_seconds / turn.seconds for turn in vllm) if vllm else None,
        fold_s=_median(turns["fold"]) if turns["fold"] else None,
        redraw_s=_median(turns["redraw"]) if turns["redraw"] else None,
        recorded_shapes=vllm[-1].recorded if vllm else None,
        loss_difference=difference,
        threads=machine.threads,
        parameters=machine.parameters,
        scope_parameters=machine.scope_parameters,
        factors_per_rank=machine.factors_per_rank,
        hardware=machine.hardware,
        versions=machine.versions,
    )


def _take_turns(sides: dict[str, _Side], paths: list[str], rounds: int) -> tuple[dict[str, list[Turn]], dict[str, int]]:
    """The turns of every path, in order, and its peak memory."""
    of_path = {path: sides["loop" if path == "loop" else "vllm"] for path in paths}
    turns: dict[str, list[Turn]] = {path: [] for path in (*PATHS, "fold", "redraw")}
    step = 1
    for path in paths:
        say(f"warm-up: {path}")
        turns[f"first {path}"] = [of_path[path].take(path, step)]
    rare = {_ONCE_AN_INTERVAL[path]: of_path[path] for path in paths if path in _ONCE_AN_INTERVAL}
    # vllm once more, to find what it made ready, and the folds, whose first draw memory.
    if "vllm" in paths:
        sides["vllm"].take("vllm", step)
    for what, side in rare.items():
        side.take(what, step)
    for number in range(rounds):
        # vllm and the floor are the quickest, and what lies between them is small: more turns.
        order: list[str] = [path for path in ("loop", *("vllm", "floor") * 3) if path in paths]
        if "public" in paths and number in (0, rounds // 2, rounds - 1):  # slow, and the least interesting
            order.append("public")
        for path in order:
            step += 1
            turns[path].append(of_path[path].take(path, step))
        for what, side in rare.items():
            turns[what].append(side.take(what, step))
        latest = ", ".join(f"{path} {turns[path][-1].seconds:.3f} s" for path in paths)
        say(f"round {number + 1}/{rounds}: {latest}")
    return turns, {path: of_path[path].peak(path, step) for path in paths}


def _summary(turns: list[Turn], peak: int) -> PathFigures:
    seconds = [turn.seconds for turn in turns]
    return PathFigures(
        median_s=_median(turns),
        min_s=min(seconds),
        max_s=max(seconds),
        tokens=turns[0].tokens,
        peak_bytes=peak,
        padded_tokens=turns[0].padded_tokens,
    )


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
