"""Prompts that the references answered once, and where their answers are kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from seglab.interactive.sam.sam_variants import SamVariant

EXPECTED = Path(__file__).parents[1] / "interactive" / "sam"


@dataclass(frozen=True)
class Case:
    """A prompt on `sam_weights.picture()`, in its pixels."""

    name: str
    points: tuple[tuple[float, float], ...] = ()
    labels: tuple[int, ...] = ()
    box: tuple[float, ...] = ()
    mask: bool = False

    def low(self, variant: SamVariant) -> np.ndarray:
        """Logits of a previous mask as the decoder takes them: patches of noise, `(1, side / 4, side / 4)`."""
        cells = np.random.default_rng(3).normal(0, 3, (1, 8, 8)).astype(np.float32)
        return cells.repeat(variant.mask_side // 8, 1).repeat(variant.mask_side // 8, 2)


CASES = (
    Case("point", ((180, 150),), (1,)),
    Case("points", ((180, 150), (450, 360), (30, 15)), (1, 0, 1)),
    Case("box", box=(120, 90, 360, 300)),
    Case("box and background", ((450, 360),), (0,), (120, 90, 360, 300)),
    Case("point and mask", ((180, 150),), (1,), mask=True),
    Case("mask", mask=True),
)


def expected_of(answers: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What is kept of the answers: some 30 × 30 numbers of each map."""

    def thinned(array: np.ndarray, first: int) -> np.ndarray:
        steps = [slice(None, None, max(1, length // 32)) for length in array.shape[first : first + 2]]
        return np.asarray(array[(slice(None),) * first + tuple(steps)])

    kept = {"embedding": thinned(answers["embedding"], 1)[:, ::2, ::2]}
    for case in CASES:
        kept[f"{case.name}/scores"] = answers[f"{case.name}/scores"]
        for kind in ("logits", "full"):
            kept[f"{case.name}/{kind}"] = thinned(answers[f"{case.name}/{kind}"], 1)
    return kept
