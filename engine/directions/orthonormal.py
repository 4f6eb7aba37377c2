"""Orthonormal bases of Gaussian numbers, for subspaces that are kept for an interval.

A = Q R is the thin QR of a Gaussian (n, r), and Q sign(diag R) is uniform over all orthonormal frames (Haar; Mezzadri,
"How to generate random matrices from the classical compact groups", 2007): the decomposition with a positive diagonal
is unique, so that Q is a function of A and not of an algorithm. ZO-Muon (arXiv 2602.17155) and SubZero+ draw theirs so.

A device gives the same bits again and again. Devices, numbers of threads and releases of LAPACK and cuSOLVER sum up in
orders of their own and so differ in the last bits: of float64, in which the decomposition is done, so that it is seldom
seen in the float32 that it is rounded to. Seldom is not never: unlike what is drawn by counter, a basis is not the same
everywhere.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from engine.errors import UserError


def orthonormalise(views: Sequence[torch.Tensor]) -> None:
    """Each of `views`, (n, r) and float32, <- the Q of its thin QR in which the diagonal of R is not negative.

    Raises `UserError`, before anything is replaced, if one has n < r: so few rows hold no r orthonormal columns.
    """
    lowest = min(views, key=lambda view: view.shape[0] - view.shape[1], default=None)
    if lowest is not None and lowest.shape[0] < lowest.shape[1]:
        n, r = lowest.shape
        raise UserError(
            f"method.rank is {r}, and a matrix of this model has a side of {n}: set method.rank to {n} at most"
        )
    for view in views:  # one by one: what lies beside a matrix does not change its bits
        q, upper = torch.linalg.qr(view.double())
        view.copy_(q.mul_(torch.where(upper.diagonal() < 0, -1.0, 1.0)))
