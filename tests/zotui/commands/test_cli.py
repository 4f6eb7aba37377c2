"""The command line as a user meets it, with a scripted engine at the other end of real pipes."""

import json
import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from engine import __version__
from engine.preset.load import load_file
from engine.runs.directory import RunDir
from engine.runs.journal import JournalWriter, encode_line
from tests.zotui import scripted_engine
from tests.zotui.scripted_engine import start, zotui
from zotui.cli import app
from zotui.headless.progress import _REDRAW

REPOSITORY = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def _home(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.chdir(tmp_path)
    Path("p.toml").write_text('[model]\npath = "m"\n[task]\nname = "sst2"\n[run]\nsteps = 3\n')


def here(*arguments: str) -> tuple[int, str, str]:
    """The same as `zotui`, without a process of its own, for what never gets as far as an engine."""
    result = CliRunner().invoke(app, list(arguments), prog_name="zotui")
    return result.exit_code, result.stdout, result.stderr


def scripted(tmp_path: Path, body: str) -> Path:
    return scripted_engine.install(tmp_path, body)


def make_run(name: str = "r", **info: Any) -> RunDir:
    run = RunDir.create(load_file(Path("p.toml")), "p", Path(os.environ["ZOTUI_HOME"]) / "runs" / name)
    run.info.update(**info)
    return run


# -- files and their encoding -----------------------------------------------------------------------


def test_files_are_utf_8_whatever_the_locale_and_output_is_what_it_can_take() -> None:
    text = Path("p.toml").read_text(encoding="utf-8")
    folder = Path(os.environ["ZOTUI_HOME"]) / "presets"
    folder.mkdir(parents=True)
    (folder / "mine.toml").write_text(f'description = "caf\u00e9 \U0001f600"\n{text}', encoding="utf-8-sig")
    (folder.parent / "config.toml").write_text('[notify]\ncommand = ["\u00e9"]\n', encoding="utf-8-sig")
    env = {**os.environ, "LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}

    def in_c(*arguments: str) -> str:
        done = subprocess.run([sys.executable, "-m", "zotui", *arguments], env=env, capture_output=True)
        assert (done.returncode, done.stderr) == (0, b"")
        return done.stdout.decode()

    assert "mine  " in (listed := in_c("presets", "ls")) and "caf\u00e9 \U0001f600" in listed
    assert 'command = ["\u00e9"]' in in_c("config", "show")
    in_c("presets", "copy", "mine", "copied")
    copied = (folder / "copied.toml").read_bytes().decode()
    assert copied.startswith('description = "caf\u00e9 \U0001f600"\n')


# -- help, and what is wrong with a command ---------------------------------------------------------


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; sys.argv = ['zotui', '--help']\n"
        "from zotui.cli import main\n"
        "try: main()\n"
        "except SystemExit as end: assert not end.code\n"
        "heavy = {'torch', 'textual', 'numpy', 'vllm', 'transformers', 'rich'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for command in ("run", "resume", "attach", "stop", "list", "show", "export", "presets"):
        assert f"\n  {command} " in done.stdout


@pytest.mark.parametrize(
    ("arguments", "last_line"),
    [
        (["rnu"], "Error: No such command 'rnu'. Did you mean 'run'?"),
        (["run"], "Error: Missing argument 'PRESET'."),
        (["run", "p.toml", "--bogus"], "Error: No such option: --bogus"),
        (["presets"], "Error: Missing command."),
        (["run", "nope"], "zotui: nope: unknown preset; `zotui presets ls` lists them"),
        (["run", "p.toml", "--set", "lr=1"], "zotui: --set lr: unknown key; did you mean 'method.lr'?"),
        (
            ["run", "p.toml", "--set", "method.lr=nan"],
            "zotui: p.toml: method.lr: input should be a finite number, not nan; Learning rate.",
        ),
        (["run", "p.toml", "--run-dir", "p.toml"], "p.toml: is a file; choose another --run-dir"),
        (["resume", "nope"], "zotui: nope: no such run; `zotui list` shows them"),
        (["show", "nope"], "zotui: nope: no such run; `zotui list` shows them"),
        (["export", "nope", "--to", "x"], "zotui: nope: no such run; `zotui list` shows them"),
        (
            ["export", "nope", "--to", "x", "--format", "gguf"],
            "zotui: --format gguf: not a format; use one of merged, adapter, csv, json, svg, png",
        ),
        (
            ["export", "nope", "--to", "x", "--rank", "8"],
            "zotui: --rank 8: is for --format adapter",
        ),
        (
            ["export", "nope", "--to", "x.csv", "--step", "best"],
            "zotui: --step best: is for --format merged or adapter; csv has every step",
        ),
        (["presets", "validate", "no.toml"], "zotui: no.toml: no such preset file; `zotui presets ls` lists"),
        ([], "zotui: the app needs a terminal; `zotui run PRESET` works without, `zotui --help` lists all"),
    ],
    ids=" ".join,
)
def test_a_mistake_is_told_in_a_few_lines(arguments: list[str], last_line: str) -> None:
    code, out, err = here(*arguments)
    assert (code, out) == (2, "")
    assert last_line in err.splitlines()[-1]
    assert len(err.splitlines()) <= 8
    assert not (Path(os.environ["ZOTUI_HOME"]) / "runs").exists()


def test_version() -> None:
    assert here("--version")[:2] == (0, f"zotui {__version__}\n")


def test_a_reader_that_has_had_enough_is_no_error() -> None:
    for number in range(3):
        make_run(f"r{number}")
    reader, writer = os.pipe()
    os.close(reader)
    process = start("list", stdout=writer)
    os.close(writer)
    _, err = process.communicate(timeout=240)
    assert (process.returncode, err) == (0, "")


# -- presets ----------------------------------------------------------------------------------------


def test_presets_are_listed_shown_copied_and_validated() -> None:
    assert "opt-13b-sst2 " in here("presets", "ls")[1]
    assert here("presets", "show", "p.toml")[1] == Path("p.toml").read_text()
    code, out, _ = here("presets", "copy", "p.toml", "mine")
    assert (code, Path(out.strip()).read_text()) == (0, Path("p.toml").read_text())
    assert here("presets", "copy", "p.toml", "mine")[0] == 2
    assert here("presets", "validate", "mine")[:2] == (0, "mine: valid\n")
    for changes, said in (
        (["method.alpha=3", "method.angle=1"], "method.alpha, method.angle: without effect on "),
        (["method.name=mezo", "method.rank=9"], "method.rank: without effect on mezo as it is"),
    ):
        code, told, _ = here("presets", "validate", "mine", *(f"--set={change}" for change in changes))
        assert code == 0 and told.startswith("mine: valid") and said in told
    assert "method.lr" in here("presets", "validate", "mine", "--set", "method.lr=fast")[2]


# -- running without a cockpit ----------------------------------------------------------------------


def test_a_run_without_a_terminal_shows_progress_and_a_table(tmp_path: Path) -> None:
    code, out, err = zotui("run", "p.toml", "--run-dir", "d", engine=scripted(tmp_path, scripted_engine.GOOD))
    assert code == 0
    assert out.splitlines() == [
        "validation      before     after      best",
        "accuracy         0.500     0.625     0.750  at step 2",
        "loss            0.7000    0.6500    0.6000  at step 2",
        "steps       3",
        "wall-clock  1:05",
        f"run         {tmp_path}/d",
        f"next        zotui export {tmp_path}/d --to DIR --format merged",
    ]
    assert err.splitlines() == [
        "loading weights",
        "d: m on cpu, vllm, float32, 3 steps",
        "step 0: validation accuracy 0.500  loss 0.7000 (9 examples, 0.10 s)",
        "step 1/3  loss 0.5000  1,000 tok/s",
        "step 3/3  loss 0.5000  1,000 tok/s",
        "step 2: validation accuracy 0.750  loss 0.6000 (9 examples, 0.10 s)",
        "step 3: validation accuracy 0.625  loss 0.6500 (9 examples, 0.10 s)",
    ]
    assert (tmp_path / "d" / "preset.toml").exists()


def test_json_prints_every_event_and_nothing_else(tmp_path: Path) -> None:
    code, out, err = zotui("run", "p.toml", "--json", engine=scripted(tmp_path, scripted_engine.GOOD))
    events = [json.loads(line) for line in out.splitlines()]
    assert (code, err) == (0, "")
    assert [event["type"] for event in events] == [
        *("phase", "hello", "eval", "step", "step", "step", "eval", "eval", "done")
    ]
    assert events[3]["loss_plus"] == 0.6


def test_what_the_engine_finds_before_step_0_exits_2_and_leaves_nothing(tmp_path: Path) -> None:
    engine = scripted(tmp_path, 'say(events.Error(kind="usage", text="t.csv: row 3: no")); sys.exit(2)')
    code, out, err = zotui("run", "p.toml", "--headless", engine=engine)
    assert (code, out, err) == (2, "", "zotui: t.csv: row 3: no\n")
    assert list((tmp_path / "home" / "runs").iterdir()) == []


def test_a_refused_run_leaves_the_users_folder_alone(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").touch()
    engine = scripted(tmp_path, 'say(events.Error(kind="usage", text="no")); sys.exit(2)')
    assert zotui("run", "p.toml", "--headless", "--run-dir", "mine", engine=engine)[0] == 2
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["thesis.txt"]


def test_a_failure_shows_the_end_of_the_log_and_how_to_go_on(tmp_path: Path) -> None:
    body = """
    hello(3)
    for i in range(40):
        print("log line", i, file=sys.stderr)
    say(events.Error(kind="failure", text="RuntimeError: out of memory"))
    sys.exit(1)
    """
    code, out, err = zotui("run", "p.toml", "--run-dir", "d", engine=scripted(tmp_path, body))
    assert (code, out) == (1, "")
    lines = err.splitlines()
    assert lines[1:3] == ["zotui: RuntimeError: out of memory", f"the end of {tmp_path}/d/engine.log:"]
    assert lines[3:-1] == [f"  log line {i}" for i in range(25, 40)]
    assert lines[-1] == f"go on with: zotui resume {tmp_path}/d"


@pytest.mark.parametrize(
    ("end", "how"),
    [
        ("os.kill(os.getpid(), signal.SIGKILL)", "was killed by signal 9"),
        ("sys.exit(0)", "ended with code 0"),
        ("sys.exit(2)", "ended with code 2"),
    ],
)
def test_an_engine_that_dies_without_a_word_is_a_failure(tmp_path: Path, end: str, how: str) -> None:
    engine = scripted(tmp_path, f"hello(3); step(0); {end}")
    code, out, err = zotui("run", "p.toml", "--json", "--run-dir", "d", engine=engine)
    text = f"the engine {how} without a word; the journal keeps every finished step"
    assert code == 1
    assert json.loads(out.splitlines()[-1]) == {"type": "error", "kind": "failure", "text": text}
    assert err.splitlines() == [f"zotui: {text}", f"go on with: zotui resume {tmp_path}/d"]
    assert (tmp_path / "d" / "preset.toml").exists()


def test_an_engine_that_dies_before_it_has_opened_its_model_leaves_its_log_alone(tmp_path: Path) -> None:
    body = 'print("all that there is to know", file=sys.stderr, flush=True); os.kill(os.getpid(), signal.SIGKILL)'
    code, out, err = zotui("run", "p.toml", "--json", "--run-dir", "d", engine=scripted(tmp_path, body))
    log = tmp_path / "home/logs/d.log"
    text = f"the engine was killed by signal 9 before its first step and without a word; its log is {log}"
    assert (code, err) == (1, f"zotui: {text}\n")
    assert json.loads(out.splitlines()[-1]) == {"type": "error", "kind": "start", "text": text}
    assert "all that there is to know" in log.read_text()
    assert not (tmp_path / "d").exists()


def test_lines_that_are_no_events_are_skipped(tmp_path: Path) -> None:
    engine = scripted(tmp_path, "print('INFO vllm', flush=True)" + scripted_engine.GOOD)
    code, out, _ = zotui("run", "p.toml", "--json", engine=engine)
    assert code == 0
    assert json.loads(out.splitlines()[0])["type"] == "phase"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_reaches_the_engine_which_saves_and_ends(tmp_path: Path, number: signal.Signals) -> None:
    def heed() -> None:  # also where the tests themselves run under nohup
        signal.signal(number, signal.SIG_DFL)

    engine = scripted(tmp_path, scripted_engine.UNTIL_SIGNALLED)
    process = start("run", "p.toml", "--headless", "--run-dir", "d", engine=engine, preexec_fn=heed)
    assert process.stderr is not None
    while "step 1/10" not in process.stderr.readline():
        pass
    process.send_signal(number)
    out, err = process.communicate(timeout=240)
    assert process.returncode == 130
    assert err.splitlines() == [f"warning: got {number.name}"]
    assert "steps       1 (stopped)" in out.splitlines()
    assert f"next        zotui resume {tmp_path}/d" in out.splitlines()


def test_an_ignored_int_is_passed_on_but_nohup_is_obeyed(tmp_path: Path) -> None:
    """A script's background job inherits an ignored INT; `nohup` an ignored HUP."""

    def ignore() -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)

    engine = scripted(tmp_path, scripted_engine.UNTIL_SIGNALLED)
    process = start("run", "p.toml", "--headless", engine=engine, preexec_fn=ignore)
    assert process.stderr is not None
    while "step 1/10" not in process.stderr.readline():
        pass
    process.send_signal(signal.SIGHUP)
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=240)
    assert err.splitlines() == ["warning: got SIGINT"]
    assert process.returncode == 130


def test_an_engine_that_a_signal_ends_at_once_was_interrupted(tmp_path: Path) -> None:
    """Before the engine has installed its handlers, a signal is its end, and no failure."""
    body = "signal.signal(signal.SIGTERM, signal.SIG_DFL); hello(1); time.sleep(60)"
    process = start("run", "p.toml", "--headless", "--run-dir", "d", engine=scripted(tmp_path, body))
    assert process.stderr is not None
    process.stderr.readline()
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=240)
    assert process.returncode == 130
    assert err == f"zotui: interrupted; `zotui resume {tmp_path}/d` goes on where it was\n"


def test_the_run_goes_on_when_nobody_reads_its_events(tmp_path: Path) -> None:
    body = """
    hello(1000)
    for number in range(1000):
        step(number)
    (run.path / "to-the-end").touch()
    done(1000)
    """
    process = start("run", "p.toml", "--json", "--run-dir", "d", engine=scripted(tmp_path, body))
    assert process.stdout is not None
    assert json.loads(process.stdout.readline())["type"] == "hello"
    process.stdout.close()
    assert process.wait(240) == 0
    assert process.stderr is not None
    assert process.stderr.read() == ""
    assert (tmp_path / "d" / "to-the-end").exists()


def test_progress_on_a_terminal_is_one_line(tmp_path: Path) -> None:
    """stderr is a terminal, stdout a pipe: the line is redrawn, and gone before the table."""
    body = """
    hello(50)
    for number in range(50):
        step(number)
        time.sleep(0.01)
    done(50)
    """
    leader, follower = pty.openpty()
    began = time.monotonic()
    process = start("run", "p.toml", "--headless", engine=scripted(tmp_path, body), stderr=follower)
    os.close(follower)
    seen = b""
    while True:
        try:
            chunk = os.read(leader, 4096)
        except OSError:  # the terminal's other end is closed
            break
        if not chunk:
            break
        seen += chunk
    os.close(leader)
    out, _ = process.communicate(timeout=240)
    assert process.returncode == 0
    assert seen.count(b"\n") == 1  # only the greeting
    most = 2 + (time.monotonic() - began) / _REDRAW
    assert 2 <= seen.count(b"\r\x1b[2Kstep ") <= min(most, 50)
    assert b"ETA ~0:00" in seen
    assert seen.endswith(b"\r\x1b[2K")
    assert "steps       50" in out


# -- resume, list, show, export ---------------------------------------------------------------------


def test_resume_goes_on_with_the_table_of_the_whole_run(tmp_path: Path) -> None:
    run = make_run(state="stopped")
    run.add_evaluation({"step": 0, "split": "validation", "metrics": {"accuracy": 0.25}})
    body = "assert resumed; hello(3); step(2); evaluation(3, accuracy=0.5); done(3)"
    code, out, _ = zotui("resume", "r", engine=scripted(tmp_path, body))
    assert code == 0
    assert out.splitlines()[1] == "accuracy         0.250     0.500     0.500  at step 3"
    assert out.splitlines()[-1] == "next        zotui export r --to DIR --format merged"


def test_resuming_a_refused_run_keeps_it(tmp_path: Path) -> None:
    run = make_run(state="failed")
    engine = scripted(tmp_path, 'say(events.Error(kind="usage", text="no")); sys.exit(2)')
    assert zotui("resume", "r", engine=engine)[0] == 2
    assert run.preset_file.exists()


def test_resuming_a_live_run_is_refused() -> None:
    run = make_run(state="running")
    run.acquire()
    code, out, err = here("resume", "r")
    assert (code, out) == (2, "")
    assert err == "zotui: r: is live; `zotui attach r` steers it where it is\n"


def test_resuming_a_finished_run_has_nothing_to_do() -> None:
    run = make_run(state="finished")
    journal = JournalWriter(run.journal_file)
    for step in range(3):
        journal.append({"step": step})
    journal.close()
    assert here("resume", "r") == (0, "", "r: is finished, all 3 steps are done\n")
    code, out, _ = here("resume", "r", "--json")
    event = json.loads(out)
    assert (code, event["type"], event["steps"], event["run"]) == (0, "done", 3, str(run.path))


def test_runs_are_listed_newest_first() -> None:
    make_run("old", started=1.0, state="finished")
    make_run("new", started=time.time(), state="running").add_evaluation(
        {"step": 0, "split": "validation", "metrics": {"accuracy": 0.25}}
    )
    out = here("list", "--json")[1]
    runs = [json.loads(line) for line in out.splitlines()]
    assert [(run["name"], run["standing"]) for run in runs] == [("new", "crashed"), ("old", "finished")]
    assert (runs[0]["metrics"], runs[0]["steps"]) == ({"accuracy": 0.25}, 3)
    lines = here("list")[1].splitlines()
    assert lines[0].split() == ["RUN", "STANDING", "STEPS", "RESULT", "AGE"]
    assert lines[1].split()[:5] == ["new", "crashed", "0/3", "acc", "0.250"]


def test_an_empty_list_says_how_to_fill_it() -> None:
    assert here("list") == (0, "", "no runs yet; `zotui run demo` makes the first\n")
    assert here("list", "--json") == (0, "", "")


def test_show_tells_all_about_a_run() -> None:
    run = make_run(state="failed", error="out of memory")
    run.add_evaluation({"step": 0, "split": "validation", "metrics": {"loss": 0.5, "accuracy": 0.25}})
    code, out, _ = here("show", "r")
    assert code == 0
    for text in (
        "failed: out of memory",
        str(run.path),
        "accuracy 0.250  loss 0.5000",
        "zotui resume r",
        "rank = 2",
    ):
        assert text in out
    shown = json.loads(here("show", "r", "--json")[1])
    assert shown["standing"] == "failed"
    assert shown["evaluations"][0]["metrics"]["accuracy"] == 0.25
    assert shown["resolved_preset"]["run"]["steps"] == 3
    assert shown["update_kept"] is None
    assert "update kept" not in out


def test_show_gives_the_newest_figure_of_what_was_kept() -> None:
    run = make_run(state="finished")
    told = [{}, {"update_kept": 0.5, "update_cosine": 0.4}, {}, {"update_kept": 0.9994, "update_cosine": 0.9876}, {}]
    records = [{"step": step, "loss": 0.5, **more} for step, more in enumerate(told)]
    run.journal_file.write_bytes(b"".join(map(encode_line, records)) + b'{"update_kept": 7')
    assert "update kept  99.9%, cosine 0.988, up to step 3 (residuals included)" in here("show", "r")[1]
    shown = json.loads(here("show", "r", "--json")[1])
    assert shown["update_kept"] == {"step": 3, "kept": 0.9994, "cosine": 0.9876}


def test_show_tells_where_the_time_went_and_what_the_signal_says() -> None:
    run = make_run(
        state="finished", dtype="bfloat16", noise={"nats": 0.004, "measured": 0.004, "resolution": 0.001},
        time={"start_up": 21.5, "evaluations": 3.25, "checkpoints": 0.5, "paused": 3600.0, "other": 0.01},
    )  # fmt: skip
    step = {"loss_plus": 0.601, "loss_minus": 0.6, "projected_grad": -0.5, "lr": 0.01, "seconds": 2.0}
    run.journal_file.write_bytes(b"".join(encode_line({"step": n, **step}) for n in range(100)))
    out = here("show", "r")[1]
    for text in (
        "time        1:03:45 measured: start-up 21.5 s, steps 3:20, evaluations 3.25 s, checkpoints 0.50 s, "
        "paused 1:00:00",
        "signal      the difference between the two losses is below the noise: raise eps or use float32",
        "|L+ - L-|   0.001 nats, noise 0.004 (0.25 times; 100% of the steps below it)",
        "gradient    |g| 0.5, at the start 0.5",
        "step size   0.00707 per step and weight entry, rms",  # 0.01 * 0.5 * sqrt(2)
    ):
        assert text in out
    shown = json.loads(here("show", "r", "--json")[1])
    assert shown["time"]["steps"] == 200.0 and shown["time"]["total"] == pytest.approx(3825.26)
    assert shown["signal"]["verdict"].endswith("below the noise: raise eps or use float32")
    assert (shown["signal"]["noise"], shown["signal"]["below_noise"]) == (0.004, 1.0)


def test_show_of_a_damaged_journal_still_shows_the_run() -> None:
    run = make_run(state="running")  # its engine was killed
    run.journal_file.write_bytes(encode_line({"step": 7}))
    code, out, _ = here("show", "r")
    assert code == 0 and "crashed" in out
    shown = json.loads(here("show", "r", "--json")[1])
    assert (shown["time"], shown["signal"]) == (None, None)


def test_a_run_that_holds_itself_is_stopped_and_has_failed(tmp_path: Path) -> None:
    body = """
    hello(3)
    step(0)
    say(events.State(state="paused", step=1, reason="not finite; try less"))
    command = sys.stdin.readline()
    say(events.Log(level="warning", text="heard " + command.strip()))
    say(events.Checkpoint(step=1, path="c", seconds=0.1))
    say(events.Error(kind="failure", text="not finite; try less"))
    sys.exit(1)
    """
    code, out, err = zotui("run", "p.toml", "--headless", "--run-dir", "d", engine=scripted(tmp_path, body))
    assert (code, out) == (1, "")
    assert err.splitlines()[2:] == [
        "paused at step 1: not finite; try less",
        'warning: heard {"type":"stop"}',
        "step 1: checkpoint saved (0.10 s)",
        "zotui: not finite; try less",
        "a new run: zotui run p.toml --set KEY=VALUE (`zotui resume` would try the same step again)",
    ]


def test_the_summary_separates_where_the_time_went(tmp_path: Path) -> None:
    spent = '{"start_up": 21.5, "steps": 600.0, "evaluations": 3.25, "checkpoints": 0.0, "total": 624.75}'
    body = f"""
    hello(1)
    step(0)
    say(events.Done(outcome="finished", steps=1, seconds=65.0, metrics={{}}, run="r", time={spent}))
    """
    out = zotui("run", "p.toml", "--headless", engine=scripted(tmp_path, body))[1]
    assert "time        start-up 21.5 s, steps 10:00, evaluations 3.25 s\n" in out


def test_export_hands_over_to_the_engine_and_returns_its_code(tmp_path: Path) -> None:
    run = make_run(state="finished")
    exporter = tmp_path / "exporter"
    exporter.write_text('#!/bin/sh\necho "$@"\nexit 3\n')
    exporter.chmod(0o755)
    code, out, _ = zotui("export", "r", "--to", "there", "--format", "merged", engine=exporter)
    assert (code, out) == (3, f"-P -m engine.export {run.path} {tmp_path}/there --format merged\n")


def test_preflight_says_what_a_run_would_take_and_starts_none(tmp_path: Path, shared: Path) -> None:
    data = shared / "data/sst2/validation.jsonl"
    preset = tmp_path / "p.toml"
    preset.write_text(
        f'[model]\npath = "{shared / "models/tiny-opt"}"\ndevice = "cpu"\nruntime = "training-loop"\n'
        f'[task]\nname = "sst2"\ntrain = "{data}"\nvalidation = "{data}"\ntoo_long = "skip"\ntrain_examples = 9\n'
    )
    done = subprocess.run(
        [sys.executable, "-m", "zotui", "preflight", str(preset), "--set", "run.steps=3"],
        capture_output=True,
        text=True,
        env={**os.environ, "ZOTUI_HOME": str(tmp_path / "home")},
    )
    assert done.returncode == 0
    for said in ("OPTForCausalLM", "9 examples to train on", "It was", " great", "free on cpu: fits", "journal 900 B"):
        assert said in done.stdout
    lines = done.stdout.splitlines()
    assert [line for line in lines if line.startswith("warning ") and "are the same file; " in line]
    assert [line for line in lines if line.startswith("            task.train: examples of each class: 0 (terrible) ")]
    told = subprocess.run(
        [sys.executable, "-m", "zotui", "preflight", str(preset), "--json", "--set", "task.label=nope"],
        capture_output=True,
        text=True,
        env={**os.environ, "ZOTUI_HOME": str(tmp_path / "home")},
    )
    assert told.returncode == 2
    assert [json.loads(line)["type"] for line in told.stdout.splitlines()][-1] == "error"
    assert told.stderr.count("\n") == 1 and "no column 'nope'" in told.stderr
    assert not (tmp_path / "home" / "runs").exists()
