"""Generators of random numbers that are a function of (seed, step, query, parameter name), and of nothing else."""

from __future__ import annotations

import hashlib

import torch


def keyed_generator(key: str, device: torch.device) -> torch.Generator:
    """A generator that is a function of `key` and of the kind of device, and of nothing else."""
    # A cryptographic hash, so that neighbouring steps and names share nothing.
    digest = hashlib.blake2b(key.encode(), digest_size=8).digest()
    return torch.Generator(device).manual_seed(int.from_bytes(digest, "little") >> 1)
