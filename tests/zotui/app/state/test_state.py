"""What the cockpit knows, without a screen."""

from __future__ import annotations

import subprocess
import sys

import msgspec
import pytest

from engine.errors import UserError
from engine.preset.load import load
from engine.protocol.events import Changed, Done, Error, Eval, Hello, Phase, Returned, State, Step, Telemetry
from engine.runs.directory import RunDir, Summary
from engine.runs.journal import encode_line
from tests.zotui.app.app_helpers import preset_text
from zotui.app.charts.chart import spread
from zotui.app.charts.ticks import Ticks
from zotui.app.cockpit.panes.status import state_word
from zotui.app.state.eta import Pace
from zotui.app.state.feed import Begun, Ended, Past, Viewed
from zotui.app.state.history import follow, past
from zotui.app.state.marks import Mark
from zotui.app.state.outcome import explain_exit
from zotui.app.state.run_state import RunState
from zotui.runs.steps import Steps
from zotui.text import numbers


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def step(number: int, loss: float = 0.5) -> Step:
    return Step(
        step=number, loss=loss, loss_plus=loss, loss_minus=loss, projected_grad=0.0,
        lr=1e-6, tokens=100, seconds=0.5, tokens_per_s=200.0,
    )  # fmt: skip


def evaluation(at: int, **metrics: float) -> Eval:
    return Eval(step=at, split="validation", metrics=metrics, examples=10, seconds=1.0)


HELLO = Hello(run="/r", name="r", preset="demo", model="m", runtime="vllm", device="cpu", dtype="float32", steps=100)


def test_importing_the_app_imports_no_textual() -> None:
    code = "import sys, zotui.app; print(sorted({'textual', 'numpy', 'rich', 'torch'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_one_stray_batch_does_not_flatten_the_curve() -> None:
    low, high = spread([0.5, 0.6] * 50 + [40.0], [0.55] * 101)
    assert 0.4 < low < 0.5 and 0.6 < high < 0.7


def test_a_flat_curve_has_ticks_that_differ() -> None:
    low, high = spread([0.55] * 60, [0.55 + 1e-16 * n for n in range(60)])
    ticks = Ticks(4).get_ticks(low, high)
    assert 2 <= len(set(ticks)) == len(set(Ticks(4).get_labels_for_ticks(ticks))) <= 5
    assert Ticks(4).get_ticks(0.55, 0.55 + 1e-15) == [0.55]


@pytest.mark.parametrize("span", [1e-5, 0.003, 0.9, 7.0, 450.0, 1e5])
@pytest.mark.parametrize("most", [1, 2, 5, 8])
def test_ticks_are_round_and_few(span: float, most: int) -> None:
    ticks = Ticks(most).get_ticks(0.3, 0.3 + span)
    assert len(ticks) <= most + 1
    assert all(0.3 - 1e-9 * span <= tick <= 0.3 + span * (1 + 1e-9) for tick in ticks)


def test_a_pause_is_confirmed_by_the_state_only() -> None:
    run = RunState("r")
    run.apply(HELLO)
    run.apply(State(state="running", step=0))
    run.ask("pausing")
    run.apply(State(state="pausing", step=3))
    run.apply(step(3))
    assert state_word(run) == "pausing…" and run.holding
    run.apply(State(state="paused", step=4))
    assert run.asked is None and run.holding and state_word(run) == "paused"
    run.ask("resuming")
    assert not run.holding
    run.apply(State(state="running", step=4))
    assert run.asked is None and run.state == "running"


def test_a_pause_that_another_app_takes_back_is_none() -> None:
    run = RunState("r")
    run.apply(HELLO)
    run.apply(State(state="evaluating", step=0))
    run.ask("pausing")
    for state in ("pausing", "running"):
        run.apply(State(state=state, step=3))
    assert state_word(run) == "running" and not run.holding
    run.ask("resuming")  # of a run that goes on: the engine says again what it does
    run.apply(State(state="running", step=4))
    assert state_word(run) == "running" and run.asked is None


def test_a_run_that_evaluates_while_it_is_paused_is_still_held() -> None:
    run = RunState("r")
    run.apply(HELLO)
    for state, holding in (
        ("evaluating", False), ("running", False), ("pausing", True), ("paused", True), ("evaluating", True),
        ("checkpointing", True), ("paused", True), ("running", False),
    ):  # fmt: skip
        run.apply(State(state=state, step=4))
        assert run.holding == holding, state
    run.apply(State(state="paused", step=4))
    run.begin_again()
    assert not run.holding


def test_phases_end_with_the_start_up_also_when_paused() -> None:
    run = RunState("r")
    run.apply(HELLO)
    run.apply(State(state="paused", step=0))
    run.apply(Phase(name="loading model", progress=0.4))
    assert run.phase is not None and run.state == "paused"
    run.apply(State(state="running", step=0))
    assert run.phase is None


def test_a_run_that_was_held_before_its_first_step_has_started_with_hello() -> None:
    run = RunState("r")
    for event in (Phase(name="loading model"), State(state="paused", step=0), Phase(name="measuring the noise")):
        run.apply(event)
    assert run.phase is not None
    run.apply(Hello(run="r", name="r", preset="p", model="m", runtime="vllm", device="cpu", dtype="float32", steps=9))
    assert run.phase is None and run.holding


def test_what_held_a_run_does_not_hold_the_engine_that_takes_it_up() -> None:
    run = RunState("r")
    run.apply(State(state="paused", step=3, reason="not a finite number"))
    run.apply(Done(outcome="stopped", steps=3, seconds=1.0, metrics={}, run="r"))
    assert run.fault
    run.begin_again()
    assert not run.fault and not run.waits


def test_what_was_kept_is_the_newest_figure_watched_or_read() -> None:
    run = RunState("r")
    run.apply(HELLO)
    assert run.update_kept is None
    told = Step(step=50, loss_plus=1.0, loss_minus=1.0, update_kept=0.5, update_cosine=0.4)
    run.apply(Past(Steps.of([told])))
    run.apply(step(51))
    assert run.update_kept is not None and run.update_kept.update_kept == 0.5
    run.apply(msgspec.structs.replace(step(100), update_kept=0.99, update_cosine=0.98))
    assert (run.update_kept.step, run.update_kept.update_cosine) == (100, 0.98)


def test_best_is_highest_accuracy_and_lowest_loss() -> None:
    run = RunState("r")
    for at, loss, accuracy in ((0, 0.7, 0.6), (10, 0.5, 0.7), (20, 0.6, 0.65)):
        run.apply(evaluation(at, loss=loss, accuracy=accuracy))
    best_accuracy, best_loss = run.best("accuracy"), run.best("loss")
    assert best_accuracy and best_loss and (best_accuracy.step, best_loss.step) == (10, 10)
    assert run.first_evaluation and run.first_evaluation.step == 0
    assert run.last_evaluation and run.last_evaluation.step == 20


@pytest.mark.parametrize(
    ("events", "kind", "text"),
    [
        ([Done(outcome="finished", steps=100, seconds=9.0, metrics={}, run="/r"), Ended(0)], "finished", ""),
        ([Done(outcome="stopped", steps=7, seconds=9.0, metrics={}, run="/r"), Ended(130)], "stopped", ""),
        ([Error(kind="failure", text="out of memory"), Ended(1)], "died", "out of memory"),
        ([Error(kind="usage", text="no such file"), Ended(2)], "refused", "no such file"),
        (
            [Error(kind="start", text="a library failed; its log is l"), Ended(2)],
            "refused",
            "a library failed; its log is l",
        ),
        ([Ended(139)], "died", "SIGSEGV"),
        ([Ended(0)], "died", "without saying why"),
    ],
)
def test_how_a_run_can_end(events: list, kind: str, text: str) -> None:
    run = RunState("r")
    run.apply(HELLO)
    for event in events:
        run.apply(event)
    assert run.outcome and run.outcome.kind == kind and text in run.outcome.text
    assert not run.live


def test_an_error_is_no_end_until_the_pipe_closes() -> None:
    run = RunState("r")
    run.apply(Error(kind="failure", text="x"))
    assert run.live


def test_the_estimate_leaves_pauses_out() -> None:
    clock = Clock()
    pace = Pace(clock)
    clock.now = 100.0  # start-up
    assert pace.remaining(11) is None
    for number in range(6):
        pace.step(number)
        clock.now += 2.0 if number < 5 else 0.0
    assert pace.remaining(11) == pytest.approx(10.0)
    pace.hold(True)
    clock.now += 1000.0
    assert pace.remaining(11) == pytest.approx(10.0)
    pace.hold(False)
    assert pace.remaining(11) == pytest.approx(10.0)
    assert pace.elapsed() == pytest.approx(110.0)
    pace.end()
    clock.now += 50.0
    assert pace.elapsed() == pytest.approx(110.0)


def test_the_clock_of_a_run_that_is_attached_to_while_it_is_paused_stands() -> None:
    clock = Clock()
    pace = Pace(clock)
    pace.began_before(40.0)
    pace.hold(True)
    clock.now += 1000.0
    assert pace.elapsed() == pytest.approx(40.0)
    pace.hold(False)
    clock.now += 2.0
    assert pace.elapsed() == pytest.approx(42.0)


def test_sparklines_hold_two_minutes_of_seconds() -> None:
    clock = Clock()
    run = RunState("r", clock)
    for number in range(5000):
        clock.now = number / 50
        run.apply(step(number))
    assert 99 <= len(run.gauges.speeds) <= 101
    assert run.gauges.tokens_per_s == pytest.approx(200.0)
    assert run.gauges.step_time == pytest.approx(0.5)
    for _ in range(1000):
        run.apply(
            Telemetry(
                kv_cache_usage=None,
                gpu_memory_used=None,
                gpu_memory_total=None,
                gpu_utilisation=None,
                rss=1,
                cpu=1.0,
            )
        )
    assert len(run.gauges.memory) == 120 and not run.gauges.gpus


def test_the_log_is_bounded() -> None:
    run = RunState("r")
    for number in range(5000):
        run.apply(evaluation(number, loss=0.1))
    assert len(run.entries) == 1000 and run.entries_made == 5000


def record_run(steps: int) -> RunDir:
    run = RunDir.create(load("demo", preset_text()), "demo")
    lines = [{"step": n, "loss_plus": 1.5, "loss_minus": 0.5} for n in range(steps)]
    run.journal_file.write_bytes(b"".join(map(encode_line, lines)))
    run.add_evaluation({"step": 0, "split": "validation", "metrics": {"loss": 1.0}, "examples": 1, "seconds": 1.0})
    run.add_evaluation({"step": 4, "split": "validation", "metrics": {"loss": 0.5}, "examples": 1, "seconds": 1.0})
    return run


def test_the_past_comes_in_order_up_to_the_first_step() -> None:
    events = [
        (type(event).__name__, list(event.column("step")) if isinstance(event, Steps) else event.step)
        for event in past(record_run(10), 6)
    ]
    assert events == [("Eval", 0), ("Steps", [0, 1, 2, 3]), ("Eval", 4), ("Steps", [4, 5])]
    first = next(event for event in past(record_run(10), 6) if isinstance(event, Steps))
    assert list(first.column("loss")) == [1.0] * 4


def test_following_takes_whole_lines_only() -> None:
    run = record_run(3)
    going = [True]
    following = follow(run, lambda: going[0])
    assert list(next(following).column("step")) == [0, 1, 2]
    line = encode_line({"step": 3, "loss_plus": 1.0, "loss_minus": 0.0})
    with run.journal_file.open("ab") as file:
        file.write(line[:30])
    assert not len(next(following))
    with run.journal_file.open("ab") as file:
        file.write(line[30:])
    going[0] = False
    assert [(list(steps.column("step")), list(steps.column("loss"))) for steps in following] == [([3], [0.5])]


def test_following_says_where_a_journal_is_damaged() -> None:
    run = record_run(3)
    with run.journal_file.open("ab") as file:
        file.write(b"torn, as far as one knows\n")
    assert [len(steps) for steps in follow(run, lambda: False)] == [3]
    with run.journal_file.open("ab") as file:
        file.write(encode_line({"step": 3}))
    with pytest.raises(UserError, match=r"journal\.jsonl: line 4 is damaged"):
        list(follow(run, lambda: False))


def test_what_was_read_makes_no_speed() -> None:
    run = RunState("r")
    run.apply(Past(Steps.of([step(0)])))
    assert run.taken == 1 and run.gauges.tokens_per_s is None


def test_of_a_run_whose_records_alone_are_watched_the_speed_is_that_of_its_last_steps() -> None:
    run = RunState("r")
    summary = Summary("r", "/r", "p", "finished", 300, 300, {}, 0.0, "")
    run.apply(Viewed(summary, "cpu", "m", "vllm"))
    slow = msgspec.structs.replace(step(0), seconds=5.0)
    run.apply(
        Past(Steps.of([*(msgspec.structs.replace(slow, step=n) for n in range(100)), *map(step, range(100, 300))]))
    )
    assert run.gauges.tokens_per_s == pytest.approx(200.0) and run.gauges.step_time == pytest.approx(0.5)
    assert list(run.gauges.speeds) == pytest.approx([20.0, 200.0, 200.0])


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (numbers.duration(42), "0:42"),
        (numbers.duration(11261), "3:07:41"),
        (numbers.duration(3 * 86400), "3d 00:00"),
        (numbers.brief(0.0042), "4.2 ms"),
        (numbers.brief(1.357), "1.36 s"),
        (numbers.age(59), "just now"),
        (numbers.age(3 * 86400), "3 days ago"),
        (numbers.gib(150 * 2**30), "150"),
        (numbers.short_count(20_000), "20k"),
        (numbers.metric({"loss": 0.5}), "loss 0.5000"),
        (explain_exit(137), "killed by SIGKILL; often the system running out of memory"),
        (explain_exit(3), "exit code 3"),
    ],
)
def test_words(shown: str, expected: str) -> None:
    assert shown == expected


def test_a_return_is_told_alike_as_it_comes_and_from_the_records() -> None:
    wanted = load("demo", preset_text(), ["method.lr=8e-6"])
    taken = [step(0), step(1), msgspec.structs.replace(step(2), returned_to=0, lr=4e-6), step(3)]
    live, read = RunState("r"), RunState("r")
    for run in (live, read):
        run.apply(Begun("demo", wanted, 0))
    for event in (*taken[:2], Returned(step=2, to=0, lr=4e-6), *taken[2:]):
        live.apply(event)
    run = record_run(0)
    run.journal_file.write_bytes(b"".join(map(encode_line, taken)))
    found = list(past(run, 4))
    assert [type(one).__name__ for one in found] == ["Eval", "Steps", "Returned", "Steps", "Eval"]
    for one in found:
        read.apply(Past(one))
    for state in (live, read):
        assert Mark(2, "return") in state.marks
        told = [entry.text for entry in state.entries if entry.kind == "return"]
        assert told == ["step 2  returned to step 0, rate halved to 4e-06"]
        assert state.in_force is not None and state.in_force.lr == 4e-6
        state.apply(Changed(step=4, lr=3e-6, eps=1e-3, eval_every=4))
        state.apply(Returned(step=8, to=4, lr=1e-6))
        assert state.in_force is not None and state.in_force.lr == 1.5e-6


def test_a_return_that_a_fork_took_over_is_in_its_rate_already() -> None:
    run = RunState("r")
    run.apply(Begun("demo", load("demo", preset_text(), ["method.lr=8e-6"]), 10, took_over=10))
    for returned in (Returned(step=4, to=2, lr=8e-6), Returned(step=10, to=8, lr=4e-6)):
        run.apply(Past(returned))
    assert run.in_force is not None and run.in_force.lr == 4e-6


def test_returns_go_with_their_steps() -> None:
    def back(number: int) -> Step:
        return msgspec.structs.replace(step(number), returned_to=0)

    steps = Steps.of([step(0), back(1), step(2), back(3), step(4)])
    assert [one.step for one in steps.returns] == [1, 3]
    assert [one.step for one in steps.part(0, 3).returns] == [1] and not steps.part(4, 5).returns
    steps.forget_from(3)
    steps.join(Steps.of([back(3), back(4)]))
    assert [one.step for one in steps.returns] == [1, 3, 4]
