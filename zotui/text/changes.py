"""A change of what is in force in a run, in words."""

from __future__ import annotations

from engine.protocol.events import Changed
from zotui.text import numbers


def change(before: Changed | None, now: Changed) -> str:
    """What is other than before, from what to what: `lr 1e-06 → 5e-07  eval every 50 → never`.

    All that is in force, where nothing is known of before; so, too, where nothing is other.
    """
    told, known = _figures(now), _figures(before) if before else {}
    changed = [f"{name} {known[name]} → {figure}" for name, figure in told.items() if known.get(name, figure) != figure]
    return "  ".join(changed or [f"{name} {figure}" for name, figure in told.items()])


def _figures(one: Changed) -> dict[str, str]:
    return {
        "lr": numbers.significant(one.lr),
        "eps": numbers.significant(one.eps),
        "eval every": numbers.count(one.eval_every) if one.eval_every else "never",
    }
