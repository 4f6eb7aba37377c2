"""Read by every Python that the tests start: those that begin as an engine or a command line are counted."""

import os
import sys

_given = [argument for argument in sys.orig_argv[1:] if argument != "-P"]
_module = _given[1] if _given[:1] == ["-m"] else ""
if _module.partition(".")[0] in ("engine", "zotui") and (_counted := os.environ.get("ZOTUI_TEST_STARTS")):
    with open(_counted, "a") as _file:  # noqa: PTH123 - pathlib would be imported for this alone
        _file.write(f"fresh {_module}\n")

# Of a process that is not ours and starts others: libraries that do not load here, and would take it down.
for _name in os.environ.get("ZOTUI_TEST_ABSENT", "").split():
    sys.modules[_name] = None
