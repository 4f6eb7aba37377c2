"""What a shell takes away of runs: `zotui compare`, `zotui export` and `zotui show`, on runs as engines leave them."""

from __future__ import annotations

import csv
import json
import math
import time
from pathlib import Path

import pytest
from msgspec import structs
from typer.testing import CliRunner

from engine.protocol.events import Step
from engine.runs.directory import RunDir
from engine.runs.info import Origin
from engine.runs.journal import encode_line, fields_of
from engine.runs.usage import Usage
from tests.zotui.recorded_runs import line, recorded, take, three
from zotui.cli import app
from zotui.runs.curves import COLUMNS, Columns, Curves, smoothed, thinned
from zotui.runs.export_files import PROBES


def zotui(*arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, list(arguments), prog_name="zotui", env={"COLUMNS": "200"})
    return result.exit_code, result.stdout, result.stderr


@pytest.fixture
def runs(home: Path) -> list[RunDir]:
    return three(home / "runs")


@pytest.fixture
def run(home: Path) -> RunDir:
    return recorded(home / "runs" / "r", 300, every=100)


# -- the numbers ------------------------------------------------------------------------------------


def test_curves_add_up_what_the_journal_says(run: RunDir) -> None:
    curves = Columns(run)
    assert curves.refresh() and not curves.refresh()
    records = list(run.journal())
    assert curves.column("total_tokens")[-1] == sum(step.tokens for step in records)
    assert curves.column("total_seconds")[-1] == pytest.approx(300 * 0.02)
    assert curves.column("loss")[7] == pytest.approx(records[7].loss)
    assert curves.column("tokens_per_s")[7] == pytest.approx(records[7].tokens / 0.02)
    assert curves.measured("accuracy", "seconds")[0] == pytest.approx([0.0, 2.0, 4.0, 6.0])
    assert curves.measured("loss", "step")[0] == [0.0, 100.0, 200.0, 300.0]


def test_curves_follow_a_journal_that_was_torn_and_went_on(run: RunDir) -> None:
    whole = run.journal_file.read_bytes()
    torn = line(300, seed=5)[:60]
    run.journal_file.write_bytes(whole + torn)
    curves = Columns(run)
    curves.refresh()
    assert len(curves) == 300
    run.journal_file.write_bytes(whole + line(300) + line(301))  # as a resumed engine leaves it
    assert curves.refresh()
    assert (len(curves), curves.fault) == (302, "")


def test_a_hundred_thousand_steps_are_read_in_well_under_a_second(run: RunDir) -> None:
    record = {"loss_plus": 0.512345678912, "loss_minus": 0.51231, "projected_grad": 1.01, "lr": 1e-6, "eps": 1e-3}
    lines = (encode_line({"step": n, **record, "seed": 0, "tokens": 512, "seconds": 0.02}) for n in range(100_000))
    run.journal_file.write_bytes(b"".join(lines))
    began = time.process_time()
    curves = Columns(run)
    curves.refresh()
    drawn = thinned(curves.over("tokens"), smoothed(curves.column("loss"), 200), 300)
    assert time.process_time() - began < 1.0
    assert 250 <= len(drawn[0]) <= 300 and drawn[0][-1] == 512 * 100_000


def test_what_a_step_does_not_tell_leaves_a_gap(run: RunDir) -> None:
    run.journal_file.write_bytes(encode_line({"step": 0}) + line(1) + encode_line({"step": 2, "lr": 1e-6}))
    curves = Columns(run)
    curves.refresh()
    assert [math.isnan(loss) for loss in curves.column("loss")] == [True, False, True]
    assert smoothed([math.nan, 1.0, 3.0], 1)[1:] == [1.0, 3.0]
    assert list(curves.column("total_seconds")) == pytest.approx([0.0, 0.02, 0.02])
    assert (curves.newest("seconds"), curves.newest("update_kept")) == (1, None)


@pytest.mark.parametrize(
    ("file", "record"),
    [
        ("journal.jsonl", {"step": 300, "tokens": 10**400}),
        ("journal.jsonl", {"step": 300, "loss_plus": "low"}),
        ("evaluations.jsonl", {"step": 300, "metrics": {"accuracy": None}}),
        ("evaluations.jsonl", {"step": -9, "metrics": {"loss": 0.5}}),
    ],
)
def test_what_no_engine_writes_is_refused_by_its_line(run: RunDir, file: str, record: dict[str, object]) -> None:
    with (run.path / file).open("ab") as records:
        records.write(encode_line(record))
    curves = Columns(run)
    curves.refresh()
    assert curves.fault.endswith("is not what belongs there; the file is damaged") and file in curves.fault
    assert len(curves) == 300 and len(curves.evaluations) == (0 if file == "journal.jsonl" else 4)


def test_steps_that_are_taken_again_replace_those_that_were_there() -> None:
    def step(number: int, loss: float, kept: float | None = None) -> Step:
        return Step(step=number, loss_plus=loss, loss_minus=loss, tokens=10, seconds=0.5, update_kept=kept)

    curves = Curves()
    curves.extend([step(number, 1.0, kept=0.5 if number == 17 else None) for number in range(20)])
    assert curves.smoothed_loss(10)[1] == pytest.approx(1.0)
    assert (curves.column("total_seconds")[-1], curves.newest("update_kept")) == (10.0, 17)
    curves.add(step(15, 3.0))
    assert list(curves.column("step")) == list(range(16)) and curves.column("loss")[-1] == 3.0
    assert (curves.column("total_seconds")[-1], curves.newest("update_kept")) == (8.0, None)
    alone = Curves()
    alone.extend([*(step(number, 1.0) for number in range(15)), step(15, 3.0)])
    assert curves.smoothed_loss(10) == alone.smoothed_loss(10)
    assert curves.place(15, "tokens") == 150.0 and curves.place(0, "tokens") == 0.0


# -- compare ----------------------------------------------------------------------------------------


def test_compare_shows_what_differs_and_what_came_of_it(runs: list[RunDir]) -> None:
    code, out, err = zotui("compare", *(run.name for run in runs))
    assert (code, err) == (0, "")
    rows = {row[:17].strip(): row[17:].split() for row in out.splitlines()}
    assert rows["method.lr"] == ["1e-06", "3e-06", "1e-06"]
    assert rows["run.seed"] == ["0", "0", "1"]
    assert rows["runtime"] == ["vllm", "training-loop", "vllm"]
    assert rows["standing"] == ["finished", "finished", "stopped"]
    assert rows["at step"] == ["2,000", "2,000", "1,400"]
    assert rows["after"] == ["40.0", "s", "1:50", "28.0", "s"]
    assert rows["time in all"] == ["1:34", "2:44", "1:22"]
    assert "method.rank" not in out and "run.steps" not in out


def test_compare_as_one_object(runs: list[RunDir]) -> None:
    compared = json.loads(zotui("compare", *(str(run.path) for run in runs), "--json")[1])
    assert compared["differing"]["method.lr"] == [1e-6, 3e-6, 1e-6]
    second = compared["results"][1]
    assert (second["steps_done"], second["best"]["step"], second["standing"]) == (2000, 2000, "finished")
    assert second["best"]["seconds"] == second["seconds"] == pytest.approx(110.0)
    assert second["total_seconds"] == pytest.approx(164.0)
    assert second["first"]["accuracy"] < second["last"]["accuracy"] == second["best"]["metrics"]["accuracy"]


@pytest.mark.parametrize("names", [["r"], ["r", "r"]], ids=["one", "the same"])
def test_compare_needs_two_runs(run: RunDir, names: list[str]) -> None:
    code, out, err = zotui("compare", *names)
    assert (code, out) == (2, "")
    assert err == "zotui: compare: takes two runs or more, each once; `zotui list` shows them\n"


def test_compare_of_runs_without_a_step_or_with_a_damaged_one(home: Path) -> None:
    recorded(home / "runs" / "new", 0, standing="new")
    bad = recorded(home / "runs" / "bad", 20)
    lines = bad.journal_file.read_bytes().splitlines(keepends=True)
    bad.journal_file.write_bytes(b"".join([*lines[:5], b"{}\n", *lines[6:]]))
    code, out, err = zotui("compare", "new", "bad")
    assert code == 0
    assert "5 of 2,000" in out and "0 of 2,000" in out
    assert "line 6 is damaged" in err


# -- export -----------------------------------------------------------------------------------------


def test_export_csv_has_a_row_for_every_step(run: RunDir, tmp_path: Path) -> None:
    code, out, _ = zotui("export", "r", "--to", str(tmp_path / "new" / "r.csv"), "--format", "csv")
    assert (code, out) == (0, f"{tmp_path}/new/r.csv\n")
    with (tmp_path / "new" / "r.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == (*COLUMNS, *PROBES) and len(rows) == 300
    records = list(run.journal())
    for row, step in zip(rows, records, strict=True):
        assert int(row["step"]) == step.step and int(row["tokens"]) == step.tokens
        told = ("loss_plus", "projected_grad", "lr", "eps", "seconds")
        assert all(float(row[name]) == getattr(step, name) for name in told)
    assert int(rows[-1]["total_tokens"]) == sum(step.tokens for step in records)


def test_export_json_has_it_all(run: RunDir, tmp_path: Path) -> None:
    assert zotui("export", "r", "--to", str(tmp_path / "r.json"), "--format", "json")[0] == 0
    found = json.loads((tmp_path / "r.json").read_text())
    assert list(found["steps"]) == [*COLUMNS, *PROBES]
    assert found["steps"]["step"] == list(range(300))
    assert found["evaluations"] == list(map(fields_of, run.evaluations()))
    assert (found["settings"]["method.lr"], found["settings"]["runtime"]) == (1e-6, "vllm")
    assert found["results"]["best"]["step"] == 300


def test_export_has_every_probe_and_every_return(home: Path, tmp_path: Path) -> None:
    """Of a fork whose first step had one direction, though its preset says so of all."""
    run = recorded(home / "runs" / "f", 4, every=2)
    run.info.update(forked_from=Origin(run="somewhere", name="first", step=1))
    two = {"losses_plus": (0.7, 0.5), "losses_minus": (0.6, 0.8)}
    steps = [structs.replace(step, **two) if step.step else step for step in run.journal()]
    steps[3] = structs.replace(steps[3], returned_to=2)
    run.journal_file.write_bytes(b"".join(map(encode_line, steps)))
    assert zotui("export", "f", "--to", str(tmp_path / "f.csv"), "--format", "csv")[0] == 0
    with (tmp_path / "f.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["returned_to"] for row in rows] == ["", "", "", "2"]
    assert [row["losses_plus"] and json.loads(row["losses_plus"]) for row in rows] == ["", *[[0.7, 0.5]] * 3]
    assert [row["losses_minus"] and json.loads(row["losses_minus"]) for row in rows] == ["", *[[0.6, 0.8]] * 3]
    assert zotui("export", "f", "--to", str(tmp_path / "f.json"), "--format", "json")[0] == 0
    found = json.loads((tmp_path / "f.json").read_text())["steps"]
    assert found["returned_to"] == [None, None, None, 2]
    assert found["losses_plus"] == [None, *[[0.7, 0.5]] * 3] and found["losses_minus"] == [None, *[[0.6, 0.8]] * 3]


@pytest.mark.parametrize(("format", "begins"), [("svg", b"<?xml"), ("png", b"\x89PNG")])
def test_export_draws_a_chart(home: Path, tmp_path: Path, format: str, begins: bytes) -> None:
    pytest.importorskip("matplotlib")
    recorded(home / "runs" / "a $run$ of _mine_", 300, every=100)
    to = tmp_path / f"r.{format}"
    assert zotui("export", "a $run$ of _mine_", "--to", str(to), "--format", format)[0] == 0
    assert to.read_bytes().startswith(begins)
    if format == "svg":
        assert b"held-out accuracy" in to.read_bytes() and b"a $run$ of _mine_" in to.read_bytes()


@pytest.mark.parametrize("format", ["csv", "json", "svg", "png"])
def test_export_overwrites_nothing(run: RunDir, tmp_path: Path, format: str) -> None:
    to = tmp_path / "mine"
    to.write_text("mine")
    code, out, err = zotui("export", "r", "--to", str(to), "--format", format)
    assert (code, out, err) == (2, "", f"zotui: {to}: is there already; choose another file\n")
    assert to.read_text() == "mine"


@pytest.mark.parametrize("format", ["csv", "json"])
def test_export_to_standard_output_is_what_the_file_would_be(run: RunDir, tmp_path: Path, format: str) -> None:
    assert zotui("export", "r", "--to", str(tmp_path / "file"), "--format", format)[0] == 0
    code, out, err = zotui("export", "r", "--to", "-", "--format", format)
    assert (code, err) == (0, "")
    assert out == (tmp_path / "file").read_text()


@pytest.mark.parametrize("options", [(), ("--format", "png"), ("--format", "adapter")])
def test_only_numbers_go_to_standard_output(run: RunDir, options: tuple[str, ...]) -> None:
    code, out, err = zotui("export", "r", "--to", "-", *options)
    assert (code, out) == (2, "")
    assert err == "zotui: --to -: only numbers go to standard output; add --format csv or json\n"


def test_export_of_nothing_leaves_nothing(home: Path, tmp_path: Path) -> None:
    recorded(home / "runs" / "new", 0, standing="new")
    to = tmp_path / "new.csv"
    code, _, err = zotui("export", "new", "--to", str(to), "--format", "csv")
    assert (code, err) == (2, "zotui: new: has taken no step yet, there is nothing to export\n")
    assert not to.exists()


def test_without_matplotlib_a_chart_says_what_it_needs(
    run: RunDir, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zotui.runs.export_charts.find_spec", lambda name: None)
    code, _, err = zotui("export", "r", "--to", str(tmp_path / "r.svg"), "--format", "svg")
    assert (code, err) == (2, "zotui: charts need matplotlib: pip install 'zotui[charts]'\n")
    assert not (tmp_path / "r.svg").exists()


# -- show -------------------------------------------------------------------------------------------


def test_show_tells_all_that_the_cockpit_shows(run: RunDir) -> None:
    (run.checkpoints / "step-00000200").mkdir(parents=True)
    change = {"step": 120, "lr": 5e-7, "eps": 1e-3, "eval_every": 0}
    (run.path / "changes.jsonl").write_bytes(encode_line(change))
    run.info.end_pause(150, 3.0)
    run.info.end_pause(150, 1.0)  # asked something in between
    shown = json.loads(zotui("show", "r", "--json")[1])
    assert shown["progress"] == {"share": 0.15, "elapsed_seconds": pytest.approx(60.0), "eta_seconds": None}
    assert shown["best"]["step"] == 300 and shown["best"]["seconds"] == pytest.approx(6.0)
    losses = [step.loss for step in run.journal()]
    assert shown["loss"]["last"] == pytest.approx(losses[-1])
    assert shown["loss"]["smoothed"] < shown["loss"]["smoothed_at_start"]
    assert shown["speed"]["step_seconds"] == pytest.approx(0.02)
    assert shown["speed"]["mean_tokens_per_s"] == pytest.approx(shown["speed"]["tokens"] / 6.0)
    timeline = [(entry["step"], entry["kind"]) for entry in shown["timeline"]]
    assert [step for step, kind in timeline if kind == "fold"] == [50, 100, 150, 200, 250]
    assert [step for step, kind in timeline if kind == "evaluation"] == [0, 100, 200, 300]
    assert (200, "checkpoint") in timeline and (120, "change") in timeline and (150, "pause") in timeline
    assert [entry["seconds"] for entry in shown["timeline"] if entry["kind"] == "pause"] == [4.0]
    assert timeline == sorted(timeline, key=lambda entry: entry[0])
    taken = next(entry for entry in shown["timeline"] if entry["kind"] == "change")
    assert (taken["lr"], taken["seconds_of_steps"]) == (5e-7, pytest.approx(2.4))
    assert shown["log_tail"] == []
    out = zotui("show", "r")[1]
    assert "speed       25," in out and "20 ms a step" in out and "ETA" not in out
    assert "changed     lr 5e-07 from 120" in out
    assert "returned" not in out


def test_show_tells_where_the_run_returned(run: RunDir) -> None:
    steps = list(run.journal())
    for at, to in ((100, 50), (200, 150)):
        steps[at] = structs.replace(steps[at], returned_to=to)
    run.journal_file.write_bytes(b"".join(map(encode_line, steps)))
    shown = json.loads(zotui("show", "r", "--json")[1])
    found = [entry for entry in shown["timeline"] if entry["kind"] == "return"]
    assert [(entry["step"], entry["to"], entry["lr"]) for entry in found] == [(100, 50, 1e-6), (200, 150, 1e-6)]
    assert "returned    2 times, last at step 200 to the state after 150, rate halved to 1e-06" in zotui("show", "r")[1]


def test_show_of_a_live_run_estimates_what_is_left(run: RunDir) -> None:
    run.acquire()
    shown = json.loads(zotui("show", "r", "--json")[1])
    assert shown["standing"] == "live"
    assert shown["progress"]["eta_seconds"] == pytest.approx(1700 * 0.02)
    assert "ETA         ~0:34" in zotui("show", "r")[1]


def test_show_of_a_failed_run_has_the_end_of_its_log(run: RunDir) -> None:
    run.log_file.write_text("".join(f"line {number}\n" for number in range(40)))
    run.info.update(state="failed", error="out of memory")
    shown = json.loads(zotui("show", "r", "--json")[1])
    assert (shown["error"], shown["log_tail"][-1], len(shown["log_tail"])) == ("out of memory", "line 39", 15)


# -- what runs took ---------------------------------------------------------------------------------


def on_a_cpu(second: int, **more: object) -> Usage:
    plain = Usage(
        at=1e9 + second, seconds=30.0, step=second, kv_cache_usage_mean=None, kv_cache_usage_peak=None,
        rss_peak=second * 2**20, cpu_mean=0.5,
    )  # fmt: skip
    return structs.replace(plain, **more)


def test_show_tells_what_a_run_took(runs: list[RunDir]) -> None:
    take(runs[0])
    take(runs[1], *(on_a_cpu(second, cpu_mean=float(second < 600)) for second in range(1, 1200)))
    _, out, _ = zotui("show", runs[0].name)
    assert "memory      peak 2.5 GiB resident; GPU 31.2 of 140 GiB\n" in out
    assert "load        1.8 cores, GPU 90%, KV cache 41% (peak 52%)\n" in out
    _, out, _ = zotui("show", runs[1].name)
    assert "memory      peak 1.2 GiB resident\nload        0.5 cores\n" in out
    used = json.loads(zotui("show", runs[1].name, "--json")[1])["usage"]
    assert used["last"]["at"] == 1e9 + 1199 and used["last"]["gpus"] == []
    assert (used["whole_run"]["rss_peak"], used["whole_run"]["cpu_mean"]) == (1199 * 2**20, 0.4996)
    assert len(used["lines"]) == 400 and used["lines"][0]["seconds"] == 90.0
    assert sum(line["seconds"] for line in used["lines"]) == used["whole_run"]["seconds"] == 1199 * 30.0
    _, out, _ = zotui("show", runs[2].name)
    assert "\nload" not in out and "\nmemory" not in out
    assert json.loads(zotui("show", runs[2].name, "--json")[1])["usage"] is None


def test_compare_has_the_peak_of_memory_where_one_is_known(runs: list[RunDir]) -> None:
    names = [run.name for run in runs]
    assert "peak memory" not in zotui("compare", *names)[1]
    take(runs[0])
    take(runs[1], on_a_cpu(700))
    (row,) = [line for line in zotui("compare", *names)[1].splitlines() if line.startswith("peak memory")]
    assert row.split()[2:] == ["31", "GiB", "GPU", "700", "MiB", "–"]
    results = json.loads(zotui("compare", *names, "--json")[1])["results"]
    assert [one["gpu_memory_peak"] for one in results] == [round(31.2 * 2**30), None, None]
    assert [one["rss_peak"] for one in results] == [round(2.5 * 2**30), 700 * 2**20, None]
