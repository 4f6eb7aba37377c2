"""How the official trainers draw, probe and update, flaws included; for the replay of recorded trajectories only.

Implemented from the formulas, which a recording's own losses hold to account. Nothing here is a method of ours: where
official code departs from its paper our methods (`engine/methods/`) follow the paper, and the replay follows the code.

A file for each trainer takes one step at a time. A pass over the parameters (every perturbation, every update) starts
from the step's seed, or the query's, and draws in the order of `parameters`. Biases and layer norms do not decay, told
by their names in lower case, so that RoBERTa's `LayerNorm.weight` does.

| family | the official code departs from its paper | the replay emulates it |
|---|---|---|
| lozo | the update draws U without V first, so that where an interval begins it applies what was not probed; U V^T is not divided by the rank | by a pass of its own for the update (APPLIED in `engine/directions/official.py`) |
| mezo | nothing; factors A and B move at once, so that a probe of an adapter is not linear in its step | by moving the factors, and making the weight of them anew for each score |
| lozo-m | as lozo, and the momentum keeps what was not probed; the first M, and every M with interval 1, is g U without 1 - beta | with the same pass, and a V_old that is kept at the end of an interval alone |
| fzoo | the spread is over N, not N - 1, with no guard against 0; no eps in the step, no decay, no schedule | in `weighted`, 0 / 0 included; a recording with decay is refused |
| zo-muon | one-sided, where an interval begins, every query probes in a subspace of its own and all are lifted by the last one's; vectors move at 1e-7 whatever the rate | by bases that every probing pass draws anew and the update takes as they were left; at `lr_vectors` |
| hizoo | the applied direction has the new H, the probed one the old; biases and norms decay as well | in the order of the update; by no look at names |
| p-rge | the next seed comes from the generator that a step's draws left, so that seeds run in circles | by taking the recorded seeds as they are |
| conmezo | the norm of the momentum is an expectation from the last estimate, never measured, and drifts; the beta of a step is from before it | by that expectation, and the recorded beta of each step |

What the official code does to schedules (ZO-Muon, FZOO and ConMeZO ignore them, HiZOO counts epochs for steps, LoZO-M takes
a step more at rate 0) is in a recording's rates, which are taken as they are. A matrix of fewer rows than ZO-Muon's rank,
on which the official code fails, is refused. ConMeZO's momentum, which there is got back by a subtraction, is kept here:
they differ by rounding.
"""  # noqa: E501
