"""`zotui run --seeds` with a scripted engine, and its statistics against known values."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.zotui.scripted_engine import REPOSITORY, install, start, zotui
from zotui.cli import app
from zotui.headless.spread import Spread, t_quantile

# A run whose results follow from its seed; a seed may be told to end in another way.
SEEDED = """
seed = run.preset().run.seed
hello(3)
def evaluate(number, **metrics):
    run.add_evaluation({"step": number, "split": "validation", "metrics": metrics})
    evaluation(number, **metrics)
evaluate(0, loss=0.7, accuracy=0.5)
step(0)
"""
FINISHES = "evaluate(3, loss=0.5 - seed / 10, accuracy=0.7 + seed / 10); done(3)"


@pytest.fixture(autouse=True)
def _home(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))
    monkeypatch.chdir(tmp_path)
    Path("p.toml").write_text('[model]\npath = "m"\n[task]\nname = "sst2"\n[run]\nsteps = 3\n')


# -- the statistics ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("freedom", "expected"),
    [(1, 12.7062), (2, 4.3027), (3, 3.1824), (4, 2.7764), (9, 2.2622), (10, 2.2281), (30, 2.0423), (120, 1.9799)],
)
def test_the_quantiles_are_those_of_the_tables(freedom: int, expected: float) -> None:
    assert t_quantile(freedom) == pytest.approx(expected, abs=5e-5)


def test_the_interval_of_few_values_is_students() -> None:
    spread = Spread.of([1, 2, 3])
    assert (spread.mean, spread.sd, spread.values) == (2.0, 1.0, [1, 2, 3])
    assert spread.ci95 == pytest.approx((2 - 2.484, 2 + 2.484), abs=5e-4)
    assert Spread.of([0.5, 0.5]) == Spread(0.5, 0.0, (0.5, 0.5), [0.5, 0.5])
    assert Spread.of([0.5]) == Spread(0.5, None, None, [0.5])


# -- the command ------------------------------------------------------------------------------------


def test_seeds_run_in_turn_in_folders_of_their_own_and_are_reported(tmp_path: Path) -> None:
    code, out, err = zotui(
        "run", "p.toml", "--seeds", "2,0,1", "--run-dir", "d", engine=install(tmp_path, SEEDED + FINISHES)
    )
    assert code == 0
    assert [line for line in err.splitlines() if line.startswith("seed ")] == [
        *("seed 2 (1 of 3)", "seed 0 (2 of 3)", "seed 1 (3 of 3)")
    ]
    lines = out.splitlines()
    assert [line.split()[-1] for line in lines if line.startswith("run ")] == [
        str(tmp_path / "d" / f"seed-{seed}") for seed in (2, 0, 1)
    ]
    assert lines[-6:] == [
        "",
        "seeds 2, 0, 1         mean      sd  95% interval of the mean (Student's t)",
        "accuracy before      0.500   0.000  0.500 to 0.500",
        "accuracy after       0.800   0.100  0.552 to 1.048",
        "loss before         0.7000  0.0000  0.7000 to 0.7000",
        "loss after          0.4000  0.1000  0.1516 to 0.6484",
    ]
    assert "seed = 2\n" in (tmp_path / "d/seed-2/preset.toml").read_text()


def test_json_ends_with_one_summary_and_names_carry_the_seed(tmp_path: Path) -> None:
    code, out, err = zotui("run", "p.toml", "--seeds", "0,2", "--json", engine=install(tmp_path, SEEDED + FINISHES))
    assert (code, err) == (0, "")
    *events, summary = [json.loads(line) for line in out.splitlines()]
    assert [event["type"] for event in events] == ["hello", "eval", "step", "eval", "done"] * 2
    runs = [event["run"] for event in events if event["type"] == "done"]
    assert [Path(run).name[: len("p-seed-N-20")] for run in runs] == ["p-seed-0-20", "p-seed-2-20"]
    assert (summary["type"], summary["seeds"], summary["missing"], summary["runs"]) == ("summary", [0, 2], [], runs)
    accuracy = summary["metrics"]["accuracy"]
    assert accuracy["values"] == [0.7, 0.7 + 0.2]
    assert (accuracy["mean"], accuracy["sd"]) == pytest.approx((0.8, 0.1 * 2**0.5))
    assert accuracy["ci95"] == pytest.approx([0.8 - 1.27062, 0.8 + 1.27062], abs=1e-4)
    assert summary["before"]["loss"]["values"] == [0.7, 0.7]


def test_one_that_fails_is_left_out_and_its_code_returned(tmp_path: Path) -> None:
    fails = 'if seed == 1: say(events.Error(kind="failure", text="diverged")); sys.exit(1)\n'
    engine = install(tmp_path, SEEDED + fails + FINISHES)
    code, out, err = zotui("run", "p.toml", "--seeds", "0,1,2", "--json", "--run-dir", "d", engine=engine)
    summary = json.loads(out.splitlines()[-1])
    assert (code, summary["seeds"], summary["missing"]) == (1, [0, 2], [1])
    assert summary["metrics"]["loss"]["values"] == [0.5, 0.3]
    assert err.splitlines()[-1] == "zotui: without seed 1, which did not finish"
    assert f"go on with: zotui resume {tmp_path}/d/seed-1" in err


def test_what_the_user_must_mend_ends_the_series_and_leaves_nothing(tmp_path: Path) -> None:
    engine = install(tmp_path, 'say(events.Error(kind="usage", text="t.csv: row 3: no")); sys.exit(2)')
    code, out, err = zotui("run", "p.toml", "--seeds", "0,1", "--run-dir", "d", engine=engine)
    assert (code, out, err) == (2, "", "seed 0 (1 of 2)\nzotui: t.csv: row 3: no\n")
    assert list((tmp_path / "d").iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interruption_saves_the_run_and_starts_no_other(tmp_path: Path, number: signal.Signals) -> None:
    waits = """
if seed == 1:
    while not signals: time.sleep(0.01)
    run.info.update(state="stopped")
    done(1, outcome="stopped")
    sys.exit(130)
"""
    engine = install(tmp_path, SEEDED + waits + FINISHES)
    arguments = ("run", "p.toml", "--seeds", "0,1,2", "--run-dir", "d")

    def heed() -> None:  # also where the tests themselves run under nohup
        signal.signal(number, signal.SIG_DFL)

    process = start(*arguments, engine=engine, preexec_fn=heed)
    assert process.stderr is not None
    while "seed 1 (2 of 3)" not in process.stderr.readline():
        pass
    while "step 1/3" not in process.stderr.readline():
        pass
    process.send_signal(number)
    out, err = process.communicate(timeout=240)
    assert process.returncode == 130
    assert f"next        zotui resume {tmp_path}/d/seed-1" in out.splitlines()
    assert "accuracy after       0.700       –  – (one run has no spread)" in out.splitlines()
    assert err.splitlines()[-1] == "zotui: without seeds 1, 2, which did not finish"
    assert sorted(path.name for path in (tmp_path / "d").iterdir()) == ["seed-0", "seed-1"]
    code, out, err = zotui(*arguments, engine=engine)
    assert (code, out) == (2, "")
    assert err == (
        f"zotui: d: already holds seed-0 (new), seed-1 (stopped); `zotui resume {tmp_path}/d/seed-0`, "
        f"`zotui resume {tmp_path}/d/seed-1`, --seeds 2 runs those that are left, or choose another --run-dir\n"
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--seeds", ""], "--seeds : expected whole numbers from 0 on"),
        (["--seeds", "0,,1"], "--seeds 0,,1: expected whole numbers from 0 on"),
        (["--seeds", "0,-1"], "--seeds 0,-1: expected whole numbers from 0 on"),
        (["--seeds", "0,x"], "--seeds 0,x: expected whole numbers from 0 on"),
        (["--seeds", "1.5"], "--seeds 1.5: expected whole numbers from 0 on"),
        (["--seeds", "0,1,00"], "--seeds 0,1,00: 0 is given twice"),
        (["--seeds", "0,9999999999999999999"], "run.seed: input should be less than 9223372036854775808"),
        (["--seeds", "0", "--set", "run.seed=1"], "--set run.seed and --seeds both say what the seed is"),
        (["--seeds", "0", "--set", "lr=1"], "--set lr: unknown key; did you mean 'method.lr'?"),
        (["--seeds", "0,1", "--run-dir", "p.toml"], "p.toml: is a file; choose another --run-dir"),
        (["--seeds", "0,1", "--run-dir", "used"], "used/seed-1: holds journal.jsonl, which a run would write"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_cannot_be_run_is_told_before_anything_starts(arguments: list[str], message: str) -> None:
    Path("used/seed-1").mkdir(parents=True)
    Path("used/seed-1/journal.jsonl").touch()
    result = CliRunner().invoke(app, ["run", "p.toml", *arguments], prog_name="zotui")
    assert (result.exit_code, result.stdout) == (2, "")
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert not (Path(os.environ["ZOTUI_HOME"]) / "runs").exists()
    assert not Path("used/seed-0").exists()
