"""Classes that a split lacks: what was never trained cannot be found, what is never there cannot be scored."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from seglab.config.sections import DataConfig
from seglab.data.cases import SPLIT_NAMES, Source
from seglab.data.check.findings import Finding
from seglab.data.preprocessing.case_fingerprint import CaseFingerprint
from seglab.data.splits import Split, split_for
from seglab.errors import SeglabError
from seglab.task import Task

SEEDS_TRIED = 20
# What becomes of the scores: while training, all pixels of a split are counted together; a test case has its own score.
_LACKING = {
    "val": "this one counts in no val_dice or val_iou",
    "test": "this one has no test score but 0 for each case in which it is found",
}


def find_absent_classes(
    source: Source, split: Split, facts: Mapping[str, CaseFingerprint], card: DataConfig
) -> Iterator[Finding]:
    """A row for each scored class, or region, that a split lacks, and for each class that is in no region.

    Args:
        source: names the classes, and has the cases of another split.
        split: which case is for what.
        facts: of every case of the split.
        card: how it was split; where only some cases of each split are taken, for a trial, nothing is an error.
    """
    task, limited = source.task, card.limit_cases is not None
    holders = {name: n for name, n in _masks_with_class(split, facts, task).items() if n is not None}
    yield from _in_no_region(task, facts)
    for k in task.counted:
        there = {name: int(n[k]) for name, n in holders.items() if n[k]}
        lacking = [name for name, n in holders.items() if not n[k]]
        if not lacking:
            continue
        label = f"{'region' if task.regions else 'class'} {task.score_names[k]}"
        in_cases = ", ".join(f"{n} cases of {name}" for name, n in there.items())
        if not there:
            yield Finding.of(
                "class-not-in-split",
                label,
                "in no mask of any split",
                "a class that occurs",
                _MORE if limited else "check the labels; or, if it is declared in the config, leave it out there",
            )
            continue
        remedy = _MORE if limited else _another_split(source, facts, card, k)
        if "train" in lacking:
            yield Finding.of(
                "class-not-in-training",
                label,
                f"in no training mask, in {in_cases}",
                "training cases of every class that is scored",
                remedy,
                severity="warning" if limited else None,
            )
        else:
            yield Finding.of(
                "class-not-in-split",
                label,
                f"in no mask of {' and '.join(lacking)}, in {in_cases}",
                f"every class in every split: {' and '.join(_LACKING[name] for name in lacking)}",
                remedy,
            )


_MORE = "data.limit_cases=null takes all cases"


def _in_no_region(task: Task, facts: Mapping[str, CaseFingerprint]) -> Iterator[Finding]:
    if not task.regions:
        return
    held = sum((np.array(one.class_pixels) for one in facts.values()), np.zeros(task.classes, np.int64))
    inside = {k for classes in task.unions for k in classes}
    for k in range(1, task.classes):
        if held[k] and k not in inside:
            yield Finding.of(
                "class-in-no-region",
                f"class {task.class_names[k]}",
                f"{held[k]:,} pixels of it, and no region that it is in",
                "a region for each class that is looked for: it is trained as outside of all, and never predicted",
                "add it to a region, or leave it so",
            )


def _masks_with_class(split: Split, facts: Mapping[str, CaseFingerprint], task: Task) -> dict[str, np.ndarray | None]:
    """How many masks of each split hold each class or region; None for a split whose masks hold none at all."""
    found: dict[str, np.ndarray | None] = {}
    for name in SPLIT_NAMES:
        held = _held([facts[i] for i in getattr(split, name) if i in facts], task)
        found[name] = held.sum(axis=0) if held.any() else None
    return found


def _held(facts: Sequence[CaseFingerprint], task: Task) -> np.ndarray:
    """`(cases, N)`: whether a mask holds a class or region."""
    pixels = np.array([one.class_pixels for one in facts], np.int64).reshape(-1, task.classes)
    if not task.regions:
        return pixels > 0
    return np.stack([pixels[:, classes].sum(axis=1) > 0 for classes in map(list, task.unions)], axis=1)


def _another_split(source: Source, facts: Mapping[str, CaseFingerprint], card: DataConfig, lacking: int) -> str:
    """Settings of a split that has the lacking class, and every other with cases enough, in each part; else more cases.

    A class with fewer cases than there are parts cannot be in all of them, and keeps no other from it.
    """
    # A split that the data set brings is drawn again by no seed, only dealt into folds.
    settings: dict[str, object] = {"fold": 0} if source.split is not None and card.fold is None else {}
    settings |= {"stratify": False} if card.stratify else {}
    held = _held(list(facts.values()), source.task).sum(axis=0)
    wanted = [k for k in source.task.counted if k == lacking or held[k] >= len(SPLIT_NAMES)]
    for seed in range(SEEDS_TRIED):
        tried = {**settings, "split_seed": seed}
        try:
            split = split_for(source, card.model_copy(update=tried), seed)
        except SeglabError:  # too few groups for folds
            break
        holders = [n for n in _masks_with_class(split, facts, source.task).values() if n is not None]
        if all(n[k] for n in holders for k in wanted):
            return " ".join(f"data.{key}={str(value).lower()}" for key, value in tried.items())
    return f"more cases with it: {held[lacking]} are too few for every split, or lie in too few groups"
