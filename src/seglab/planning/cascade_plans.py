"""When a coarse network goes before a fine one, and what the coarse one sees.

The rule is nnU-Net's (Isensee et al. 2021, https://doi.org/10.1038/s41592-020-01008-z, and its planner): where a patch
covers less than a quarter of the median volume, the voxels of a first stage are made larger by 3% again and again,
along the finest axes first while another is more than twice as coarse, until its patch covers a quarter. A first stage
of more than half as many voxels as the second would see little more, and is left out.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from seglab.planning.budget import Budget
from seglab.planning.choices import Choice
from seglab.planning.fingerprint import Fingerprint
from seglab.planning.plan import Plan, make_plan
from seglab.planning.shape_rules import shapes_at, steps_at

COVERED = 0.25
COARSER = 1.03
STEPS_APART = 2.0
FEWER = 2.0
FIRST_STAGE, SECOND_STAGE = "lowres", "cascade"
MASKS = "masks"
"""Folder of the first stage's masks, in that of its study."""
# Of the full resolution when it is said; a size that is said is that of the patch of both.
OF_THE_SECOND = "data.spacing"


def first_stage(
    fingerprint: Fingerprint, budget: Budget, given: Mapping[str, Any], full: Plan
) -> tuple[Plan | None, str]:
    """The plan of the coarse network that goes before a planned one, or None; and why, in a sentence.

    Args:
        fingerprint, budget, given: as of `coarse_plan`.
        full: the plan at full resolution.
    """
    if full.kind != "volumes":
        return None, ""
    seen = f"a patch covers {100 * full.covered:.3g}% of the median volume"
    if full.covered >= COVERED:
        return None, f"No cascade: {seen}, and a first stage goes before one that covers less than {COVERED:.0%}."
    fine, plan = full.value("data.spacing"), coarse_plan(fingerprint, budget, given, full)
    fewer = _voxels(fingerprint, steps_at(fingerprint, fine)) / _voxels(fingerprint, plan.value("data.spacing"))
    if fewer < FEWER:
        return None, (
            f"No cascade: {seen}, but a first stage that sees {COVERED:.0%} would have only {fewer:.1f} times fewer "
            "voxels, and see little more."
        )
    return plan, (
        f"Here {seen}, less than {COVERED:.0%}: a coarse network for the whole goes before a fine one for the detail, "
        f"planned beside this study; the first stage has {fewer:.0f} times fewer voxels."
    )


def coarse_plan(
    fingerprint: Fingerprint, budget: Budget, given: Mapping[str, Any], full: Plan, epochs: int | None = None
) -> Plan:
    """The plan at the finest spacing at which a patch covers enough of the median volume, whether that pays or not.

    Args:
        fingerprint, budget, epochs: as of `make_plan`.
        given: the user's settings; a spacing among them is that of the full resolution.
        full: the plan at full resolution.
    """
    steps = np.array(steps_at(fingerprint, full.value("data.spacing")))
    others = {key: value for key, value in given.items() if key != OF_THE_SECOND}
    why = f"the finest at which a patch covers {COVERED:.0%} of the median volume: the first stage sees the whole"
    while True:
        apart = steps.max() / steps > STEPS_APART
        steps = np.where(apart, steps * COARSER, steps) if apart.any() else steps * COARSER
        spacing = [float(f"{step:.3g}") for step in steps]
        plan = make_plan(fingerprint, budget, others, None, epochs, (spacing, why))
        if plan.covered >= COVERED:
            return plan


def second_stage(full: Plan, masks: str, first: str) -> Plan:
    """The plan at full resolution, with the masks of the first stage as more channels.

    Args:
        full: the plan without them.
        masks: the folder that `seglab ensemble` will write them to.
        first: the study of the first stage.
    """
    why = f"masks of {first}, each by networks that never saw the case; training gives them flaws of those met later"
    more = Choice("data.previous_stage", masks, why)
    return replace(full, choices=(*full.choices, more), notes=())


def _voxels(fingerprint: Fingerprint, spacing: Sequence[float]) -> float:
    return math.prod(np.median(shapes_at(fingerprint, list(spacing)), axis=0).tolist())
