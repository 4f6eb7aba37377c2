"""Fixtures that every test may use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from engine import environment

os.environ.setdefault("OMP_NUM_THREADS", "1")  # two tests run at a time
environment.prepare()  # before any test imports transformers

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session")
def shared() -> Path:
    """Real data and small models beside the checkout; tests that need them skip where they are not."""
    if not (SHARED / "models").is_dir():
        pytest.skip(f"needs the shared models and data, which are not at {SHARED}")
    return SHARED


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty ZOTUI_HOME."""
    folder = tmp_path / "home"
    monkeypatch.setenv("ZOTUI_HOME", str(folder))
    return folder
