"""The tiles: what the run learns, how fast, and what it takes, of every GPU as well."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

from textual.app import ComposeResult
from textual.containers import Grid, VerticalScroll

from engine.protocol.events import GpuReading, Telemetry
from engine.runs.best import judge
from engine.runs.usage import Usage
from zotui.app.kit.tile import Tile
from zotui.app.state.gauges import GpuGauge
from zotui.app.state.run_state import RunState
from zotui.text import numbers


class Tiles(VerticalScroll):
    """Eight figures, and where there is room more about the GPUs: the run's own first, each other one in a tile."""

    SCOPED_CSS = False  # the size of the screen is a class on the screen
    DEFAULT_CSS = """
    Tiles { height: auto; max-height: 60%; scrollbar-size-vertical: 1; }
    Tiles:focus Tile { border: round $secondary; }
    Tiles #run-tiles { grid-size: 4 2; grid-rows: auto; height: auto; }
    Tiles #gpu-tiles { grid-size: 3; grid-rows: auto; height: auto; display: none; }
    .-tall Tiles.-gpus #gpu-tiles, .-huge Tiles.-gpus #gpu-tiles, Tiles.-gpus.-maximised #gpu-tiles { display: block; }
    .-tall.-died Tiles.-gpus #gpu-tiles { display: none; }
    .-wide Tiles #run-tiles { grid-size: 8 1; }
    .-short.-ended Tiles #run-tiles { grid-size: 4 1; }
    .-short.-ended Tiles .load { display: none; }
    Tiles.-maximised { height: 1fr; max-height: 100%; }
    """

    def __init__(self) -> None:
        super().__init__(id="tiles")
        self._gpu_tiles: dict[str, Tile] = {}  # about the run's own, and one for each other
        self._with_past = False
        self._run: RunState | None = None

    def compose(self) -> ComposeResult:
        with Grid(id="run-tiles"):
            yield Tile("loss", "tile-loss")
            yield Tile("accuracy", "tile-accuracy")
            yield Tile("tok/s", "tile-speed")
            yield Tile("step time", "tile-step")
            yield Tile("KV", "tile-kv", "load")
            yield Tile("GPU", "tile-gpu", "load")
            yield Tile("memory", "tile-memory", "load")
            yield Tile("CPU", "tile-cpu", "load")
        yield Grid(id="gpu-tiles")

    def on_show(self) -> None:
        """While they were hidden they were not kept up to date."""
        if self._run is not None:
            self.refresh_figures(self._run, now=True)

    def refresh_figures(self, run: RunState, *, now: bool = False) -> None:
        """Show the run's figures; their past, which is dear to draw, every other time or `now`."""
        self._run = run
        if not self.display:
            return
        self._with_past = now or not self._with_past
        self._learning(run)
        gauges = run.gauges
        speed, taken = gauges.tokens_per_s, gauges.step_time
        self._show("speed", numbers.NOTHING if speed is None else numbers.count(speed), "scored", gauges.speeds)
        rate = "" if not taken else f"{1 / taken:.3g} steps/s"
        self._show("step", numbers.NOTHING if taken is None else numbers.brief(taken), rate, gauges.step_times)
        if gauges.now is not None:
            self._load(run, gauges.now)
            self._gpus(gauges.gpus)
        elif gauges.recorded is not None:
            self._recorded(gauges.recorded)

    def _learning(self, run: RunState) -> None:
        smooth = run.smoothed_losses
        start = "smoothed" if run.loss_at_start is None else f"from {numbers.loss(run.loss_at_start)}"
        past = smooth[:: max(1, len(smooth) // 120)]
        self._show("loss", numbers.NOTHING if run.loss is None else numbers.loss(run.loss), start, past)
        first, last = run.first_evaluation, run.last_evaluation
        if first is None or last is None:
            return
        name = judge(last.metrics)
        figure, best = partial(numbers.metric_figure, name), run.best(name)
        before, now = first.metrics.get(name), last.metrics.get(name)
        if before is None or now is None:
            return
        if name != "accuracy":  # of a task without options
            self.query_one("#tile-accuracy", Tile).border_title = "held-out loss" if name == "loss" else name
        past = [taken.metrics[name] for taken in run.evaluations[-120:] if name in taken.metrics]
        both = figure(before) if first is last else f"{figure(before)} → {figure(now)}"
        only_base = best is None or (not best.step and first is last)
        about = "before training" if best is None or only_base else f"best {figure(best.metrics[name])}"
        self._show("accuracy", both, about, past)

    def _load(self, run: RunState, now: Telemetry) -> None:
        gauges = run.gauges
        kv = now.kv_cache_usage
        self._show("kv", numbers.NOTHING if kv is None else f"{kv:.0%}", "of its cache", gauges.kv)
        own = gauges.own
        app = "engine" if own is None else f"+ app {numbers.gib(own.memory)}"
        self._show("memory", f"{numbers.gib(now.rss)} GiB", app, gauges.memory)
        app = "engine" if own is None else f"+ app {own.cpu:.0%}"
        self._show("cpu", f"{now.cpu:.0%}", app, gauges.cpu)

    def _recorded(self, taken: Usage) -> None:
        """What the run took, of which only the records are there."""
        kv, gpu = taken.kv_cache_usage_peak, taken.gpu
        if kv is not None:
            self._show("kv", f"{kv:.0%}", "peak", ())
        self._show("memory", f"{numbers.gib(taken.rss_peak)} GiB", "peak", ())
        self._show("cpu", f"{taken.cpu_mean:.0%}", "mean", ())
        if gpu is None:
            self._show("gpu", "no GPU", "on the CPU", ())
        else:
            self._show("gpu", _of(gpu.memory_used_peak, gpu.memory_total), "peak", ())

    # -- GPUs ------------------------------------------------------------------------------------

    def _gpus(self, gpus: list[GpuGauge]) -> None:
        tile = self.query_one("#tile-gpu", Tile)
        if not gpus:
            tile.show("no GPU", "on the CPU")
            return
        ours, others = gpus[0], gpus[1:]
        title = f"GPU {ours.now.index} of {len(gpus)}" if others else "GPU"
        if tile.border_title != title:
            tile.border_title = title
        self._fill(tile, _memory(ours.now), _condition(ours.now), ours.utilisation)
        wanted = ["busy", "temperature", "power", *(str(gauge.now.index) for gauge in others)]
        if list(self._gpu_tiles) != wanted:
            self._make_room(wanted)
        now, tiles = ours.now, self._gpu_tiles
        busy = numbers.NOTHING if now.utilisation is None else f"{now.utilisation:.0%}"
        self._fill(tiles["busy"], busy, now.name[:24], ours.utilisation)
        warm = numbers.NOTHING if now.temperature is None else f"{now.temperature:.0f} °C"
        self._fill(tiles["temperature"], warm, "", ours.temperature)
        power = numbers.NOTHING if now.power is None else f"{now.power:.0f} W"
        limit = "" if now.power_limit is None else f"of {now.power_limit:.0f} W"
        self._fill(tiles["power"], power, limit, ours.power)
        for one in others:
            self._fill(tiles[str(one.now.index)], _memory(one.now), _condition(one.now), one.utilisation)

    def _make_room(self, names: list[str]) -> None:
        before, grid = self._gpu_tiles, self.query_one("#gpu-tiles", Grid)
        self._gpu_tiles = {
            name: before.pop(name) if name in before else Tile(f"GPU {name}", f"gpu-{name}") for name in names
        }
        grid.mount(*(tile for tile in self._gpu_tiles.values() if not tile.is_attached))
        for tile in before.values():  # of a GPU that is there no more
            tile.remove()
        self.add_class("-gpus")
        self.on_resize()

    def on_resize(self) -> None:
        """A wide screen has them all in a row."""
        if self._gpu_tiles:
            columns = min(len(self._gpu_tiles), 8 if self.screen.has_class("-wide") else 4)
            self.query_one("#gpu-tiles", Grid).styles.grid_size_columns = columns

    def _show(self, name: str, figure: str, about: str, past: Iterable[float]) -> None:
        self._fill(self.query_one(f"#tile-{name}", Tile), figure, about, past)

    def _fill(self, tile: Tile, figure: str, about: str, past: Iterable[float]) -> None:
        tile.show(figure, about, list(past) if self._with_past else None)


def _memory(now: GpuReading) -> str:
    return _of(now.memory_used, now.memory_total)


def _of(used: int, total: int) -> str:
    return f"{numbers.gib(used)}/{numbers.gib(total)} GiB"


def _condition(now: GpuReading) -> str:
    """How busy, how warm and how hungry it is, as far as it says."""
    parts = [
        "" if now.utilisation is None else f"{now.utilisation:.0%}",
        "" if now.temperature is None else f"{now.temperature:.0f}°",
        "" if now.power is None else f"{now.power:.0f} W",
    ]
    return " ".join(part for part in parts if part)
