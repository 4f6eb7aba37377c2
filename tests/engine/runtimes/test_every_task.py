"""Every task on both runtimes: twenty steps of the same losses, and an evaluation with the same figures and texts."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from engine.directions.space import Space
from engine.environment import prepare_device
from engine.models.facts import read_model
from engine.optimizer import Optimizer
from engine.preset.method import Method
from engine.preset.task import Task as PresetTask
from engine.runtimes.base import Needs, Runtime
from engine.runtimes.training_loop import TrainingLoop
from engine.tasks.batches import Batches
from engine.tasks.load import Task, load_task
from engine.tasks.tokenize import Encoder
from engine.training.measure import Measure
from tests.engine.conftest import needs_vllm
from tests.engine.tasks.samples import CONTEXT, LONGEST, QUESTION, TASKS, keys_of, make_long_opt

pytestmark = needs_vllm
TOLERANCE = 1e-5
STEPS = 20
BATCH = 2


@pytest.fixture(scope="module")
def folder(once: Any, shared: Path) -> Path:
    return once("long-opt", lambda folder: make_long_opt(shared / "models/tiny-opt", folder))  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def opened(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[tuple[Runtime, Path]]]:
    """Both runtimes, each with a file of its weights as they are in the model."""
    prepare_device("cpu")
    from engine.runtimes.vllm.runtime import VllmRuntime

    fast = VllmRuntime(
        read_model(str(folder), trust_remote_code=False), dtype="float32", device="cpu", seed=0, space=Space(rank=2),
        needs=Needs(batch=BATCH, longest=CONTEXT - 1, options=40, option_tokens=250), memory_needed=2**30,
        fold="nearest",
    )  # fmt: skip
    found: list[tuple[Runtime, Path]] = []
    for place in (fast, TrainingLoop(str(folder), dtype="float32", device="cpu", seed=0, space=Space(rank=2))):
        found.append((place, tmp_path_factory.mktemp(place.name) / "weights.safetensors"))
        place.save_weights(found[-1][1])
    yield found
    fast.close()


@pytest.fixture
def places(opened: list[tuple[Runtime, Path]]) -> tuple[Runtime, Runtime]:
    """Both, at the model's weights: over many steps rounding takes them further apart than one task does."""
    for place, weights in opened:
        place.load_weights(weights, 0, 0)
    (fast, _), (loop, _) = opened
    return fast, loop


@pytest.fixture(scope="module")
def encoder(folder: Path) -> Encoder:
    from transformers import AutoTokenizer

    return Encoder(AutoTokenizer.from_pretrained(folder))


def load_sample(sample: str, shared: Path, encoder: Encoder) -> Task:
    keys, length = keys_of(sample, shared)
    return load_task(PresetTask(**keys), encoder.tokenizer, seed=0, max_length=length)


@pytest.mark.parametrize("sample", TASKS)
def test_twenty_steps_and_an_evaluation(
    sample: str, places: tuple[Runtime, Runtime], shared: Path, encoder: Encoder
) -> None:
    task = load_sample(sample, shared, encoder)
    if task.objective == "lm":  # of options, that which is learned is all that is scored
        assert all(len(example.options) == 1 for example in task.train)
    compare(places, task, encoder)


CHAT = "{% for m in messages %}{{ m.role + ': ' + m.content + '\n' }}{% endfor %}"
OTHERS: dict[str, dict[str, Any]] = {
    "a text without a prompt": {"kind": "text", "target": "{question}\n"},
    "conversations of several turns": {"messages": "talk"},
    "choices of one token": {
        "kind": "multiple-choice", "template": "{question}\n", "choices": ["{one}", "{two}"], "label": "long",
    },
    "behind demonstrations": {"kind": "generation", "template": QUESTION, "target": "{brief}\n", "shots": 2},
    "calibrated": {
        "template": "{question}", "label": "long", "calibration": "sfc", "shots": 1, "domain": "So",
        "verbalizer": {"0": "short", "1": "long enough"},
    },
}  # fmt: skip


@pytest.mark.parametrize("name", OTHERS)
def test_what_own_data_may_be(
    name: str, places: tuple[Runtime, Runtime], shared: Path, encoder: Encoder, tmp_path: Path
) -> None:
    lines = (shared / "data/gsm8k/validation.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [{"question": row["question"][:60], "brief": row["answer"][:20]} for row in map(json.loads, lines[:30])]
    for number, row in enumerate(rows):
        turns = [("user", row["question"]), ("assistant", row["brief"])] * (1 + number % 2)
        row |= {
            "one": "a",
            "two": "b",
            "long": number % 2,
            "talk": [{"role": role, "content": content} for role, content in turns],
        }
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    encoder.tokenizer.chat_template = CHAT
    given = {"train": str(tmp_path / "rows.jsonl"), "validation_examples": 6, **OTHERS[name]}
    task = load_task(PresetTask(**given), encoder.tokenizer, seed=0, max_length=LONGEST)
    if name == "choices of one token":
        assert all(len(option) == 1 for example in task.validation for option in example.options)
    if name.startswith("conv"):
        assert any(example.counted for example in task.train)
    compare(places, task, encoder)


def compare(places: tuple[Runtime, Runtime], task: Task, encoder: Encoder) -> None:
    """Twenty steps and an evaluation on both."""
    optimizer = Optimizer(Method(interval=10, lr=1e-4), 10**6, task.objective)
    steps = []
    figures = []
    texts = []
    for place in places:
        taken = [optimizer.step(place, step, Batches(task.train, BATCH, 0).at(step)) for step in range(STEPS)]
        steps.append(taken)
        measure = Measure(place, task, encoder)
        figures.append(measure.of(task.validation))
        texts.append(measure.texts(task.validation[:4]) if task.kind == "generation" else [])
    for fast, loop in zip(*steps, strict=True):
        assert abs(fast.loss_plus - loop.loss_plus) < TOLERANCE and abs(fast.loss_minus - loop.loss_minus) < TOLERANCE
    assert len({step.loss_plus for step in steps[0]}) == STEPS
    expected: dict[str, set[str]] = {
        "classification": {"accuracy"},
        "multiple-choice": {"accuracy"},
        "generation": {"f1", "exact_match"},
    }
    assert figures[0].keys() == figures[1].keys() == {"loss"} | expected.get(task.kind, set())
    assert math.isclose(figures[0].pop("loss"), figures[1].pop("loss"), abs_tol=TOLERANCE)
    assert figures[0] == figures[1]
    assert texts[0] == texts[1]


def test_a_text_is_the_same_in_a_batch_and_alone_and_ends_where_it_is_to_stop(places: tuple[Runtime, Runtime]) -> None:
    prompts = [tuple(range(5, 5 + n)) for n in (3, 40, 17)]
    fast, loop = (place.generate(prompts, 12) for place in places)
    assert fast == loop == [place.generate([prompt], 12)[0] for place in places[:1] for prompt in prompts]
    assert fast == [places[1].generate([prompt], 12)[0] for prompt in prompts]
    assert [len(ids) for ids in fast] == [12, 12, 12] and len({tuple(ids) for ids in fast}) == 3
    stop = fast[0][4]
    cut = [ids[: ids.index(stop) + 1] if stop in ids else ids for ids in fast]
    assert any(len(ids) < 12 for ids in cut)
    for place in places:
        assert place.generate(prompts, 12, [stop]) == cut


def test_a_generation_can_be_ended_between_its_slices(
    places: tuple[Runtime, Runtime], shared: Path, encoder: Encoder
) -> None:
    task = replace(load_sample("squad", shared, encoder), generate_tokens=2)
    measure, looks = Measure(places[0], task, encoder), 0

    class End(Exception):
        """What a request to stop raises."""

    def between() -> None:
        nonlocal looks
        looks += 1
        if looks == 4:  # two slices are scored, and one of three generated
            raise End

    with pytest.raises(End):
        measure.of(task.validation * 10, between)
    assert looks == 4
    assert measure.of(task.validation * 10).keys() == {"loss", "f1", "exact_match"}
