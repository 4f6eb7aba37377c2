"""How the official trainers draw, probe and update, flaws included; for the replay of recorded trajectories only.

Implemented from the formulas, which a recording's own losses hold to account. Nothing here is a method of ours: where
official code departs from its paper our methods follow the paper (`engine/methods/`), and the replay follows the code.

A file for each trainer takes one step at a time. A pass over the parameters (every perturbation, every update) starts
from the step's seed, or the query's, and draws in the order of `parameters`; biases and layer norms do not decay,
found by their names in lower case (RoBERTa's `LayerNorm.weight` decays).

| family | where the official code departs from its paper | where it is emulated |
|---|---|---|
| lozo | the update draws U without V first: on steps that begin an interval it applies what was not probed; U V^T is not divided by the rank | `lozo.py`, `engine/directions/official.py` |
| mezo | nothing; with an adapter, A and B move at once, so that a probe is not linear in its step | `mezo.py` |
| lozo-m | as lozo, and the momentum keeps the direction that was not probed; the first M, and with interval 1 every M, is g U without 1 - beta; V_old is kept at the end of an interval, so with interval 1 never | `lozo_m.py` |
| fzoo | divided by the spread over N instead of N - 1, without a guard for none; eps is not in the step; no weight decay, no schedule | `fzoo.py` |
| zo-muon | one-sided, on steps that begin an interval every query probes in a subspace of its own, and all are lifted by the last one's; vectors move at 1e-7 whatever the rate | `zo_muon.py` |
| hizoo | the applied direction has the new H, the probed one the old; biases and norms decay too | `hizoo.py` |
| p-rge | a step's seed is drawn from the generator that the step before left behind, so that seeds recur (recorded seeds are used as they are) | `p_rge.py` |
| conmezo | the norm of the momentum is an expectation made of the last estimate, never measured, and drifts; beta acts a step late | `conmezo.py` |

Lost in float32 rounding, and left out: lozo-m's product M V_old^T V is formed dense (kept so here too), ConMeZO gets its
momentum back by subtraction (not here).
"""  # noqa: E501
