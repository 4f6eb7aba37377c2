"""[model]: what is tuned, and what it runs on."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from engine.preset.section import Section


class Model(Section):
    path: str = Field(min_length=1, description="Folder of a model, its hub id, or builtin:demo.")
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        "auto", description="Precision of the weights; auto is float32 on CPU, the model's own on a GPU."
    )
    runtime: Literal["auto", "vllm", "training-loop"] = Field(
        "auto",
        description="What scores the probes; auto is vllm when it loads, else training-loop; the faster of the two "
        "where packed passes do not work.",
    )
    fold: Literal["auto", "residual", "host-residual", "stochastic", "nearest"] = Field(
        "auto",
        description="How a fold keeps what bfloat16 or float16 weights cannot tell apart: residual (2 bytes a "
        "parameter), host-residual (the same numbers, kept in the host's memory), stochastic (rounding, no memory) or "
        "nearest (loses it); auto is the first of these that there is room for; float32 needs none.",
    )
    cuda_graphs: Literal["auto", "off"] = Field(
        "auto", description="auto: a GPU records forward passes as CUDA graphs, and replays them; off: never."
    )
    device: str = Field(
        "auto",
        pattern=r"^(auto|cpu|cuda(:\d+)?)$",
        description="auto, cpu, cuda or cuda:N; auto is the first GPU, else the CPU.",
    )
    memory_limit_gib: float | None = Field(
        None, gt=0, description="Most memory to use on the device, in GiB; unset is what is free."
    )
    max_length: int | None = Field(
        None, ge=8, description="Longest sequence in tokens; unset is the model's own context."
    )
    trust_remote_code: bool = Field(False, description="Run Python code that comes with the model.")
