"""What the commands have in common that ask an engine: findings as JSON or in words, and its exit code."""

from __future__ import annotations

from collections.abc import Callable

from engine.errors import EXIT_DONE
from engine.protocol.codec import encode
from engine.protocol.events import Error, Phase
from engine.protocol.findings import Finding
from zotui.engines.asked import AskedEngine
from zotui.text.output import print_out, talk


def ask(engine: AskedEngine, what: str, take: Callable[[Finding], None], *, as_json: bool) -> int:
    """Let it answer, and end it however that goes; returns its exit code.

    Stages, errors and JSON are told here; `take` hears of every finding, and tells the rest.
    """
    refused = False
    try:
        for found in engine.findings():
            if as_json:
                print_out(encode(found).decode().rstrip())
            take(found)
            if isinstance(found, Phase):
                if not as_json and found.detail and found.name != "trial" and not found.progress:
                    talk(f"{found.name}: {found.detail}")
            elif isinstance(found, Error):
                refused = True
                talk(f"zotui: {found.text}")
        code = engine.wait()
    finally:
        engine.close()
    if code != EXIT_DONE and not refused:
        talk(f"zotui: {what} ended with code {code}; `{' '.join(engine.COMMAND)} PRESET.toml` shows why")
    return code
