"""Fixtures that every test may use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from engine.environment import prepare

os.environ.setdefault("OMP_NUM_THREADS", "1")  # two tests run at a time
prepare()  # before any test imports transformers

# In this order before all others: a file goes to one worker as a whole, and a long one that came last would leave the
# other worker without work.
LONGEST = (
    *("test_end_to_end", "test_faults", "test_replay", "test_determinism", "test_process", "test_parity"),
    *("test_settings", "test_control_socket", "test_full_disk", "test_update_kept", "test_preflight", "test_benchmark"),
    *("test_security", "test_demo", "test_bad_input", "test_checkpoint", "test_export", "test_leaks", "test_form"),
    *("test_live_view", "test_vllm_runtime", "test_not_finite", "test_steered_run", "test_trying"),
)

SHARED = Path(__file__).resolve().parents[2] / "shared"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Here, for pytest asks no conftest further down which flags there are."""
    parser.addoption("--update-pictures", action="store_true", help="keep the app's pictures as they are drawn now")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files that take longest come first."""
    place = {name: number for number, name in enumerate(LONGEST)}
    items.sort(key=lambda item: place.get(item.path.stem, len(place)))


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
