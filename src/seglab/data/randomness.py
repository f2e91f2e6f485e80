"""Random streams named by what they are for, so that no worker, order or restart can change them."""

from __future__ import annotations

import hashlib

import numpy as np


def generator(seed: int, *path: int | str) -> np.random.Generator:
    """A generator of its own for each `(seed, *path)`; words count by their SHA-256.

    For example `generator(seed, epoch)` orders the cases of an epoch and `generator(seed, epoch, case_id, draw)`
    augments one sample. Philox is a counter-based generator that costs microseconds to set up (Salmon et al., 2011).
    """
    key = tuple(part if isinstance(part, int) else _number(part) for part in path)
    return np.random.Generator(np.random.Philox(np.random.SeedSequence(seed, spawn_key=key)))


def _number(word: str) -> int:
    return int.from_bytes(hashlib.sha256(word.encode()).digest()[:8], "little")
