"""Where packed passes cannot be had, the faster of vLLM's public API and the training loop takes the steps."""

from __future__ import annotations

import gc
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from itertools import accumulate
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from engine.errors import RunFailed, UserError
from engine.estimators.probing import Probing
from engine.preflight import open as opening
from engine.preflight import plan, unpacked
from engine.preflight.open import open_run
from engine.preset.load import load
from engine.preset.schema import Preset
from engine.runtimes.base import Runtime
from engine.runtimes.training_loop import TrainingLoop
from tests.engine.conftest import Runner, needs_vllm

pytestmark = needs_vllm


@dataclass
class Opener:
    """Opens runs whose packed passes raise, and keeps what was noted."""

    preset: Callable[..., Preset]
    opened: list[Runtime] = field(default_factory=list)
    notes: list[tuple[str, str]] = field(default_factory=list)

    def __call__(self, *settings: str) -> Runtime:
        wanted = self.preset(*settings)
        opened = open_run(wanted, lambda *_: None, lambda level, text: self.notes.append((level, text)))
        self.opened.append(opened.runtime)
        assert bool(opened.fold) == (opened.runtime.name == "vllm")
        return opened.runtime

    def warning(self) -> str:
        (told,) = [text for level, text in self.notes if level == "warning"]
        return told


@pytest.fixture
def packed_raises(tiny_run: Runner, monkeypatch: pytest.MonkeyPatch, home: Any) -> Iterator[Opener]:
    from engine.runtimes.vllm.runtime import VllmRuntime

    call = VllmRuntime._call

    def broken(self: VllmRuntime, method: str, *args: Any) -> Any:
        if method == "zo_score":
            raise AttributeError("no attn_groups")
        return call(self, method, *args)

    monkeypatch.setattr(VllmRuntime, "_call", broken)
    opener = Opener(lambda *settings: load("tiny", tiny_run.preset.read_text(), settings))
    yield opener
    for runtime in opener.opened:
        runtime.close()


def set_clock(monkeypatch: pytest.MonkeyPatch, *seconds: float) -> None:
    """The steps that are timed take these, as far as anybody can see: of each runtime a warm-up and another."""
    times = iter([0.0, *accumulate(second for pair in zip(seconds, [0.0] * len(seconds)) for second in pair)])  # noqa: B905
    monkeypatch.setattr(unpacked, "_clock", lambda: next(times))


def test_the_figures_are_told_and_decide(packed_raises: Opener) -> None:
    """On the machine's own clock, whichever it is."""
    runtime = packed_raises("model.runtime=auto")
    told = packed_raises.warning()
    found = re.fullmatch(
        r"packed scoring failed on this vLLM \(AttributeError: no attn_groups\); "
        r"vLLM's public API: (\S+) s a step, the training loop: (\S+) s: the (public API|training loop) is used",
        told,
    )
    assert found, told
    public, loop = float(found[1]), float(found[2])
    assert public and loop and {"public API": "vllm", "training loop": "training-loop"}[found[3]] == runtime.name
    assert (runtime.name == "vllm") == (public <= loop) or public == loop  # as told they may be equal, rounded


def test_the_training_loop_is_taken_where_it_is_faster_with_the_weights_of_the_files(
    packed_raises: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_clock(monkeypatch, 9.0, 1.9, 5.0, 1.2)
    runtime = packed_raises("model.runtime=auto")
    assert isinstance(runtime, TrainingLoop)
    assert "public API: 1.9 s a step, the training loop: 1.2 s: the training loop is used" in packed_raises.warning()
    assert packed_raises.notes[-1][0] == "info" and "in place, rounded to float32" in packed_raises.notes[-1][1]
    untouched = TrainingLoop(runtime._path, dtype="float32", device="cpu", seed=0)
    for one, other in zip(runtime.model.parameters(), untouched.model.parameters(), strict=True):
        assert torch.equal(one, other)


def test_in_16_bits_who_gets_the_training_loop_is_told_what_it_loses(
    packed_raises: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_clock(monkeypatch, 9.0, 1.9, 5.0, 1.2)
    assert packed_raises("model.runtime=auto", "model.dtype=bfloat16").name == "training-loop"
    level, told = packed_raises.notes[-1]
    assert level == "warning" and "in place, rounded to bfloat16 at every step" in told and "model.runtime=vllm" in told


def test_the_public_api_is_kept_where_it_is_faster_and_vllm_is_opened_once_more(
    packed_raises: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_clock(monkeypatch, 9.0, 1.2, 5.0, 1.9)
    runtime = packed_raises("model.runtime=auto")
    assert runtime.name == "vllm"
    assert "public API: 1.2 s a step, the training loop: 1.9 s: the public API is used" in packed_raises.warning()
    runtime.redraw(0)
    from tests.engine.runtimes.test_vllm import examples

    assert runtime.probe(0, Probing(), 1e-3, [e for e in examples(1)])[0].tokens > 0


def test_who_asks_for_vllm_gets_it_and_is_told_what_a_step_takes(
    packed_raises: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_clock(monkeypatch, 9.0, 1.9)
    assert packed_raises("model.runtime=vllm").name == "vllm"
    assert packed_raises.warning().endswith("public API: 1.9 s a step, and it is used, for model.runtime is vllm")
    assert not any(isinstance(runtime, TrainingLoop) for runtime in packed_raises.opened)


def test_who_goes_on_with_a_run_that_began_by_vllm_is_told_so(
    packed_raises: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the preset says."""
    planned = plan.plan_run

    def begun(*about: Any) -> Any:
        return replace(planned(*about), begun=True)

    monkeypatch.setattr(opening, "plan_run", begun)
    set_clock(monkeypatch, 9.0, 1.9)
    assert packed_raises("model.runtime=vllm").name == "vllm"
    assert packed_raises.warning().endswith("public API: 1.9 s a step, and it is used, as the run began")


def test_scores_that_are_not_the_training_loops_are_not_gone_on_with(
    packed_raises: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    from engine.runtimes.vllm.scoring import Scoring

    public = Scoring.public

    def off(self: Scoring, *args: Any) -> Any:
        plus, *rest = public(self, *args)
        return [[[row[0] + 0.5, *row[1:]] for row in plus], *rest]

    monkeypatch.setattr(Scoring, "public", off)
    set_clock(monkeypatch, 9.0, 1.2, 5.0, 1.9)
    assert packed_raises("model.runtime=auto").name == "training-loop"
    assert "1.9 s; they differ by 0.5 nats: the training loop is used" in packed_raises.warning()


def test_where_the_training_loop_has_no_room_the_public_api_stays(
    packed_raises: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    fit = unpacked._fit_of_loop

    def without(prepared: Any) -> Any:
        with pytest.MonkeyPatch.context() as full:
            full.setattr("engine.preflight.checks.available_memory", lambda *_: 2**20)
            return fit(prepared)

    monkeypatch.setattr(unpacked, "_fit_of_loop", without)
    assert packed_raises("model.runtime=auto").name == "vllm"
    told = packed_raises.warning()
    assert "s a step; the training loop cannot be had here (model.path: " in told and "GiB are available" in told
    assert told.endswith("): the public API is used")


def test_where_neither_path_of_vllm_works_the_training_loop_does(
    packed_raises: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    from vllm.v1.worker.cpu_model_runner import CPUModelRunner

    class NoKernel(Exception):
        pass

    def none(*_: Any, **__: Any) -> Any:
        raise NoKernel("no image")

    monkeypatch.setattr(CPUModelRunner, "_model_forward", none)
    with pytest.raises(
        UserError, match=r"and so did its public API \(NoKernel: no image\); use --set model.runtime=tr"
    ):
        packed_raises("model.runtime=vllm")
    assert packed_raises("model.runtime=auto").name == "training-loop"
    assert re.search(
        r"\(NoKernel: no image\); the training loop: \S+ s: the training loop is used", packed_raises.warning()
    )


def test_a_fault_of_ours_is_no_reason_to_take_another_runtime(
    packed_raises: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    from vllm import LLM

    monkeypatch.setattr(LLM, "generate", lambda *_, **__: [])
    with pytest.raises(RunFailed, match="a fault of zotui's"):
        packed_raises("model.runtime=auto")


def test_what_vllm_does_not_load_the_training_loop_does_once_the_memory_is_free(
    tiny_run: Runner, tiny_models: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, home: Any
) -> None:
    """As a checkpoint with a weight too many, which vLLM finds with its model in memory. A path may have a `;`."""
    model = Path(shutil.copytree(tiny_models["llama"], tmp_path / "a;b", copy_function=shutil.copyfile))
    weights = model / "model.safetensors"
    save_file({**load_file(weights), "score.weight": torch.zeros(2, 128)}, weights, metadata={"format": "pt"})
    beside: list[str] = []
    opens = TrainingLoop.__init__

    def opened(self: TrainingLoop, *args: Any, **settings: Any) -> None:
        gc.collect()
        alive = (type(one) for one in gc.get_objects() if isinstance(one, torch.nn.Module))
        beside.extend(one.__name__ for one in alive if one.__module__ == "vllm.model_executor.models.llama")
        opens(self, *args, **settings)

    monkeypatch.setattr(TrainingLoop, "__init__", opened)
    notes: list[tuple[str, str]] = []
    wanted = load("tiny", tiny_run.preset.read_text(), [f"model.path={model}", "model.runtime=auto"])
    run = open_run(wanted, lambda *_: None, lambda level, text: notes.append((level, text)))
    run.runtime.close()
    assert isinstance(run.runtime, TrainingLoop) and not run.fold
    assert not beside
    (told,) = [text for level, text in notes if level == "warning" and "cannot load it" in text]
    assert told.startswith(f"model.path: {model}: vLLM cannot load it (ValueError: There is no module")
    assert told.endswith("): the slower training-loop runtime is used")


def test_layers_that_share_their_cache_across_groups_are_the_training_loops() -> None:
    from engine.runtimes.vllm.support import CannotAdapt
    from engine.runtimes.vllm.worker.forward import Forward

    runner: Any = SimpleNamespace(
        attn_groups=[[SimpleNamespace(layer_names=["last"])]],
        kv_cache_config=SimpleNamespace(kv_cache_groups=["full", "sliding"]),
    )
    layers = {"last": SimpleNamespace(kv_sharing_target_layer_name="first")}
    config: Any = SimpleNamespace(compilation_config=SimpleNamespace(static_forward_context=layers))
    with pytest.raises(CannotAdapt, match=r"share their KV cache across groups; use --set model.runtime=training-loop"):
        Forward(runner, config, "cpu", layers=None, shards=1)  # type: ignore[arg-type]
