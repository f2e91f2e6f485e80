"""How far apart the voxels of a NRRD lie by what its header says of each axis, of which ITK reads `spacings` alone.

After https://teem.sourceforge.net/nrrd/format.html: the step along an axis is its `spacings`, or what `axis mins` and
`axis maxs` leave for each of its samples, which fill it (cell) or end at its ends (node).
"""

from __future__ import annotations

import math
import re

from seglab.errors import DataError

# Names of fields are read in any case.
_FIELD = r"(?im)^(?:{names}):\s*(.*?)\s*$"
_VECTOR = re.compile(r"\([^)]*\)|none", re.I)
# Kinds of axes along which voxels lie; those of every other kind are channels.
_SPATIAL = {"domain", "space", "time", "???", "none"}


def field(head: str, *names: str) -> str:
    """What a header says in the field that has one of these names; empty where it has none."""
    found = re.search(_FIELD.format(names="|".join(names)), head)
    return found[1] if found else ""


def spatial_axes(head: str) -> list[int]:
    """Numbers of the axes along which voxels lie, at most three: all but those that `kinds` says are channels."""
    kinds = field(head, "kinds").lower().split()
    count = len(field(head, "sizes").split())
    return [k for k in range(count) if k >= len(kinds) or kinds[k] in _SPATIAL][:3]


def named_steps(head: str, path: str) -> list[float] | None:
    """From voxel to voxel along the spatial axes, in the unit of the header; empty where it says nothing of them, None
    where it gives directions, which ITK reads.

    Raises:
        DataError: steps that are known along some axes only.
    """
    axes = spatial_axes(head)
    directions = _VECTOR.findall(field(head, "space directions"))
    if directions:
        _all_known({k: None if k >= len(directions) or directions[k][0] != "(" else 1.0 for k in axes}, path)
        return None
    sizes, spacings = _numbers(head, "sizes"), _numbers(head, "spacings")
    lows, highs = _numbers(head, "axis ?mins"), _numbers(head, "axis ?maxs")
    centers = field(head, "centers", "centerings").lower().split()
    found = {}
    for k in axes:
        steps = sizes[k] - (centers[k : k + 1] == ["node"])
        of_ends = (highs.get(k, math.nan) - lows.get(k, math.nan)) / steps if steps else math.nan
        step = spacings.get(k, math.nan)
        step = of_ends if math.isnan(step) else step
        found[k] = None if math.isnan(step) else step
    return [] if set(found.values()) == {None} else _all_known(found, path)


def _numbers(head: str, name: str) -> dict[int, float]:
    """By number of the axis; what is no number is left out."""
    found = {}
    for k, word in enumerate(field(head, name).split()):
        try:
            found[k] = float(word)
        except ValueError:
            continue
    return found


def _all_known(steps: dict[int, float | None], path: str) -> list[float]:
    known = [step for step in steps.values() if step is not None]
    if len(known) == len(steps):
        return known
    raise DataError(
        "sizes of voxels that are known along some axes only",
        code="volume-position-unknown",
        finding="grid-mismatch",
        where=path,
        found=", ".join(f"axis {k + 1}: {'none' if step is None else 'known'}" for k, step in steps.items()),
        expected="all three, as space directions, spacings, or axis mins and axis maxs",
        remedy="write them into its header: spacings: <first> <second> <third>; and where an axis holds channels, "
        "say so: kinds: domain domain domain vector",
    )
