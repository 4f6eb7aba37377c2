"""The line that serves what was exported, with vLLM as anybody installs it."""

from __future__ import annotations

import shlex
from pathlib import Path

SERVED_RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)
"""What vLLM's --max-lora-rank may be."""


def serve_model(folder: Path | str, *, code: bool) -> str:
    """Serves a merged model; `code`: whether it brings Python code of its own, which was trusted."""
    return _line("vllm", "serve", folder, *_trust(code))


def serve_adapter(folder: Path | str, base: str, name: str, rank: int, *, code: bool) -> str:
    """Serves the base model, and under `name` the base model with the adapter in `folder`."""
    largest = next(one for one in SERVED_RANKS if one >= rank)
    serving = ("--enable-lora", "--max-lora-rank", str(largest), "--lora-modules", f"{name}={folder}")
    return _line("vllm", "serve", base, *serving, *_trust(code))


def _trust(code: bool) -> tuple[str, ...]:
    return ("--trust-remote-code",) if code else ()


def _line(*words: object) -> str:
    return shlex.join(map(str, words))
