"""Read by the Python that the rehearsal starts the engine with: it has a simulated card before anything is imported."""

import os
import sys

modules = [after for flag, after in zip(sys.orig_argv, sys.orig_argv[1:], strict=False) if flag == "-m"]
if "ZOTUI_SIMULATED_CARD" in os.environ and modules and modules[0].partition(".")[0] == "engine":
    from tests.rehearsal import simulated

    simulated.install()
