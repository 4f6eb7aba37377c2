"""One case on the simulated card, in a process of a CUDA wheel: `python -P -m tests.rehearsal.take JSON`.

The weights move by the weighed gradients of the reference, so that every step is compared at the same weights. The last
line of standard output is what was found, as JSON.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from tests.rehearsal import simulated

simulated.install()

from engine.environment import prepare, prepare_device  # noqa: E402 - a process that is to have a card has it from the start
from engine.errors import UserError  # noqa: E402


def main() -> None:
    """The command."""
    case = json.loads(sys.argv[1])
    prepare()
    prepare_device("cuda:0")
    found = _take(case)
    print(json.dumps(found), flush=True)


def _take(case: dict[str, Any]) -> dict[str, Any]:
    from engine.directions.fold import choose_fold
    from engine.directions.space import space_of
    from engine.models.facts import read_model
    from engine.preflight.choose import choose_device, choose_for
    from engine.preflight.memory import estimate_memory
    from engine.runtimes.vllm.runtime import VllmRuntime
    from engine.updates.base import rule_of
    from tests.rehearsal import broken, work
    from tests.rehearsal.simulated.counters import counters

    method = work.method(case)
    probing = work.probing(method)
    facts = read_model(case["path"], trust_remote_code=False, scope=method.scope)
    device, dtype = choose_device("auto"), case["dtype"]
    choose_for(facts, "vllm", "vllm", "", device)
    pool = work.pool(facts.vocabulary, case["option_tokens"])
    needs = work.needs(pool, case["option_tokens"], method)
    fold = "nearest" if method.scope == "adapter" else choose_fold(case["fold"], dtype)  # which nothing folds
    memory = estimate_memory(facts, needs, method, dtype=dtype, device=device, runtime="vllm", fold=fold)
    runtime = VllmRuntime(
        facts, dtype=dtype, device=device, space=space_of(method), rule=rule_of(method), seed=work.SEED, needs=needs,
        memory_needed=memory.total, fold=fold, cuda_graphs=case["graphs"],
    )  # fmt: skip
    found: dict[str, Any] = {
        "device": device,
        "matrices": len(runtime.matrices()),
        "attention": _attention(runtime),
        "self_check": runtime.self_check(pool)[1],
    }
    runtime.use_public_api(False)  # what the rehearsal is of, whatever the check said
    broken.break_runtime(runtime, case["broken"])
    found["steps"] = []
    for step, reference in enumerate(case["reference"]):
        told: dict[str, Any] = {}
        if step % work.INTERVAL == 0:
            counters.restart()
            runtime.redraw(step)
            told["fold"] = counters.told()
        batch, recorded = work.batch(pool, step), runtime.recorded()
        counters.restart()
        upcoming = work.upcoming(pool, step + 1)
        told["losses"] = work.losses(batch, runtime.probe(step, probing, work.EPS, batch, upcoming), probing)
        runtime.update(step, reference["weighed"], case["rate"])
        told["step"] = counters.told()
        told["recording"] = runtime.recorded() != recorded
        found["steps"].append(told)
    found["recorded"] = runtime.recorded()
    kept = runtime.update_kept()
    found["kept"] = kept and kept.kept
    runtime.score(pool[:3])
    try:
        found["generated"] = runtime.generate([pool[0].prompt], 4)[0]
    except UserError as error:
        found["generated"] = str(error)
    runtime.close()
    return found


def _attention(runtime: Any) -> str:
    """The backends that vLLM chose."""
    return runtime._llm.collective_rpc(
        lambda worker: ", ".join(
            sorted({group.backend.get_name() for groups in worker.model_runner.attn_groups for group in groups})
        )
    )[0]


if __name__ == "__main__":
    main()
