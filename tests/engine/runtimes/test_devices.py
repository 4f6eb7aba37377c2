"""What `on_simulated_card.py` holds, in a process in which Triton interprets its kernels."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.engine.conftest import needs_vllm


@needs_vllm
def test_a_step_is_where_it_should_be_on_a_simulated_card() -> None:
    there = Path(__file__).with_name("on_simulated_card.py")
    command = [sys.executable, "-m", "pytest", "-q", "-n", "0", "-p", "no:cacheprovider", str(there)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and " passed" in done.stdout, done.stdout[-5000:]
