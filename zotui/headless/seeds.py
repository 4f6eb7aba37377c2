"""`zotui run --seeds`: the same preset under several seeds, one run after another, and what they have in common."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from pathlib import Path

import msgspec

from engine.errors import EXIT_DONE, EXIT_FAILED, EXIT_INTERRUPTED, EXIT_USAGE, UserError
from engine.preset.schema import Preset
from engine.runs.best import by_weight
from engine.runs.directory import RunDir
from zotui.engines.launched import start_engine
from zotui.headless.spread import Spread
from zotui.headless.watch import SignalRelay, run_headless
from zotui.home import presets
from zotui.text import numbers
from zotui.text.output import print_out, talk


def run_seeds(preset: str, changes: Sequence[str], seeds: str, folder: Path | None, *, json: bool) -> int:
    """Run every seed, each in a directory of its own, then report; returns the exit code.

    A run that fails does not keep the next from its turn; an interruption, and a mistake that the user
    has to mend, do. The code is the first that is not 0. Raises `UserError` before anything is started.
    """
    wanted = parse_seeds(seeds)
    if any(change.partition("=")[0].strip() == "run.seed" for change in changes):
        raise UserError("--set run.seed and --seeds both say what the seed is; give one of them")
    resolved = {seed: presets.read(preset, [*changes, f"run.seed={seed}"]) for seed in wanted}
    if folder is not None:
        folder = folder.expanduser()
        _refuse_used(folder, wanted)
    finished: dict[int, RunDir] = {}
    code = EXIT_DONE
    with SignalRelay() as relay:
        for number, (seed, chosen) in enumerate(resolved.items(), start=1):
            if relay.received:  # between two runs
                code = code or EXIT_INTERRUPTED
                break
            if not json:
                talk(f"seed {seed} ({number} of {len(wanted)})")
            run, ended = _run_one(chosen, preset, seed, folder, json, relay)
            code = code or ended
            if ended == EXIT_DONE and run:
                finished[seed] = run
            elif ended != EXIT_FAILED:
                break
    _report(finished, [seed for seed in wanted if seed not in finished], json)
    return code


def parse_seeds(text: str) -> list[int]:
    """Whole numbers from 0 on, apart by commas, each once. Raises `UserError`."""
    parts = [part.strip() for part in text.split(",")]
    if not all(re.fullmatch("[0-9]{1,19}", part) for part in parts):
        raise UserError(f"--seeds {text}: expected whole numbers from 0 on, apart by commas, for example --seeds 0,1,2")
    seeds = [int(part) for part in parts]
    if twice := sorted({seed for seed in seeds if seeds.count(seed) > 1}):
        raise UserError(f"--seeds {text}: {twice[0]} is given twice; the same seed gives the same run")
    return seeds


def _refuse_used(folder: Path, seeds: Sequence[int]) -> None:
    """Raise `UserError` if a seed's folder, or the one around them, cannot take a new run."""
    if folder.is_file() or RunDir(folder).info.there():
        RunDir(folder).refuse_used_folder()
    runs = {seed: RunDir(_folder_of(folder, seed)) for seed in seeds}
    used = {seed: run for seed, run in runs.items() if run.info.there()}
    if used:
        standing = {seed: run.summary().standing for seed, run in used.items()}
        ways = [f"`zotui resume {run.path}`" for seed, run in used.items() if standing[seed] != "finished"]
        left = ",".join(str(seed) for seed in seeds if seed not in used)
        ways += [f"--seeds {left} runs those that are left"] if left else []
        held = ", ".join(f"{run.name} ({standing[seed]})" for seed, run in used.items())
        raise UserError(f"{folder}: already holds {held}; {', '.join([*ways, 'or choose another --run-dir'])}")
    for run in runs.values():
        run.refuse_used_folder()


def _folder_of(folder: Path, seed: int) -> Path:
    return folder / f"seed-{seed}"


def _run_one(
    chosen: Preset, name: str, seed: int, folder: Path | None, json: bool, relay: SignalRelay
) -> tuple[RunDir | None, int]:
    """One run to its end, with its exit code; without a run if it could not even be started."""
    try:
        run = RunDir.create(chosen, name, _folder_of(folder, seed) if folder else None, label=f"seed-{seed}")
        return run, run_headless(start_engine(run), json, relay)
    except UserError as error:  # the results of the seeds before are still to be reported
        talk(f"zotui: {error}")
        return None, EXIT_USAGE


def _report(finished: dict[int, RunDir], missing: Sequence[int], json: bool) -> None:
    """Mean and spread of every metric, before and after, over the runs that finished."""
    if not finished:
        return
    evaluations = [run.evaluations() for run in finished.values()]
    before = _spreads([taken[0].metrics for taken in evaluations if taken and taken[0].step == 0])
    after = _spreads([taken[-1].metrics for taken in evaluations if taken])
    if json:
        summary = {
            "type": "summary",
            "seeds": list(finished),
            "missing": missing,
            "metrics": after,
            "before": before,
            "runs": [str(run.path) for run in finished.values()],
        }
        print_out(msgspec.json.encode(summary).decode())
    else:
        print_out("\n".join(_table(list(finished), before, after)))
    if missing:
        talk(f"zotui: without {_named(missing)}, which did not finish")


def _spreads(metrics: Sequence[dict[str, float]]) -> dict[str, Spread]:
    """Every metric that is a number in all runs, that which a run is judged by first."""
    names = sorted(set.intersection(*map(set, metrics)) if metrics else (), key=by_weight)
    columns = {name: [one[name] for one in metrics] for name in names}
    return {
        name: Spread.of(values)
        for name, values in columns.items()
        if all(isinstance(value, (int, float)) and math.isfinite(value) for value in values)
    }


def _table(seeds: Sequence[int], before: dict[str, Spread], after: dict[str, Spread]) -> list[str]:
    lines = ["", f"{_named(seeds):<18}{'mean':>8}{'sd':>8}  95% interval of the mean (Student's t)"]
    for name in after:
        for when, spreads in (("before", before), ("after", after)):
            if (spread := spreads.get(name)) is None:
                continue
            sd, interval = "–", "– (one run has no spread)"
            if spread.sd is not None and spread.ci95 is not None:
                sd, interval = (
                    numbers.metric_figure(name, spread.sd),
                    " to ".join(numbers.metric_figure(name, end) for end in spread.ci95),
                )
            lines.append(f"{name + ' ' + when:<18}{numbers.metric_figure(name, spread.mean):>8}{sd:>8}  {interval}")
    return lines


def _named(seeds: Sequence[int]) -> str:
    return f"seed{'s' if len(seeds) > 1 else ''} {', '.join(map(str, seeds))}"
