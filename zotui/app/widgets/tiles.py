"""The row of tiles."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.containers import Grid

from engine.messages import Telemetry
from zotui.app import words
from zotui.app.state import RunState
from zotui.app.widgets.tile import Tile


class Tiles(Grid):
    """Eight figures: what the run learns, how fast, and what it takes."""

    SCOPED_CSS = False  # the size of the screen is a class on the screen
    DEFAULT_CSS = """
    Tiles {
        grid-size: 4 2;
        grid-rows: auto;
        height: auto;
    }
    .-wide Tiles { grid-size: 8 1; }
    """

    def compose(self) -> ComposeResult:
        yield Tile("loss", "tile-loss")
        yield Tile("accuracy", "tile-accuracy")
        yield Tile("tok/s", "tile-speed")
        yield Tile("step time", "tile-step")
        yield Tile("KV", "tile-kv")
        yield Tile("GPU", "tile-gpu")
        yield Tile("memory", "tile-memory")
        yield Tile("CPU", "tile-cpu")

    def refresh_figures(self, run: RunState) -> None:
        """Show the run's figures."""
        self._learning(run)
        gauges = run.gauges
        speed, taken = gauges.tokens_per_s, gauges.step_time
        self._show("speed", words.NOTHING if speed is None else words.count(speed), "scored", gauges.speeds)
        rate = "" if not taken else f"{1 / taken:.3g} steps/s"
        self._show("step", words.NOTHING if taken is None else words.brief(taken), rate, gauges.step_times)
        if gauges.now is not None:
            self._load(run, gauges.now)

    def _learning(self, run: RunState) -> None:
        mean = run.losses.mean
        smooth = run.losses.points(120)[2]
        start = f"from {words.loss(smooth[0])}" if smooth else "smoothed"
        self._show("loss", words.NOTHING if mean is None else words.loss(mean), start, smooth)
        first, last, best = run.first_evaluation, run.last_evaluation, run.best("accuracy")
        if first is None or last is None or best is None:
            return
        before, now = first.metrics.get("accuracy"), last.metrics.get("accuracy")
        if before is None or now is None:
            return
        past = [
            taken.metrics["accuracy"] for _, taken in sorted(run.evaluations.items()) if "accuracy" in taken.metrics
        ]
        both = words.accuracy(before) if first is last else f"{words.accuracy(before)} → {words.accuracy(now)}"
        self._show("accuracy", both, f"best {words.accuracy(best.metrics['accuracy'])}", past)

    def _load(self, run: RunState, now: Telemetry) -> None:
        gauges = run.gauges
        kv = now.kv_cache_usage
        self._show("kv", words.NOTHING if kv is None else f"{kv:.0%}", "of its cache", gauges.kv)
        if now.gpu_memory_used is None:
            self._show("gpu", "no GPU", "runs on the CPU")
        else:
            total = "" if now.gpu_memory_total is None else f"/{words.gib(now.gpu_memory_total)}"
            busy = "" if now.gpu_utilisation is None else f"{now.gpu_utilisation:.0%} busy"
            self._show("gpu", f"{words.gib(now.gpu_memory_used)}{total} GiB", busy, gauges.gpu)
        self._show("memory", f"{words.gib(now.rss)} GiB", "engine", gauges.memory)
        self._show("cpu", f"{now.cpu:.0%}", "of one core", gauges.cpu)

    def _show(self, name: str, figure: str, about: str, past: object = None) -> None:
        tile = self.query_one(f"#tile-{name}", Tile)
        tile.show(figure, about, list(past) if past is not None else None)  # type: ignore[call-overload]
