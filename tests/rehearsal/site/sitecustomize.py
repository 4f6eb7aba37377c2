"""Read by the Python that the rehearsal starts the engine with: it has a simulated card before anything is imported."""

import os
import sys

if "ZOTUI_SIMULATED_CARD" in os.environ and sys.orig_argv[-3:-1] == ["-m", "engine"]:
    from tests.rehearsal import simulated

    simulated.install()
