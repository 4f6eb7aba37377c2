"""A run's directory: what is in it, who holds it, and that nothing of the user's is touched."""

import fcntl
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from engine.errors import UserError
from engine.preset.load import load
from engine.runs.directory import RunDir, all_runs
from engine.runs.fork import fork
from engine.runs.home import home, runs_home
from engine.runs.info import Info, NoiseRecord, Origin, RunInfo
from engine.runs.journal import JournalWriter, encode_line


@pytest.fixture(autouse=True)
def _home(home: Path) -> None:
    """Every run of these tests is under a home of its own."""


def make(path: Path | None = None) -> RunDir:
    chosen = load("p", '[model]\npath = "m"\n[task]\nname = "sst2"\n[run]\nsteps = 7\n')
    return RunDir.create(chosen, "my preset.toml", path)


def test_everything_is_under_the_chosen_home(tmp_path: Path) -> None:
    run = make()
    assert home() == tmp_path / "home"
    assert run.path.parent == runs_home()
    assert run.name.startswith("my-preset-")
    assert run.preset().run.steps == 7


def test_two_runs_in_one_second_have_a_folder_each() -> None:
    assert make().path != make().path


def test_a_run_is_found_by_name_and_by_path(tmp_path: Path) -> None:
    inside, outside = make(), make(tmp_path / "elsewhere")
    assert RunDir.find(inside.name).path == inside.path
    assert RunDir.find(str(outside.path)).path == outside.path
    with pytest.raises(UserError, match=r"^nope: no such run; `zotui list` shows them$"):
        RunDir.find("nope")
    assert [run.path for run in all_runs()] == [inside.path]


def test_a_folder_that_holds_a_run_is_refused(tmp_path: Path) -> None:
    make(tmp_path / "r")
    with pytest.raises(UserError, match=r"already holds a run; `zotui resume .*/r`, or choose another --run-dir"):
        make(tmp_path / "r")


def test_a_file_of_the_user_is_never_overwritten(tmp_path: Path) -> None:
    (tmp_path / "preset.toml").write_text("mine")
    with pytest.raises(UserError, match=r"holds preset\.toml, which a run would write; choose another --run-dir"):
        make(tmp_path)
    assert (tmp_path / "preset.toml").read_text() == "mine"


def test_a_run_dir_that_cannot_be_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="file: is a file; choose another --run-dir"):
        make(tmp_path / "file")
    with pytest.raises(UserError, match=r"cannot be written .*; choose another --run-dir"):
        make(tmp_path / "file" / "below")


def test_discard_takes_back_what_create_made(tmp_path: Path) -> None:
    run = make(tmp_path / "new")
    run.log_file.write_text("log")
    run.acquire()
    run.discard()
    assert not run.path.exists()


def test_discard_leaves_a_folder_that_was_there_before(tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    run = make(mine)
    run.discard()
    assert mine.is_dir()
    assert list(mine.iterdir()) == []


def test_discard_leaves_what_the_user_put_there(tmp_path: Path) -> None:
    run = make(tmp_path / "new")
    (run.path / "thesis.txt").write_text("years of work")
    run.discard()
    assert [path.name for path in run.path.iterdir()] == ["thesis.txt"]


def test_discard_leaves_a_run_that_took_a_step() -> None:
    run = make()
    journal = JournalWriter(run.journal_file)
    journal.append({"step": 0})
    journal.close()
    run.discard()
    assert run.preset_file.exists()
    assert len(list(run.journal())) == 1


def test_a_log_outlasts_the_run_and_the_oldest_make_room(home: Path) -> None:
    for number in range(25):
        run = make(home / "runs" / f"r{number}")
        run.log_file.write_text(f"log {number}")
        kept = run.keep_log()
        assert kept is not None
        os.utime(kept, (number, number))
        assert not run.begun()
        run.discard()
    assert sorted(int(file.stem[1:]) for file in (home / "logs").iterdir()) == list(range(5, 25))
    assert (home / "logs/r24.log").read_text() == "log 24"
    assert make(home / "runs" / "none").keep_log() is None


def test_standing_follows_the_lock_and_the_record() -> None:
    run = make()
    assert run.summary().standing == "new"
    run.info.update(state="running")
    assert run.summary().standing == "crashed"
    holder = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import sys; from pathlib import Path; from engine.runs.directory import RunDir\n"
            "r = RunDir(Path(sys.argv[1])); r.acquire(); print('held', flush=True); sys.stdin.read()",
            str(run.path),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[3],
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"held\n"
    assert run.summary().standing == "live"
    with pytest.raises(UserError, match=r"is live in another engine"):
        run.acquire()
    holder.kill()
    holder.communicate()
    assert run.summary().standing == "crashed"


def test_the_lock_is_one_that_other_versions_see_and_that_sees_theirs(tmp_path: Path) -> None:
    run = make()
    run.acquire()
    lock = run.path / "lock"
    with lock.open("ab") as handle, pytest.raises(BlockingIOError):  # as they ask, and as they take it
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    with lock.open("rb") as handle, pytest.raises(BlockingIOError):
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    assert (lock.read_text(), run.engine_pid()) == (str(os.getpid()), os.getpid())
    other = make(tmp_path / "other")
    with (other.path / "lock").open("ab") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        assert other.is_live()
        with pytest.raises(UserError, match="other: is live in another engine"):
            other.acquire()
    assert not other.is_live()


def test_one_who_looks_does_not_hold_up_one_who_takes_it_nor_another_who_looks() -> None:
    run = make()
    (run.path / "lock").write_text("4194999")  # of an engine that ended, with a longer number than any here
    with (run.path / "lock").open("rb") as looking:
        fcntl.flock(looking, fcntl.LOCK_SH)
        assert not run.is_live()
        threading.Timer(0.1, looking.close).start()
        run.acquire()
    assert (run.path / "lock").read_text() == str(os.getpid())


def test_the_lock_is_not_taken_through_a_link(tmp_path: Path) -> None:
    thesis = tmp_path / "thesis.txt"
    thesis.write_text("years of work")
    run = make()
    (run.path / "lock").symlink_to(thesis)
    with pytest.raises(UserError, match=r"cannot be written \(Too many levels of symbolic links\); a run needs to"):
        run.acquire()
    assert thesis.read_text() == "years of work"


def test_a_child_that_outlives_the_engine_does_not_keep_the_lock() -> None:
    run = make()
    code = (
        "import os, sys, time; from pathlib import Path; from engine.runs.directory import RunDir\n"
        "run = RunDir(Path(sys.argv[1])); run.acquire()\n"
        "child = os.fork()\n"
        "if not child: print(os.getpid(), flush=True)\n"  # it lets go of the lock before it comes to this line
        "time.sleep(60)\n"
    )
    engine = subprocess.Popen(
        [sys.executable, "-c", code, str(run.path)], stdout=subprocess.PIPE, cwd=Path(__file__).parents[3]
    )
    assert engine.stdout is not None
    child = int(engine.stdout.readline())
    try:
        assert run.engine_pid() == engine.pid
        engine.kill()
        engine.wait()
        assert not run.is_live()
    finally:
        os.kill(child, signal.SIGKILL)


def test_a_torn_info_file_does_not_hide_the_run() -> None:
    run = make()
    (run.path / "run.json").write_text('{"preset": ')
    assert run.summary().preset == "?"
    run.info.update(state="finished")
    assert json.loads((run.path / "run.json").read_text()) == {"state": "finished"}


def test_the_end_of_the_log() -> None:
    run = make()
    assert run.log_tail() == []
    run.log_file.write_bytes(b"".join(b"line %d \xff\n" % i for i in range(50)))
    tail = run.log_tail(15)
    assert len(tail) == 15
    assert tail[-1].startswith("line 49")


def test_what_a_newer_version_wrote_into_run_json_is_kept_and_what_is_not_as_expected_is_as_in_a_new_run(
    tmp_path: Path,
) -> None:
    info = RunInfo(tmp_path / "run.json", lambda: True)
    assert not info.there() and info.read() == Info()
    held = {"steps": 7, "novel": {"a": 1}, "started": "yesterday", "noise": {"nats": 0.5, "novel": 1}, "pauses": [3]}
    info.file.write_text(json.dumps(held))
    assert info.read() == Info(steps=7, noise=NoiseRecord(nats=0.5))
    info.update(state="stopped", forked_from=Origin(run="/r", name="r", step=3))
    written = json.loads(info.file.read_text())
    assert written == {**held, "state": "stopped", "forked_from": {"run": "/r", "name": "r", "step": 3}}
    assert info.read().forked_from == Origin(run="/r", name="r", step=3)


def test_a_journal_of_a_newer_version_is_read_and_forked_with_all_that_it_holds() -> None:
    run = make()
    step = {"step": 0, "loss_plus": 1.0, "loss_minus": 1.0, "projected_grad": 0.0, "lr": 1e-6, "eps": 1e-3}
    lines = [encode_line({**step, "step": number, "novel": [number]}) for number in range(3)]
    run.journal_file.write_bytes(b"".join(lines))
    assert [taken.step for taken in run.journal()] == [0, 1, 2]
    forked = fork(run, 2, ["run.steps=9"])
    assert forked.journal_file.read_bytes() == b"".join(lines[:2])
