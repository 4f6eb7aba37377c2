"""LoZO: low-rank zeroth-order optimisation (arXiv 2410.07698), by forward passes alone.

Z_i = U_i V^T,  g_i = (L(W + eps Z_i) - L(W - eps Z_i)) / (2 eps),  W <- W - (lr / q) sum_i g_i Z_i
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from engine.errors import NotFinite, RunFailed
from engine.preset.method import Method
from engine.protocol.events import Step
from engine.runtimes.base import Runtime, Upcoming
from engine.tasks import objective
from engine.tasks.example import Example

# float32 ends at 3.4e38, and an entry of U, which a coefficient is multiplied by, stays below ten.
_LARGEST_COEFFICIENT = 1e37


class Lozo:
    """Drives a runtime, step by step; keeps no state of its own."""

    def __init__(self, method: Method, steps: int, task_objective: objective.Objective) -> None:
        self.method = method
        self._steps = steps
        self._objective = task_objective

    def lr(self, step: int) -> float:
        """Learning rate of `step`; linear goes from lr at step 0 down to lr / steps at the last."""
        if self.method.schedule == "constant":
            return self.method.lr
        return self.method.lr * (self._steps - step) / self._steps

    def step(
        self, runtime: Runtime, step: int, batch: Sequence[Example], upcoming: Sequence[Example] | None = None
    ) -> Step:
        """One step; `upcoming` is the batch of the next. Raises `NotFinite` before the update if a loss, a
        gradient or the update itself is not finite; `Runtime.abandon_probe` is then due.
        """
        if step % self.method.interval == 0:
            runtime.redraw(step)
        plus, minus, tokens = [], [], 0
        later = Upcoming(step + 1, upcoming) if upcoming is not None else None
        for probe in runtime.probe(step, self.method.queries, self.method.eps, batch, later):
            plus.append(objective.loss(self._objective, batch, probe.plus))
            minus.append(objective.loss(self._objective, batch, probe.minus))
            tokens += probe.tokens
        gradients = tuple((p - m) / (2 * self.method.eps) for p, m in zip(plus, minus, strict=True))
        lr, queries = self.lr(step), self.method.queries
        self._check(step, plus, minus, gradients, lr)
        self._update(runtime, step, gradients, lr)
        loss_plus, loss_minus = math.fsum(plus) / queries, math.fsum(minus) / queries
        return Step(
            step=step,
            loss=(loss_plus + loss_minus) / 2,
            loss_plus=loss_plus,
            loss_minus=loss_minus,
            projected_grad=math.fsum(gradients) / queries,
            lr=lr,
            eps=self.method.eps,
            gradients=gradients if queries > 1 else (),
            tokens=tokens,
        )

    def replay(self, runtime: Runtime, taken: Step) -> None:
        """Do a step of the journal again from its scalars; nothing is scored. Raises `RunFailed` if one is missing."""
        gradients = taken.gradients or (taken.projected_grad,)
        if not all(map(math.isfinite, [*gradients, taken.lr, taken.eps])):
            raise RunFailed(f"step {taken.step} of the journal does not tell what is needed to do it again")
        if taken.step % self.method.interval == 0:
            runtime.redraw(taken.step)
        for query in range(len(gradients)):
            runtime.replay_probe(taken.step, query, taken.eps)
        self._update(runtime, taken.step, gradients, taken.lr)

    def _check(
        self, step: int, plus: Sequence[float], minus: Sequence[float], gradients: Sequence[float], lr: float
    ) -> None:
        """Raise `NotFinite` unless the update that these losses ask for is made of finite numbers."""
        lower_eps = f"a smaller method.eps (now {self.method.eps:g})"
        lower_lr = f"a lower method.lr (now {self.method.lr:g})"
        bad = [pair for pair in zip(plus, minus, strict=True) if not all(map(math.isfinite, pair))]
        if bad:
            found = f"the loss of step {step} is not a finite number (L+ {bad[0][0]:.4g}, L- {bad[0][1]:.4g})"
            # Before the first update the weights are the model's own: only the perturbation can be too large.
            remedies = [lower_eps, "model.dtype=float32"] + ([lower_lr] if step else [])
        elif not all(abs(lr * gradient) <= _LARGEST_COEFFICIENT for gradient in gradients):
            found = f"the update of step {step} is too large for a number (projected gradient {gradients[0]:.4g})"
            remedies = [lower_lr]
        else:
            return
        raise NotFinite(f"{found}; nothing of it reached the weights; try {' or '.join(remedies)} in a new run")

    def _update(self, runtime: Runtime, step: int, gradients: Sequence[float], lr: float) -> None:
        runtime.update(step, [lr * gradient / len(gradients) for gradient in gradients])
