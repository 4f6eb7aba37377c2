"""UTF-8 whatever the locale: presets, data, names of files, and what goes to the engine and comes from it.

Python takes the encoding of files, paths and pipes from the locale. Where that is none of UTF-8 (a server that was set
up in another decade, cron), a preset would be read as another text than it is, and a path would name another file. So
the command starts itself anew in Python's UTF-8 mode (PEP 540), which what it starts inherits: here, once, instead of
at each of a hundred calls. What `PYTHONIOENCODING` says of standard output holds; what cannot be written in it is
written out.
"""

from __future__ import annotations

import codecs
import os
import sys

_MODE = "PYTHONUTF8"
_HANDLER = "written-out"


def take_utf8() -> None:
    """Go on in UTF-8 mode, if need be as a new program in this process; call it before anything is read."""
    if _is_utf8() or os.environ.get(_MODE) == "1" or not sys.executable:
        return  # also where it was asked for in vain: once is enough
    os.environ[_MODE] = "1"
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


def _is_utf8() -> bool:
    return codecs.lookup(sys.getfilesystemencoding()).name == "utf-8"


def write_out_the_unwritable() -> None:
    """From now on a character that standard output or error cannot hold is `\\uXXXX`, which JSON reads as the same."""
    codecs.register_error(_HANDLER, _written_out)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors=_HANDLER)


def _written_out(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    units = error.object[error.start : error.end].encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4)), error.end
