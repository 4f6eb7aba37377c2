"""The built-in demo: its data, its model and how it is built."""

from __future__ import annotations

import itertools
import json
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from engine.preset.load import keys, load_file
from engine.preset.schema import BUILTIN_DEMO
from engine.tasks import demo, demo_reviews

ROOT = Path(__file__).parents[3]


class Built(NamedTuple):
    cache: Path
    demo: demo.Demo
    reports: list[tuple[str, float]]


@pytest.fixture(scope="module")
def built(made_demo: Path) -> Built:
    made = demo.ensure_demo(made_demo / "cache", silent)
    return Built(made_demo / "cache", made, json.loads((made_demo / "made.json").read_text()))


@pytest.fixture(scope="module")
def tokenizer(built: Built) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(built.demo.model)


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def silent(what: str, fraction: float) -> None:
    pass


def test_progress_rises_to_one(built: Built) -> None:
    fractions = [fraction for _, fraction in built.reports]
    assert fractions == sorted(fractions)
    assert fractions[0] >= 0 and fractions[-1] == 1
    assert len(set(fractions)) > 100
    assert max(b - a for a, b in itertools.pairwise(fractions)) < 0.2


def test_a_second_call_writes_nothing_and_imports_no_torch(built: Built) -> None:
    before = {path: path.stat().st_mtime_ns for path in built.cache.rglob("*")}
    code = (
        "import sys, pathlib; from engine.tasks.demo import ensure_demo\n"
        "ensure_demo(pathlib.Path(sys.argv[1]), lambda what, fraction: None)\n"
        "assert not {'torch', 'transformers', 'tokenizers'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code, str(built.cache)], cwd=ROOT, check=True)
    assert {path: path.stat().st_mtime_ns for path in built.cache.rglob("*")} == before


def test_an_interrupted_build_leaves_nothing(tmp_path: Path) -> None:
    def interrupt(what: str, fraction: float) -> None:
        if what.startswith("pretraining"):
            raise KeyboardInterrupt

    left_over = tmp_path / "demo-building-killed"
    left_over.mkdir()
    with pytest.raises(KeyboardInterrupt):
        demo.ensure_demo(tmp_path, interrupt)
    assert [path.name for path in tmp_path.iterdir()] == ["demo.lock"]


def test_a_second_process_waits_for_the_first(built: Built, tmp_path: Path) -> None:
    held = (
        "import fcntl, sys\n"
        "file = open(sys.argv[1], 'w')\n"
        "fcntl.flock(file, fcntl.LOCK_EX)\n"
        "print(flush=True)\n"
        "sys.stdin.read()"
    )
    said: list[str] = []
    with subprocess.Popen(
        [sys.executable, "-c", held, str(tmp_path / "demo.lock")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as first:
        assert first.stdin and first.stdout
        first.stdout.readline()
        stdin = first.stdin

        def finish_the_first(what: str, fraction: float) -> None:
            if what.startswith("waiting") and not said:
                (tmp_path / f"demo-{demo.VERSION}").symlink_to(built.demo.model.parent)
                stdin.close()
            said.append(what)

        demo.ensure_demo(tmp_path, finish_the_first)
    assert said[0].startswith("waiting")
    assert set(said) <= {said[0], "demo ready"}  # it built nothing itself


def test_splits_are_apart_and_balanced(built: Built) -> None:
    train, validation = rows(built.demo.train), rows(built.demo.validation)
    assert (len(train), len(validation)) == (demo.TRAIN_EXAMPLES, demo.VALIDATION_EXAMPLES)
    sentences = [row["sentence"] for row in train + validation]
    assert len(set(sentences)) == len(sentences)
    for split in (train, validation):
        assert {row["label"] for row in split} == {0, 1}
        assert sum(row["label"] for row in split) * 2 == len(split)


def test_pretraining_has_none_of_the_reviews(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    class Stop(Exception):
        pass

    documents: list[str] = []

    def catch(given: list[str]) -> None:
        documents.extend(given)
        raise Stop

    monkeypatch.setattr(demo, "_tokenizer", catch)
    with pytest.raises(Stop):
        demo._build(tmp_path, silent)
    sentences = {r["sentence"] for name in ("train", "validation") for r in rows(tmp_path / f"{name}.jsonl")}
    assert len(documents) > 10_000
    # A document is its review, which ends at the first full stop, and what was said of it.
    assert not sentences & {document.split(" . ")[0] + " ." for document in documents}


def test_reviews_are_a_function_of_the_seed() -> None:
    first, second = ([demo_reviews.review(random.Random(seed)) for seed in range(100)] for _ in range(2))
    assert first == second
    assert len({review.sentence for review in first}) > 90


def test_the_options_are_single_tokens(tokenizer: Any) -> None:
    prompt = tokenizer("a dull western . It was")["input_ids"]
    assert prompt[0] == tokenizer.bos_token_id == 2
    for word in demo_reviews.VERDICTS:
        full = tokenizer(f"a dull western . It was {word}")["input_ids"]
        assert full[:-1] == prompt
        assert tokenizer.decode(full[-1:]) == f" {word}"


@pytest.fixture
def model(built: Built) -> Iterator[Any]:
    from transformers import AutoModelForCausalLM

    yield AutoModelForCausalLM.from_pretrained(built.demo.model).eval()


def test_the_model_suits_vllm(model: Any) -> None:
    config = model.config
    assert config.architectures == ["OPTForCausalLM"]
    assert config.hidden_size // config.num_attention_heads in (32, 64, 128)  # its CPU attention has these
    assert config.vocab_size % 64 == 0


def test_zero_shot_is_poor(built: Built, model: Any, tokenizer: Any) -> None:
    import torch

    negative, positive = (
        tokenizer(f" {word}", add_special_tokens=False)["input_ids"][0] for word in demo_reviews.VERDICTS
    )
    right = 0
    validation = rows(built.demo.validation)
    for row in validation:
        with torch.no_grad():
            logits = model(torch.tensor([tokenizer(f"{row['sentence']} It was")["input_ids"]])).logits[0, -1]
        right += int(logits[positive] > logits[negative]) == row["label"]
    assert 0.4 <= right / len(validation) <= 0.65


def test_building_leaves_the_generators_alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import torch

    monkeypatch.setattr(demo, "_MOST_STEPS", 2)
    torch.manual_seed(1)
    random.seed(1)
    before = torch.get_rng_state(), random.getstate()
    demo.ensure_demo(tmp_path, silent)
    assert torch.equal(before[0], torch.get_rng_state())
    assert before[1] == random.getstate()


def test_the_preset_is_valid_and_names_every_key() -> None:
    path = ROOT / "presets" / "demo.toml"
    assert load_file(path).model.path == BUILTIN_DEMO
    lines = [line.removeprefix("# ") for line in path.read_text().splitlines()]
    named = {line.split(" = ")[0] for line in lines if " = " in line}
    assert {key.rpartition(".")[2] for key in dict(keys())} <= named
