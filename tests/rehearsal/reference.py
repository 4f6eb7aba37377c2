"""The steps of a case by the conventional loop on the CPU in float32: nothing of it is simulated.

`python -m tests.rehearsal.reference FOLDER CASE FILE` makes the model of a case, which is given as JSON, in FOLDER and
writes the steps to FILE.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from engine.environment import prepare


def main() -> None:
    """The command."""
    prepare()
    from engine.directions.space import space_of
    from engine.models.facts import read_model
    from engine.runtimes.training_loop import TrainingLoop
    from engine.updates.base import rule_of
    from tests.families.models import write_model
    from tests.rehearsal import work

    folder, text, file = sys.argv[1:]
    case = json.loads(text)
    method = work.method(case)
    probing = work.probing(method)
    model = str(write_model(case["model"], Path(folder)))
    facts = read_model(model, trust_remote_code=False, scope=method.scope)
    loop = TrainingLoop(
        model,
        dtype="float32",
        device="cpu",
        space=space_of(method),
        rule=rule_of(method),
        seed=work.SEED,
        scope=method.scope,
    )
    pool = work.pool(facts.vocabulary, case["option_tokens"])
    steps = []
    for step in range(work.STEPS):
        if step % work.INTERVAL == 0:
            loop.redraw(step)
        batch = work.batch(pool, step)
        losses = work.losses(batch, loop.probe(step, probing, work.EPS, batch), probing)
        weighed = work.weighed(losses, method)
        loop.update(step, weighed, case["rate"])
        steps.append({"losses": losses, "weighed": weighed})
    Path(file).write_text(json.dumps(steps))


if __name__ == "__main__":
    main()
