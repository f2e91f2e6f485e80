"""What the reader of a plan must know beside its settings."""

from __future__ import annotations

from collections.abc import Sequence

from seglab.data.preprocessing.spacing import ANISOTROPIC
from seglab.planning.fingerprint import Fingerprint


def notes_of(fingerprint: Fingerprint, kind: str, steps: Sequence[float]) -> list[str]:
    """Shortfalls of a plan, and what its data are like.

    Args:
        fingerprint: of the training cases.
        kind: `volumes`, `slices` or `images`.
        steps: size of a voxel as it sees it.
    """
    notes = []
    if kind == "volumes" and max(steps) >= ANISOTROPIC * min(steps):
        notes.append("Slices are thick: configuration=slices plans a 2D network for them, to compare with.")
    missing = [one.name for one in fingerprint.classes if not one.cases]
    if missing:
        notes.append(f"No training case holds {', '.join(missing)}: it cannot be learnt.")
    if fingerprint.groups < 2:
        notes.append("One case: the score says how well it is memorised, and nothing of another case.")
    small = [one for one in fingerprint.classes if one.extent and min(one.extent) < 3]
    if small:
        names = ", ".join(one.name for one in small)
        notes.append(f"Objects of {names} are about two pixels thin: their Dice is coarse.")
    return notes
