"""What was learned as an adapter: of low-rank directions all of it, or the most of it; one that was trained as it is.

Low-rank directions learn a sum of terms, an interval each (`engine.export.terms`): an adapter of the rank of them all
holds it exactly, one of a smaller rank the most of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from engine.directions.space import begins_interval
from engine.errors import UserError
from engine.export.merged import check_free
from engine.export.progress import say
from engine.export.served import SERVED_RANKS, serve_adapter
from engine.export.which import Chosen, is_adapter
from engine.preset.schema import BUILTIN_DEMO
from engine.runs.directory import RunDir

if TYPE_CHECKING:
    from engine.models.weights import Matrix

_MERGED = "use --format merged"


def export_adapter(run: RunDir, target: Path, rank: int | None = None, step: str = "last") -> int:
    """Write an adapter into `target`; returns the number of steps in it.

    `rank`: to which it is cut down; None: all of it. `step`: which state, as `engine.export.which` has it. Raises
    `UserError`, `OSError`, and leaves nothing behind.
    """
    check_free(target)
    chosen = Chosen(run, step)
    check_method(chosen, rank)

    from engine.directions import adapter as trained
    from engine.export.card import Exported, write_card
    from engine.export.folder import written_aside
    from engine.export.lora import Adapter, of_sum, write_adapter
    from engine.export.measured import Comparison
    from engine.export.rebuild import base_loop, take_steps
    from engine.export.terms import Terms
    from engine.models.facts import read_model
    from engine.preflight.identity import model_of

    path = model_of(run, lambda level, text: say(f"{level}: {text}"))
    wanted, trust = chosen.wanted, chosen.wanted.model.trust_remote_code
    scope, experts = wanted.method.scope, run.info.read().experts
    check_matrices(chosen, rank, read_model(path, trust_remote_code=trust, experts=experts, scope=scope).matrices)
    was = run.info.read().started_on
    if is_adapter(wanted):
        loop = base_loop(chosen, path)
        take_steps(loop, chosen)
        found = Adapter(trained.tensors(loop.learned), loop.matrices(), wanted.method.rank, wanted.method.alpha)
        notes = [f"the adapter as it was trained: rank {found.rank}, alpha {found.alpha:g}"]
    else:
        terms = Terms()
        loop = base_loop(chosen, path, terms)
        take_steps(loop, chosen)
        loop.merge()
        learned = rank_of(chosen)
        found = of_sum(terms, None if rank is None or rank >= terms.rank else rank)
        comparison = Comparison(chosen, path, loop)
        del loop  # there need not be room for two models
        notes = [
            f"rank {found.rank} of the {learned} that was learned: {found.kept:.2%} of its energy",
            *comparison.with_adapter(found),
        ]
    base = path if wanted.model.path == BUILTIN_DEMO else wanted.model.path
    with written_aside(target) as folder:
        write_adapter(folder, found, base, was.revision if was else None)
        write_card(chosen, Exported(target.name, found.rank, notes), folder)
    for note in notes:
        say(note)
    say(f"serve it: {serve_adapter(target, base, run.name, found.rank, code=trust)}")
    return chosen.done


def check_method(chosen: Chosen, rank: int | None) -> None:
    """Raise `UserError` where the method has no adapter, or `rank` is none that is served."""
    if chosen.wanted.method.direction == "dense":
        raise UserError(
            f"--format adapter: {chosen.wanted.method.name} moves every weight by itself, which no adapter of a low "
            f"rank can hold; {_MERGED}"
        )
    if rank is not None and not 1 <= rank <= SERVED_RANKS[-1]:
        raise UserError(f"--rank {rank}: is 1 to {SERVED_RANKS[-1]}, the most that vLLM serves")


def check_matrices(chosen: Chosen, rank: int | None, matrices: Sequence[Matrix]) -> None:
    """Raise `UserError` where no adapter can hold what these matrices have learned, before their weights are loaded."""
    from engine.models.experts import of_expert

    method = chosen.wanted.method
    if any(of_expert(matrix.name) for matrix in matrices):
        raise UserError(f"--format adapter: experts of a mixture moved, for which peft has no such adapter; {_MERGED}")
    if is_adapter(chosen.wanted):
        if rank not in (None, method.rank):
            raise UserError(f"--rank {rank}: this adapter was trained with rank {method.rank}; leave --rank out")
        return
    if rank is not None:
        return
    of_all, intervals = rank_of(chosen), intervals_of(chosen)
    narrow = min(matrices, key=lambda matrix: min(matrix.rows, matrix.cols))
    side = min(narrow.rows, narrow.cols)
    if of_all > min(side, SERVED_RANKS[-1]):
        why = f"{narrow.name} has {side}" if side < SERVED_RANKS[-1] else f"vLLM serves up to {SERVED_RANKS[-1]}"
        raise UserError(
            f"--format adapter: {intervals:,} intervals of rank {method.rank} make {of_all:,}, and {why}; "
            f"cut it down with --rank {min(64, side)}, or {_MERGED}"
        )


def intervals_of(chosen: Chosen) -> int:
    """How many bases what was learned lies on."""
    method = chosen.wanted.method
    return sum(begins_interval(method, one.step) or one.returned_to is not None for one in chosen.led_here)


def rank_of(chosen: Chosen) -> int:
    """The rank of all of what was learned."""
    return chosen.wanted.method.rank * (1 if is_adapter(chosen.wanted) else intervals_of(chosen))
