"""Messages as JSON lines, and back; what is no message is refused."""

from __future__ import annotations

import json
from typing import Any, TypeVar

import msgspec

from engine.protocol.commands import AnyCommand, Command
from engine.protocol.events import AnyEvent, Event
from engine.text import is_plain, plain

Message = TypeVar("Message")

_event_decoder: msgspec.json.Decoder[AnyEvent] = msgspec.json.Decoder(AnyEvent)
_command_decoder: msgspec.json.Decoder[AnyCommand] = msgspec.json.Decoder(AnyCommand)
_encoder = msgspec.json.Encoder()


def encode(message: Event | Command) -> bytes:
    """One JSON line, newline included. Numbers that are not finite become null."""
    try:
        return _encoder.encode(message) + b"\n"
    except UnicodeEncodeError:  # a path that is not UTF-8: it is to be shown, no more
        text = json.dumps(msgspec.to_builtins(message), ensure_ascii=False)
        return text.encode(errors="replace") + b"\n"


def decode_event(line: bytes | str) -> AnyEvent:
    """Parse one event line, its texts made plain. Raises `msgspec.DecodeError` for anything else."""
    return _plain(_decode(_event_decoder, line))


def decode_command(line: bytes | str) -> AnyCommand:
    """Parse one command line. Raises `msgspec.DecodeError` for anything else."""
    return _decode(_command_decoder, line)


def _plain(value: Any) -> Any:
    """The same with every text made plain, however deep it lies; most messages hold none that is not."""
    if isinstance(value, str):
        return value if is_plain(value) else plain(value)
    if isinstance(value, list):
        return [_plain(one) for one in value]
    if isinstance(value, dict):
        return {_plain(key): _plain(one) for key, one in value.items()}
    if isinstance(value, msgspec.Struct):
        fields = {name: getattr(value, name) for name in value.__struct_fields__}
        changed = {name: new for name, old in fields.items() if (new := _plain(old)) != old}
        return msgspec.structs.replace(value, **changed) if changed else value
    return value


def _decode(decoder: msgspec.json.Decoder[Message], line: bytes | str) -> Message:
    try:
        # As text, since msgspec does not look at the bytes of fields that it skips.
        return decoder.decode(line.decode() if isinstance(line, bytes) else line)
    except msgspec.DecodeError:
        raise
    except (ValueError, RecursionError) as error:  # not UTF-8, nested too deeply
        raise msgspec.DecodeError(f"{type(error).__name__}: {error}") from None
