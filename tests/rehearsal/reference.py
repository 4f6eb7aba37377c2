"""The steps of a case by the conventional loop on the CPU in float32: nothing of it is simulated.

`python -m tests.rehearsal.reference FOLDER MODEL OPTION_TOKENS RANK QUERIES FILE` makes the model in FOLDER and writes
the steps to FILE.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from engine.directions.space import Space
from engine.environment import prepare
from engine.estimators.probing import Probing


def main() -> None:
    """The command."""
    prepare()
    from engine.models.facts import read_model
    from engine.runtimes.training_loop import TrainingLoop
    from tests.families.models import write_model
    from tests.rehearsal import work

    folder, name, *numbers, file = sys.argv[1:]
    option_tokens, rank, queries = map(int, numbers)
    model = str(write_model(name, Path(folder)))
    facts = read_model(model, trust_remote_code=False)
    loop = TrainingLoop(model, dtype="float32", device="cpu", space=Space(rank=rank), seed=work.SEED)
    pool = work.pool(facts.vocabulary, option_tokens)
    steps = []
    for step in range(work.STEPS):
        if step % work.INTERVAL == 0:
            loop.redraw(step)
        batch = work.batch(pool, step)
        losses = work.losses(batch, loop.probe(step, Probing(queries=queries), work.EPS, batch))
        coefficients = work.coefficients(losses)
        loop.update(step, coefficients, float(len(coefficients)))
        steps.append({"losses": losses, "coefficients": coefficients})
    Path(file).write_text(json.dumps(steps))


if __name__ == "__main__":
    main()
