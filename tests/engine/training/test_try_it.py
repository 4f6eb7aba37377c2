"""What is tried is answered truly, by the weights as they are and by the base model, and moves nothing."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from engine.errors import UserError
from engine.models.weights import Matrix
from engine.protocol.commands import Change, Pause, Resume, Stop, Try
from engine.protocol.events import Answer, Changed, Done, Hello, Tried
from engine.text import plain
from tests.engine.conftest import Finished, Runner, needs_vllm
from tests.engine.preflight.test_unsuitable import with_token

OPTIONS = ["terrible", "great"]
PROMPT = "a film of rare grace . It was"


def ask(engine: Any, **what: Any) -> Tried:
    """Asks, and waits for the answer to that."""
    number = len(engine.of(Tried)) + 1
    engine.send(Try(id=number, **what))
    return engine.until(Tried, id=number)


@pytest.mark.parametrize("runtime", ["training-loop", pytest.param("vllm", marks=needs_vllm)])
def test_the_base_model_answers_as_at_the_start_and_the_weights_as_transformers_has_them(
    start: Any, tiny_run: Runner, tiny_models: dict[str, Path], tmp_path: Path, runtime: str
) -> None:
    engine = start(f"model.runtime={runtime}", "run.steps=30", "run.batch_size=4", "method.lr=1e-2")
    engine.hold()
    choice, text = {"prompt": PROMPT, "options": OPTIONS}, {"prompt": PROMPT, "max_tokens": 8}
    long = {"prompt": " ".join([PROMPT] * 6), "options": [*OPTIONS, "a film of rare grace"]}
    before = [ask(engine, **choice), ask(engine, **text), ask(engine, **long), ask(engine, example=0)]
    for answer in before:
        assert answer.now == answer.base != Answer()
    assert abs(sum(before[0].now.probabilities) - 1) < 1e-9
    assert before[3].label in (0, 1) and before[3].options == OPTIONS and "It was" in before[3].prompt
    assert before[0].options == OPTIONS and before[0].label is None and before[0].step == 0

    done = engine.advance(18)
    while not done % 10:  # to be within an interval: what was learned since the last fold counts, too
        done = engine.advance(0.5)
    assert 10 < done < 30
    after = [ask(engine, **choice), ask(engine, **text), ask(engine, **long), ask(engine, example=0)]
    for was, answer in zip(before, after, strict=True):
        assert answer.base == was.base and answer.step == done
    assert after[0].now != after[0].base and after[2].now != after[2].base
    engine.send(Stop())
    assert engine.finish() == 130

    exported: Finished = tiny_run(command="resume", folder=engine.run.path, options=["--headless"])
    assert exported.code == 0  # goes on after all that
    for path, answers in ((tiny_models["one-layer"], before), (export(engine, done, tmp_path), after)):
        probabilities, generated = by_transformers(path)
        assert max(abs(a - b) for a, b in zip(probabilities, answers[0].now.probabilities, strict=True)) < 1e-4
        assert plain(generated) == answers[1].now.text


def export(engine: Any, steps: int, folder: Path) -> Path:
    """The model after so many steps, through a fork that ends there."""
    from engine.export.merged import export_merged
    from engine.runs.fork import fork

    forked = fork(engine.run, steps, (), folder / "forked")
    export_merged(forked, folder / "exported")
    return folder / "exported"


def by_transformers(path: Path) -> tuple[list[float], str]:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(path)
    prompt = tokenizer(PROMPT)["input_ids"]
    if tokenizer.bos_token_id is not None and prompt[0] != tokenizer.bos_token_id:
        prompt = [tokenizer.bos_token_id, *prompt]
    means = []
    for option in OPTIONS:
        ids = tokenizer(f" {option}", add_special_tokens=False)["input_ids"]
        logits = model(torch.tensor([[*prompt, *ids]])).logits[0, len(prompt) - 1 : -1].log_softmax(-1)
        means.append(logits[range(len(ids)), ids].mean())
    given = torch.tensor([prompt])
    out = model.generate(given, attention_mask=torch.ones_like(given), max_new_tokens=8, do_sample=False)
    text = tokenizer.decode(out[0, len(prompt) :], skip_special_tokens=True)
    return torch.stack(means).softmax(0).tolist(), text


def test_what_cannot_be_answered_says_why_and_the_run_goes_on(start: Any) -> None:
    engine = start("run.steps=12")
    engine.send(Pause())
    engine.until(Hello)
    assert "validation split ends with 47" in ask(engine, example=48).note
    assert "tokens" in ask(engine, prompt="word " * 600).note
    engine.send(Change())
    assert engine.until(Changed).eval_every == 0  # nothing named, nothing changed
    for number in range(60):
        engine.send(Try(id=1000 + number, example=0))
    engine.send(Resume())
    assert engine.finish() == 0
    assert engine.of(Done)


def test_tokens_that_the_model_does_not_know_are_not_asked_for(
    start: Any, tiny_models: dict[str, Path], tmp_path: Path
) -> None:
    model = Path(shutil.copytree(tiny_models["llama"], tmp_path / "model", copy_function=shutil.copyfile))
    engine = start(f"model.path={with_token(model, '<more>')}")
    engine.send(Pause())
    engine.until(Hello)
    for what in ({"prompt": "a <more> film"}, {"prompt": "a film", "options": ["good", "<more>"]}):
        answer = ask(engine, **what)
        assert answer.note == "'<more>' (id 512) is beyond the model's vocabulary of 512 tokens"
        assert answer.now is None and answer.base is None
    engine.send(Stop())
    assert engine.finish() == 130


def test_base_weights_are_found_under_either_name_and_refused_where_they_are_not_there(
    tiny_models: dict[str, Path], tmp_path: Path
) -> None:
    import torch
    from safetensors.torch import load_file, save_file
    from transformers import AutoModelForCausalLM

    from engine.models.facts import weights_in_scope
    from engine.models.weights import BaseWeights

    for path in tiny_models.values():
        model = AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32)
        in_scope = weights_in_scope(model)
        matrices = [matrix for matrix, _ in in_scope]
        base = BaseWeights(path, matrices)
        assert all(torch.equal(base.read(m.name).float(), weight) for m, weight in in_scope)
        bare = {name.removeprefix("model."): tensor for name, tensor in load_file(path / "model.safetensors").items()}
        save_file(bare, tmp_path / "model.safetensors")
        base = BaseWeights(tmp_path, matrices)
        assert all(torch.equal(base.read(m.name).float(), weight) for m, weight in in_scope)
        with pytest.raises(UserError, match="no 3 x 4 matrix model"):
            BaseWeights(tmp_path, [Matrix("model.other.weight", 3, 4)])
