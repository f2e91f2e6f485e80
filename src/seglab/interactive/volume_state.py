"""What is kept of each step of a session on a volume, packed."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from seglab.interactive.click_guard import Verdict
from seglab.interactive.prompt import Bools, Logits, Prompt
from seglab.interactive.session import whole_logits


@dataclass(frozen=True)
class Prompted:
    """A slice that a user prompted: what was said, the logits that it began with, if any, and those that came of it."""

    prompt: Prompt
    began: bytes | None
    logits: bytes


@dataclass(frozen=True)
class VolumeState:
    """What is kept of a step.

    Attributes:
        axis: that slices are cut across.
        index: the slice that was prompted in this step.
        prompted: every slice that was, by its index.
        mask: of the volume, packed.
        score, scores, chosen, verdict: of this step's slice, as of `seglab.interactive.session.Reply`.
        taken: how many prompts the mask took, this one included.
    """

    axis: int
    index: int
    prompted: Mapping[int, Prompted]
    mask: bytes
    score: float
    scores: tuple[float, ...]
    chosen: int
    verdict: Verdict
    taken: int

    @property
    def prompt(self) -> Prompt:
        """Of this step's slice."""
        return self.prompted[self.index].prompt

    @property
    def bytes(self) -> int:
        """Memory that it takes, at most: steps share slices."""
        return len(self.mask) + len(self.prompted[self.index].logits)


def packed(mask: Bools) -> bytes:
    """A mask in a bit a voxel and less."""
    return zlib.compress(np.packbits(mask).tobytes(), 1)


def unpacked(content: bytes, shape: tuple[int, ...]) -> Bools:
    """The inverse of `packed`."""
    bits = np.unpackbits(np.frombuffer(zlib.decompress(content), np.uint8), count=int(np.prod(shape)))
    return bits.reshape(shape).astype(bool)


def packed_logits(logits: Logits | None) -> bytes | None:
    """Logits as `seglab.interactive.session.logits_of` reads them; None of none."""
    return None if logits is None else zlib.compress(whole_logits(logits).tobytes(), 1)
