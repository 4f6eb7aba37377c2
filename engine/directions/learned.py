"""What was learned of all matrices since the last fold: U_acc V^T of each, kept in float32.

Of an adapter it is the adapter itself, which nothing folds: B is learned over V = (alpha / r) A^T, or both factors are,
and every direction then has a V of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from engine.directions.bases import Crossing, LeftBases
from engine.directions.fold import Fold, FoldMode
from engine.directions.kept import Sample
from engine.directions.low_rank import Directions, Drawn, coordinates, directions, views
from engine.directions.space import Space
from engine.directions.staging import Staging
from engine.models.weights import Matrix
from engine.updates.base import Rule, update_of

UPDATE = "update."
"""What the state of the update rule is called in a checkpoint begins so."""

_AHEAD = 2**28  # bytes of directions that may be drawn ahead of their step


def draws_ahead(size: int, queries: int) -> bool:
    """Whether the directions of a next step, of so many numbers each, are held beside those of this one."""
    return 4 * size * queries <= _AHEAD


class LowRank:
    """One matrix's part; its weight itself lives elsewhere.

    Attributes: v, (cols, rank), the basis of the interval; learned, U_acc, (rows, rank), or (rank, rank) of a core;
    fold, which has the residual; sample, which knows how much of the update was kept; left, of a core, P, (rows, rank):
    U is P times what was learned.
    """

    def __init__(
        self,
        matrix: Matrix,
        v: torch.Tensor,
        learned: torch.Tensor,
        fold: Fold,
        sample: Sample,
        left: torch.Tensor | None,
    ) -> None:
        self.matrix, self.v, self.learned, self.fold, self.sample = matrix, v, learned, fold, sample
        self.left = left

    @property
    def u(self) -> torch.Tensor:
        """U_acc, (rows, rank), whatever its coordinates are."""
        return self.learned if self.left is None else self.left @ self.learned

    def begin(self, weight: torch.Tensor) -> None:
        """The weight as it is now is what the update is counted from, unless there is such a one already."""
        if not self.sample.begun:
            with self.fold.at_hand() as residual:
                self.sample.begin(weight, residual)

    def fold_into(self, weight: torch.Tensor, step: int) -> None:
        """weight <- weight + U_acc V^T, in its precision. `step` is the next to be taken."""
        with self.fold.at_hand() as residual:
            self.sample.begin(weight, residual)
            u = self.u
            self.fold.add(weight, residual, u, self.v, step)
            self.sample.folded(u, self.v, weight, residual)


class Learned:
    """V and U_acc of all matrices, and the directions of a step, each in one flat tensor: few kernels do a step.

    Attributes: directions, where U and V come from; v, learned, flat, float32; states, each matrix's views of them;
    dirty, whether anything was learned since the last fold; update, the rule by which it is; a, of an adapter, A^T of
    all matrices, flat, without the scale, a part of `learned` where it moves; left, of a core, P of all matrices.
    """

    def __init__(
        self,
        matrices: Sequence[Matrix],
        space: Space,
        seed: int,
        device: torch.device,
        fold: FoldMode,
        drawn: Drawn,
        rule: Rule = Rule(),
        at_once: int = 1,
        ahead: bool = True,
    ) -> None:
        """`at_once`: how many directions are in use at once; `ahead`: whether the next step's are drawn early."""
        self._space, self._rule = space, rule
        self.directions: Directions = directions(drawn, matrices, space, seed, device)
        self._shapes = shapes = coordinates(matrices, space)
        size = sum(rows * rank for rows, rank in shapes)
        self.v = torch.zeros(space.rank * sum(matrix.cols for matrix in matrices), device=device)
        self.learned = torch.zeros(size, device=device)
        self.dirty = False
        self.update = update_of(rule, shapes, device)
        self._drawn_at: int | None = None  # the step at which V was drawn
        # Twice as many as are in use, so that the next step's are drawn while this one's are.
        self._can_draw_ahead = ahead and draws_ahead(size, at_once)
        self._u = torch.empty(at_once * (2 if self._can_draw_ahead else 1), size, device=device)
        self._drawn: list[tuple[int, int] | None] = [None] * len(self._u)  # (step, query) of each
        self.a: torch.Tensor | None = None
        if space.basis == "adapter":
            self.a = self.learned[-len(self.v) :] if space.own_a else torch.empty_like(self.v)
        self._is_bent = [False] * len(self._u)
        self._staging = staging = Staging(matrices, device) if fold == "host-residual" else None
        self.left = LeftBases(matrices, space, seed, device) if space.coordinates == "core" else None
        self._v_of = views(self.v, matrices, "cols")
        self.states = [
            LowRank(
                matrix,
                self._v_of[index],
                part,
                Fold(matrix, fold, seed, device, drawn, staging),
                Sample(matrix, space.rank, seed, device, len(matrices) if space.moves_weights else 0),
                self.left.of_matrix[index] if self.left else None,
            )
            for index, (matrix, part) in enumerate(zip(matrices, self.by_matrix(self.learned), strict=False))
        ]

        if self.a is not None:  # once and for all, so that it is what is saved before the first step, too
            self.draw_basis(0)

    @property
    def drawn_at(self) -> int | None:
        """The step at which V was drawn; None before it was."""
        return self._drawn_at

    def follow(self, source: Directions) -> None:
        """From now on, directions come from another source."""
        self.directions = source
        self._drawn_at, self._drawn = None, [None] * len(self._u)

    def redraw(self, step: int) -> None:
        """Draw the V of the interval that begins at `step`, once. Fold first."""
        if step == self._drawn_at or (self._drawn_at is not None and not self._space.redrawn):
            return
        crossing = None
        if self._rule.carry == "project" and self._drawn_at is not None:
            crossing = Crossing(self._space, self._shapes, self._v_of, self.left)
        self.draw_basis(step)
        self.update.redraw(crossing)

    def draw_basis(self, step: int) -> None:
        """The same of an interval that had begun before the state of the update rule was saved."""
        if self.a is None:
            self.directions.v_into(self.v, step)
        else:
            self.directions.v_into(self.a, step)
            self.changed()
        if self.left is not None:
            self.left.draw(step)
        self._drawn_at = step

    def resume(self, step: int, state: Mapping[str, torch.Tensor]) -> None:
        """An interval began at `step`, and right after that the update rule's state was this."""
        self.draw_basis(step)
        self.update.restore(state)

    def direction(self, step: int, query: int, keep: Sequence[tuple[int, int]] = ()) -> torch.Tensor:
        """All U of one direction of one step, flat; drawn unless they still are. Those of `keep` are not overwritten.

        Of a core its coordinates, as `learned` has them; `lifted` makes U of either.
        """
        return self._bent(self._place(step, query, keep))

    def _place(self, step: int, query: int, keep: Sequence[tuple[int, int]]) -> int:
        """Where a direction is, as it was drawn or bent."""
        wanted = (step, query)
        if wanted in self._drawn:
            return self._drawn.index(wanted)
        place = next(index for index, held in enumerate(self._drawn) if held not in keep)
        self._drawn[place] = None
        self._is_bent[place] = False
        self.directions.u_into(self._u[place], step, query)
        self._drawn[place] = wanted
        return place

    def _bent(self, place: int) -> torch.Tensor:
        """What is there, as the update rule will have it: once, for a step changes what that is."""
        if not self._is_bent[place]:
            self.update.bend(self._u[place])
            self._is_bent[place] = True
        return self._u[place]

    def draw(self, step: int, query: int) -> torch.Tensor:
        """The same, drawn anew in any case."""
        self._drawn = [None] * len(self._u)
        return self.direction(step, query)

    def draw_ahead(self, step: int, queries: Sequence[int], in_use: Sequence[tuple[int, int]]) -> None:
        """Draw directions that a later step will ask for, without losing those in use."""
        if self._can_draw_ahead:
            keep = [*in_use, *((step, query) for query in queries)]
            for query in queries:
                self._place(step, query, keep)

    def changed(self) -> None:
        """A of an adapter was drawn, loaded or moved: V is what it says."""
        assert self.a is not None
        torch.mul(self.a, self._space.scale, out=self.v)

    def right(self, coordinates: torch.Tensor) -> torch.Tensor:
        """V of all matrices, flat, at these coordinates: that of the interval, or, where it is among them, theirs.

        The latter is in the place of the one that was asked for before.
        """
        if self._space.own_a:
            torch.mul(coordinates[-len(self.v) :], self._space.scale, out=self.v)
        return self.v

    def lifted(self, coordinates: torch.Tensor) -> torch.Tensor:
        """U of all matrices, flat, from their coordinates: those themselves, but for a core."""
        if self._space.own_a:
            return coordinates[: -len(self.v)]
        if self.left is None:
            return coordinates
        u = torch.empty_like(self.left.flat)
        u_of = views(u, [state.matrix for state in self.states], "rows")
        for left, part, out in zip(self.left.of_matrix, self.by_matrix(coordinates), u_of, strict=True):
            torch.mm(left, part, out=out)
        return u

    def learn(self, step: int, gradients: Sequence[float], lr: float) -> None:
        """Move U_acc by the update rule, with the mean of gradients[d] U(step, d) as its estimate."""
        self.update.step(gradients, lambda query: self.direction(step, query), lr, self.learned)
        self.dirty = self.dirty or any(gradients) or self._rule.name != "sgd"
        if self._space.own_a:
            self.changed()

    def folded(self) -> None:
        """What was learned is in the weights: U_acc starts anew."""
        self.learned.zero_()
        self.dirty = False

    def by_matrix(self, coordinates: torch.Tensor) -> list[torch.Tensor]:
        """Those of each matrix, shaped as they are drawn, within a flat tensor of all."""
        parts = coordinates.split([rows * rank for rows, rank in self._shapes])
        return [part.view(shape) for part, shape in zip(parts, self._shapes, strict=True)]

    def settle(self) -> None:
        """Residuals are about to be read, or were written: those in the host's memory are as they are."""
        if self._staging is not None:
            self._staging.settle()

    def restart(self) -> None:
        """The weights, and their residuals if there are any, were loaded: forget what was learned before.

        `resume` then loads the state of the update rule.
        """
        self.settle()
        self.folded()
        self.update.restore({})
        self._drawn = [None] * len(self._u)  # they may be bent by what is forgotten
        self._drawn_at = None
        for state in self.states:
            state.sample.restart()


def update_state(file: Any) -> dict[str, torch.Tensor]:
    """The state of the update rule in an open safetensors file."""
    return {name.removeprefix(UPDATE): file.get_tensor(name) for name in file.keys() if name.startswith(UPDATE)}  # noqa: SIM118
