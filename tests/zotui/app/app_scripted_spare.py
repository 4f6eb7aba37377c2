"""A scripted spare engine: waits for its order as the real one does, and is the scripted engine from then on."""

from __future__ import annotations

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[3]))

from engine.protocol.order import decode_order

line = b""
while not line.endswith(b"\n"):
    byte = os.read(0, 1)
    if not byte:
        sys.exit(0)
    line += byte
order = decode_order(line)
with Path(order.run, "engine.log").open("ab") as log:
    os.dup2(log.fileno(), 2)
engine = str(Path(__file__).with_name("app_scripted_engine.py"))
os.execv(sys.executable, [sys.executable, engine, order.run, *(["--resume"] if order.resume else [])])
