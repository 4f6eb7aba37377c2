"""The Python that the command runs in, and all that it starts: UTF-8 whatever the locale, and nobody else's switches.

Python takes the encoding of files, paths and pipes from the locale. Where that is none of UTF-8 (a server that was set
up in another decade, cron), a preset would be read as another text than it is, and a path would name another file. So
the command starts itself anew in Python's UTF-8 mode (PEP 540), which what it starts inherits: here, once, instead of
at each of a hundred calls. The same goes for switches that somebody set for programs of their own, and with which the
libraries do not load: warnings that are errors, docstrings that are left out, a prompt after the end.
"""

from __future__ import annotations

import codecs
import os
import sys

_MODE = "PYTHONUTF8"


def settle() -> None:
    """Go on as it should be, if need be as a new program in this process; call it before anything is read."""
    others = [name for name in ("PYTHONINSPECT", "PYTHONOPTIMIZE", "PYTHONWARNINGS") if _is_in_the_way(name)]
    utf8 = codecs.lookup(sys.getfilesystemencoding()).name == "utf-8"
    if not others and (utf8 or os.environ.get(_MODE) == "1"):
        return  # also where UTF-8 was asked for in vain: once is enough
    for name in others:
        del os.environ[name]
    if not utf8:
        os.environ[_MODE] = "1"
    if sys.executable:
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


def _is_in_the_way(name: str) -> bool:
    said = os.environ.get(name, "")
    if name != "PYTHONWARNINGS":
        return bool(said)
    actions = (part.partition(":")[0].strip() for part in said.split(","))
    return any(action and "error".startswith(action) for action in actions)  # Python takes any beginning of a word
