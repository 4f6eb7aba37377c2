"""Read by every Python that the tests start: those that begin as an engine or a command line are counted."""

import os
import sys

if (_counted := os.environ.get("ZOTUI_TEST_STARTS")) and "-m" in sys.orig_argv:
    _module = sys.orig_argv[sys.orig_argv.index("-m") + 1]
    if _module.partition(".")[0] in ("engine", "zotui"):
        with open(_counted, "a") as _file:  # noqa: PTH123 - pathlib would be imported for this alone
            _file.write(f"fresh {_module}\n")
