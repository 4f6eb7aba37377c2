"""What every part is told: where, on what, how much of it; and the preset that most of them take steps of."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import msgspec

from engine.preset.load import load
from engine.preset.schema import BUILTIN_DEMO, Preset


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What all parts of one folder have in common; another folder for other ones."""

    device: str  # cpu, or cuda: the one that is left visible
    card: str  # its name, for people
    model: str = BUILTIN_DEMO  # a folder, or the built-in demo
    small: bool = False

    @property
    def dtype(self) -> str:
        """Of what is not measured in several: what such a device is used with."""
        return "float32" if self.device == "cpu" else "float16"

    @property
    def sizes(self) -> Sizes:
        """How much each part does."""
        return SMALL if self.small else FULL


@dataclass(frozen=True)
class Sizes:
    """How much each part does; steps count from 0."""

    batch: int
    validation: int  # examples
    compared: int  # steps with the training loop
    probed: int  # batches, by replay and without
    steps: int  # of a run that is taken twice, or killed and resumed
    interval: int
    checkpoint_every: int
    killed_at: int  # this step, or soon after
    rounds: int  # of the benchmark
    demo_steps: int
    demo_examples: int


FULL = Sizes(
    batch=16, validation=200, compared=30, probed=24, steps=120, interval=25, checkpoint_every=40, killed_at=53,
    rounds=5, demo_steps=400, demo_examples=500,
)  # fmt: skip
SMALL = Sizes(
    batch=4, validation=8, compared=6, probed=3, steps=24, interval=5, checkpoint_every=8, killed_at=9,
    rounds=1, demo_steps=24, demo_examples=32,
)  # fmt: skip

# The learning rate is one for the demo's model, which a real one would not survive.
_PRESET = """
[model]
runtime = "vllm"
[task]
name = "demo"
[method]
lr = 5e-4
[run]
keep_checkpoints = 1
checkpoint_best = false
when_app_leaves = "stop"
"""
_LR = 1e-6


def preset(settings: Settings, *changes: str) -> Preset:
    """Some steps of the settings' model on the demo's reviews, with `key=value` changes."""
    sizes = settings.sizes
    return load(
        "on_gpu",
        _PRESET,
        [
            f"model.path={settings.model}",
            f"model.device={settings.device}",
            f"model.dtype={settings.dtype}",
            f"task.validation_examples={sizes.validation}",
            f"method.interval={sizes.interval}",
            *([] if settings.model == BUILTIN_DEMO else [f"method.lr={_LR}"]),
            f"run.steps={sizes.steps}",
            f"run.batch_size={sizes.batch}",
            f"run.checkpoint_every={sizes.checkpoint_every}",
            *changes,
        ],
    )


def demo_preset(settings: Settings) -> Preset:
    """The demo's own preset (presets/demo.toml) on the settings' device, as long as they say."""
    sizes = settings.sizes
    return preset(
        settings,
        f"model.path={BUILTIN_DEMO}",
        "model.dtype=float32",
        f"task.validation_examples={sizes.demo_examples}",
        "method.name=fast",
        "method.interval=50",
        "method.lr=1e-2",
        f"run.steps={sizes.demo_steps}",
        "run.batch_size=16",
        f"run.eval_every={min(20, sizes.demo_steps // 2)}",
        "run.checkpoint_every=200",
    )


def demo_folder() -> Path:
    """The built-in demo's model, which is made if it is not there."""
    from engine.runs.home import home
    from engine.tasks.demo import ensure_demo

    return ensure_demo(home() / "cache", lambda text, fraction: None).model
