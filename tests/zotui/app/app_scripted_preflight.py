"""A scripted preflight: the findings of one that took seconds, at once, over a real pipe; it preflights nothing.

The script is JSON in the environment variable `SCRIPTED_PREFLIGHT`: `fits`, by a preset's name; `refuse`, an Error
with this text; `hang`, after the data and before the estimate; `pid`, a file to write its process id to.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[3]))

from engine.protocol.codec import encode
from engine.protocol.events import Error, Event, Log, Phase
from engine.protocol.findings import Data, Estimate, Model, Outlook, Room, Setting, Text

GiB = 2**30
script = json.loads(os.environ.get("SCRIPTED_PREFLIGHT", "{}"))


def say(event: Event) -> None:
    sys.stdout.buffer.write(encode(event))
    sys.stdout.buffer.flush()


def outlook(source: str) -> Outlook:
    fits = script.get("fits", {}).get(Path(source).stem, "yes")
    if fits == "unknown":
        return Outlook(source=source, fits=fits, why="not known until it is downloaded")
    why = "needs about 57.3 GiB of memory on cpu, 21.0 GiB are free" if fits == "no" else ""
    memory = int(57.3 * GiB) if fits == "no" else int(1.12 * GiB)
    return Outlook(source=source, fits=fits, why=why, parameters=7_100_000, memory=memory, disk=80_000_000)


def preflight() -> int:
    say(Phase(name="checking", detail="reading the model's configuration"))
    say(
        Model(
            path="models/opt-reviews", architecture="OPTForCausalLM", parameters=7_100_000, scope=4_700_000,
            matrices=36, context=256,
        )
    )  # fmt: skip
    say(
        Setting(
            runtime="vllm", why="runtime: vLLM 0.32.0", device="cpu (2 threads)", dtype="bfloat16",
            updates="folds: a residual beside the weights keeps what bfloat16 cannot (0.0094 GB more)",
        )
    )  # fmt: skip
    parts = {"4 checkpoints": 75_200_000, "journal": 135_000}
    say(Room(of="disk", needed=75_335_000, available=75 * GiB, where="/home/ada/zotui", parts=parts))
    say(Log(level="warning", text="task.train_examples is 10,000, train.jsonl has 6,920: all are used"))
    if script.get("refuse"):
        say(Error(kind="usage", text=script["refuse"]))
        return 2
    prompt = Text(text="</s>a gorgeous, witty, seductive movie . It was", tokens=14)
    options = [Text(text=" terrible", tokens=1), Text(text=" great", tokens=1)]
    say(
        Data(
            train=6920, validation=872, longest=71, objective="classification", prompt=prompt, options=options, label=1,
            notes=script.get("notes", []),
        )
    )  # fmt: skip
    parts = {
        "weights": 14_200_000, "residuals": 9_400_000, "KV space, which vLLM takes at its start": 34_000_000,
        "slots and directions": 11_000_000, "activations and logits": 61_000_000, "libraries": GiB,
    }  # fmt: skip
    say(Room(of="memory", needed=sum(parts.values()), available=21 * GiB, where="cpu", parts=parts))
    say(Phase(name="calibrating", detail="a few steps, and a slice of an evaluation"))
    if script.get("hang"):
        time.sleep(60)
    say(Estimate(step=0.043, tokens_per_s=26_000, evaluation=3.1, evaluations=6, start_up=7.4, total=46.1))
    return 0


def end_with_stdin() -> None:
    while os.read(0, 4096):
        pass
    os._exit(130)


if __name__ == "__main__":
    if script.get("pid"):
        Path(script["pid"]).write_text(str(os.getpid()))
    threading.Thread(target=end_with_stdin, daemon=True).start()
    code = 0
    if "--outlook" in sys.argv:
        for source in sys.argv[sys.argv.index("--outlook") + 1 :]:
            say(outlook(source))
    else:
        code = preflight()
    os._exit(code)
