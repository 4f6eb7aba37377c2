"""What replays recordings in the tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.engine.parity.places import Places


@pytest.fixture(scope="module")
def places() -> Iterator[Places]:
    """Models are loaded once for a module's tests."""
    opened = Places()
    yield opened
    opened.close()
