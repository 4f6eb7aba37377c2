"""The tuned model, as a folder that transformers loads."""

from __future__ import annotations

from pathlib import Path

from engine.errors import UserError
from engine.export.progress import say
from engine.export.served import serve_model
from engine.export.which import Chosen
from engine.runs.directory import RunDir


def export_merged(run: RunDir, target: Path, dtype: str | None = None, step: str = "last") -> int:
    """Write the tuned model into `target`; returns the number of steps in it.

    Its weights are in `dtype`; where that is None, in the base model's own. `step`: which state, as
    `engine.export.which` has it. Raises `UserError`, `OSError`, and leaves nothing behind.
    """
    check_free(target)
    chosen = Chosen(run, step)

    from engine.export.card import Exported, write_card
    from engine.export.folder import carry_along, write_config, write_weights, written_aside
    from engine.export.kept import Rounding
    from engine.export.rebuild import base_loop, take_steps
    from engine.models.facts import dtype_of
    from engine.models.headers import own_precision
    from engine.models.suitable import check_folder
    from engine.models.weights import read_pickles
    from engine.preflight.identity import model_of

    path = model_of(run, lambda level, text: say(f"{level}: {text}"))
    loop = base_loop(chosen, path)
    rounding = Rounding(loop.model)
    take_steps(loop, chosen)
    loop.merge()
    base = Path(path)
    headers = check_folder(path) or read_pickles(base)
    exact = loop.model.dtype  # float32 where an adapter was merged, whatever the run was in
    own = headers if dtype is None else None
    main, why = (
        (own_precision(headers), "the model's own precision") if dtype is None else (dtype_of(dtype), "as asked")
    )
    keeps = ""
    if main.itemsize < exact.itemsize and (kept := rounding.kept(main)) is not None:
        whole = str(exact).removeprefix("torch.")
        keeps = f"; rounding keeps {kept:.0%} of the update, --dtype {whole} all of it"
    note = f"written in {str(main).removeprefix('torch.')}, {why}{keeps}"
    say(note)
    with written_aside(target) as folder:
        carry_along(base, folder, say)
        write_config(base, folder, main, type(loop.model).__name__)
        write_weights(loop.model, folder, main, own)
        write_card(chosen, Exported(target.name, None, [note]), folder)
    say(f"serve it: {serve_model(target, code=chosen.wanted.model.trust_remote_code)}")
    return chosen.done


def check_free(target: Path) -> None:
    """Raise `UserError` where something is there already."""
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise UserError(f"{target}: is not an empty folder; give --to a new one")
