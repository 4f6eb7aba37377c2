"""Combinations of the pieces that make no sense, each with the reason and what to write instead."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Protocol

from engine.methods.catalogue import METHODS


class Chosen(Protocol):
    """The keys of `[method]` that bear on each other."""

    @property
    def name(self) -> str: ...
    @property
    def direction(self) -> str: ...
    @property
    def scope(self) -> str: ...
    @property
    def law(self) -> str: ...
    @property
    def normalise(self) -> str: ...
    @property
    def interval(self) -> int: ...
    @property
    def queries(self) -> int: ...
    @property
    def shards(self) -> int | str: ...
    @property
    def weights(self) -> str: ...
    @property
    def update(self) -> str: ...
    @property
    def momentum(self) -> float: ...
    @property
    def carry(self) -> str: ...


_SCOPES = {
    "low-rank": ("linear",),
    "subspace": ("linear",),
    "core": ("linear",),
    "adapter": ("adapter",),
    "dense": ("linear", "all"),
}


def refuse_nonsense(method: Chosen) -> None:
    """Raise `ValueError`, with the first reason, if these pieces do not go together."""
    for reason in _reasons(method):
        raise ValueError(reason)


def _reasons(method: Chosen) -> Iterator[str]:
    page = METHODS[method.name]
    for key in page.fixed:
        wanted, given = page.brings.get(key, _PLAIN.get(key)), getattr(method, key)
        if given != wanted:
            yield f"{method.name} has {key} = {wanted!r}, not {given!r}: leave {key} out, or choose another name"
    scopes = _SCOPES[method.direction]
    if method.scope not in scopes:
        yield (
            f"directions that are {method.direction} move the scope {' or '.join(scopes)}, not {method.scope}; "
            f"set scope = {scopes[0]!r}" + ("" if method.scope != "all" else ", or direction = 'dense'")
        )
    # Examples are as many as a batch has, which the preset as a whole knows.
    directions = math.inf if isinstance(method.shards, str) else method.queries * method.shards
    if method.direction == "dense" and method.shards != 1:
        yield (
            "shards score each part of the batch at weights of its own, which slots can and dense directions cannot, "
            "they move the weights themselves; leave shards out, or choose a low-rank direction"
        )
    if method.direction == "dense" and method.update != "sgd":
        yield (
            f"{method.update} would keep a number for every parameter of the model beside a dense direction; "
            "leave update out, or choose a low-rank direction"
        )
    if method.update in ("msign", "adam") and method.direction not in ("subspace", "core"):
        yield (
            f"{method.update} works on coordinates over an orthonormal basis that its directions share; "
            "set direction = 'subspace' or 'core'"
        )
    if method.update == "adam" and directions < 2:
        yield (
            "update = 'adam' takes of a single direction the sign of each entry and forgets the losses; "
            "set queries or shards to more, or update = 'adam-scalar'"
        )
    if method.weights != "plain" and directions < 3:
        yield (
            f"weights = {method.weights!r} compares the directions of a step, of which there are {directions}; "
            "set queries or shards to 3 or more"
        )
    remembers = method.update != "sgd" and not (method.update == "msign" and method.momentum == 0)
    if remembers and method.interval == 1 and method.carry == "drop" and method.direction != "adapter":
        yield (
            f"{method.update} would forget at every step what it remembers, for interval = 1 redraws the basis and "
            "carry = 'drop' starts anew; set carry = 'project', or a longer interval"
        )
    if method.update == "msign" and method.weights == "spread" and method.momentum == 0:
        yield "the step of msign has the same size whatever the estimate is divided by; leave weights out"
    if method.law == "rademacher" and method.direction != "low-rank":
        yield f"directions that are {method.direction} are not made of signs; leave law out"
    if method.normalise == "rms" and method.direction != "low-rank":
        yield f"directions that are {method.direction} have a size of their own; leave normalise out"


_PLAIN = {"sides": "two", "update": "sgd", "scope": "linear", "weights": "plain", "law": "gaussian", "radius": "fixed"}
"""What the keys are where a page does not bring them."""
