"""A target's scores on whole cases beside the reference's, and whether the difference is small enough to be let out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from seglab.export.examining import CaseComparison
from seglab.export.export_targets import ExportRefused, Target
from seglab.metrics.confusion import overlaps, sizes
from seglab.statistics.intervals import mean_interval
from seglab.task import Task

# Of float32: a logit's difference, the share of equal labels, the margin of a pixel whose label differs, the Dice.
LOGIT, AGREEMENT, MARGIN, DICE = 1e-4, 0.9999, 1e-3, 1e-4
# Where a logit differs by more, how often as far from the exact one as the trained model itself is in float32.
ROUNDING = 4.0
# Of int8: how much Dice may be lost, as a mean over the classes and of one class.
DROP, CLASS_DROP = 0.005, 0.01
# Of masks of a graph that resizes by itself.
RESIZED_AGREEMENT = 0.999


@dataclass(frozen=True)
class AccuracyLimits:
    """What a target may differ by.

    Attributes:
        logit, agreement, margin: see the module; None where logits are not compared.
        mask_agreement: share of equal pixels of the masks, at least; None for any.
        drop, class_drop: Dice lost, at most.
        allowed: whether the user has let more through than is the rule.
    """

    logit: float | None
    agreement: float | None
    margin: float | None
    mask_agreement: float | None
    drop: float
    class_drop: float
    allowed: bool = False


def limits_of(target: Target, *, resizes: bool = False, allow_drop: float | None = None) -> AccuracyLimits:
    """The rule for a target; `allow_drop` is the Dice that a user lets go, of all classes and of one."""
    if target.quantised:
        drop, class_drop = (DROP, CLASS_DROP) if allow_drop is None else (allow_drop, allow_drop)
        return AccuracyLimits(None, None, None, None, drop, class_drop, allow_drop is not None)
    if target.graph == "end_to_end":
        return AccuracyLimits(None, None, None, RESIZED_AGREEMENT if resizes else AGREEMENT, CLASS_DROP, CLASS_DROP)
    return AccuracyLimits(LOGIT, AGREEMENT, MARGIN, AGREEMENT, DICE, DICE)


def accuracy(
    answers: Sequence[CaseComparison], reference: Sequence[np.ndarray], groups: Sequence[object], task: Task
) -> dict[str, Any]:
    """What is written to `accuracy.json`, without names of cases.

    Args:
        answers: of the target, one a case.
        reference: confusion matrices of the reference, in the same order.
        groups: for each case the group that it was drawn with.
        task: the classes.

    Returns:
        `dice` and `iou`, each with `mean` and every class or region: `reference`, `target`, `difference` and the ends
        of its 95% interval over the cases, None where there is none; and what differs in `logits`, `labels` and
        `masks`.
    """
    mine = np.array([overlaps(sizes(one.confusion, task)) for one in answers])
    theirs = np.array([overlaps(sizes(one, task)) for one in reference])
    found: dict[str, Any] = {"cases": len(answers)}
    for place, name in enumerate(("dice", "iou")):
        rows = {"mean": (_mean(mine[:, place], task), _mean(theirs[:, place], task))}
        rows |= {cls: (mine[:, place, k], theirs[:, place, k]) for k, cls in enumerate(task.score_names)}
        found[name] = {key: _beside(*pair, groups) for key, pair in rows.items()}
    labels, pixels = sum(one.labels for one in answers), sum(one.pixels for one in answers)
    found["masks"] = {"differ": sum(one.mask_differs for one in answers), "of": pixels}
    if labels:
        found["logits"] = {
            "largest_difference": float(np.max([one.logit for one in answers])),  # NaN stays
            "labels_differ": sum(one.label_differs for one in answers),
            "labels": labels,
            "largest_margin": max(one.margin for one in answers),
        }
    return found


def _mean(scores: np.ndarray, task: Task) -> np.ndarray:
    """Of each case over the scored classes, NaN left out."""
    scored = scores[:, list(task.counted)]
    known = np.isfinite(scored)
    total = np.where(known, scored, 0).sum(axis=1)
    return np.where(known.any(axis=1), total / np.maximum(known.sum(axis=1), 1), np.nan)


def _beside(mine: np.ndarray, theirs: np.ndarray, groups: Sequence[object]) -> dict[str, float | int | None]:
    both = np.isfinite(mine) & np.isfinite(theirs)
    if not both.any():
        return dict.fromkeys(("reference", "target", "difference", "low", "high")) | {"cases": 0}
    chosen = [group for group, there in zip(groups, both, strict=True) if there]
    whole = None if all(group is None for group in chosen) else chosen
    difference, low, high = mean_interval((mine - theirs)[None, both], whole, (-1.0, 1.0))
    values = (theirs[both].mean(), mine[both].mean(), difference, low, high)
    keys = ("reference", "target", "difference", "low", "high")
    numbers = {key: float(value) if np.isfinite(value) else None for key, value in zip(keys, values, strict=True)}
    return numbers | {"cases": int(both.sum())}


def only_rounded(exact: dict[str, float] | None) -> bool:
    """Whether a target is as near to the exact logits as float32 can be: `target` and `reference` are the largest
    distances from what float64 gives, of the target and of the trained model in float32. Together they stay within the
    margin that a pixel of another class may have."""
    if exact is None or not exact["target"] + exact["reference"] <= MARGIN:
        return False
    return exact["target"] <= ROUNDING * exact["reference"]


def failures(found: dict[str, Any], limits: AccuracyLimits, task: Task) -> list[str]:
    """In what a target differs more than it may, in words; empty where it is what it was trained to be."""
    reasons = []
    logits, masks = found.get("logits"), found["masks"]
    if limits.logit is not None and logits:
        if not logits["largest_difference"] <= limits.logit and not only_rounded(found.get("exact")):
            reasons.append(f"a logit differs by {logits['largest_difference']:.2g}, more than {limits.logit:g}")
            if exact := found.get("exact"):
                reasons.append(
                    f"it is {exact['target']:.2g} from the exact one, and the trained model in float32"
                    f" {exact['reference']:.2g}"
                )
        if 1 - logits["labels_differ"] / logits["labels"] < (limits.agreement or 0):
            reasons.append(f"{logits['labels_differ']} of {logits['labels']} pixels get another class")
        if logits["labels_differ"] and limits.margin is not None and logits["largest_margin"] >= limits.margin:
            reasons.append(f"a pixel gets another class at a margin of {logits['largest_margin']:.2g}")
    if limits.mask_agreement is not None and 1 - masks["differ"] / masks["of"] < limits.mask_agreement:
        reasons.append(f"{masks['differ']} of {masks['of']} pixels of the masks differ")
    for name, limit in [("mean", limits.drop), *((task.score_names[k], limits.class_drop) for k in task.counted)]:
        row = found["dice"][name]
        if row["difference"] is not None and -row["difference"] > limit:
            where = "the mean Dice" if name == "mean" else f"the Dice of {name}"
            reasons.append(f"{where} falls from {row['reference']:.4f} to {row['target']:.4f}, by more than {limit:g}")
    return reasons


def check(target: Target, found: dict[str, Any], limits: AccuracyLimits, task: Task) -> None:
    """Refuse a target that differs more than it may; raises `ExportRefused`."""
    reasons = failures(found, limits, task)
    if reasons:
        remedy = "export it in float32, give more calibration cases, calibration=200; or let it through: allow_drop=…"
        raise ExportRefused(
            "an exported model that is not what it was trained to be; nothing of it is left",
            where=target.name,
            found="; ".join(reasons),
            expected=f"on {found['cases']} cases what the model itself predicts, within stated limits",
            remedy=remedy if target.quantised else "report it with the model's name; use another format",
        )
