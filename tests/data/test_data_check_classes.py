"""The gate on the data: classes that a split lacks, and remedies that keep them."""

from __future__ import annotations

import re

import numpy as np
import pytest
import yaml
from checked_sets import ABC, Held, card, check, elsewhere, masks_of, names, picture

from seglab.data.check.findings import DataReport, Finding
from seglab.data.splits import Split, split_for
from seglab.errors import DataError
from seglab.task import Task

__all__ = ["elsewhere"]


def test_a_class_in_validation_only_stops():
    report = check(masks_of(a=[1], b=[1, 2], c=[1]), ABC)
    (finding,) = report.findings
    assert (finding.name, finding.severity, finding.where) == ("class-not-in-training", "error", "class right")
    assert finding.found == "in no training mask, in 1 cases of val"
    (finding,) = check(masks_of(a=[1], b=[1, 2], c=[1]), ABC, limit_cases=1).findings
    assert finding.severity == "warning"


def test_a_class_that_a_split_or_all_of_them_lack_is_a_warning():
    (finding,) = check(masks_of(a=[1, 2], b=[1], c=[1]), ABC).findings
    assert (finding.name, finding.severity) == ("class-not-in-split", "warning")
    assert finding.found == "in no mask of val and test, in 1 cases of train"
    # What is told is what the scores do: see tests/numeric/test_metrics.py and tests/metrics/test_evaluation_scores.py.
    assert "this one counts in no val_dice or val_iou and this one has no test score but 0 for each" in finding.expected
    (finding,) = check(masks_of(a=[1], b=[1], c=[1]), ABC).findings
    assert finding.found == "in no mask of any split"


def _applied(remedy):
    """Changes of a card that a remedy of settings alone says."""
    return {key: yaml.safe_load(value) for key, value in re.findall(r"data\.(\w+)=(\S+)", remedy)}


@pytest.mark.parametrize("own", [False, True])
def test_the_remedy_for_a_class_that_a_split_lacks_is_a_split_that_has_it(own):
    """The third class is in six of sixteen cases: the seed that is told puts it into every part, or a fold does where
    the data set brings a split of its own, which no seed draws again."""
    ids = [f"c{n}" for n in range(16)]
    source = masks_of(**{i: [1, 2] if n < 6 else [1] for n, i in enumerate(ids)})
    split = Split(tuple(ids[6:]), tuple(ids[:3]), tuple(ids[3:6]))
    if own:
        source.split = {"train": split.train, "val": split.val, "test": split.test}
    settings = {"stratify": True} if not own else {}
    (finding,) = [f for f in check(source, split, **settings).findings if f.name == "class-not-in-training"]
    applied = _applied(finding.remedy)
    assert set(applied) == ({"fold", "split_seed"} if own else {"stratify", "split_seed"})
    better = split_for(source, card(**applied), 42)
    assert {"class-not-in-training", "class-not-in-split"}.isdisjoint(names(check(source, better, **applied)))


def test_a_class_of_a_single_case_does_not_spoil_the_remedy_of_another():
    ids = [f"c{n}" for n in range(16)]
    source = masks_of(**{i: [2] if n == 15 else [1] if n < 6 else [] for n, i in enumerate(ids)})
    split = Split(tuple(ids[6:]), tuple(ids[:3]), tuple(ids[3:6]))
    found = {f.where: f for f in check(source, split, stratify=True).findings if f.name.startswith("class-not-in")}
    applied = _applied(found["class left"].remedy)
    assert set(applied) == {"stratify", "split_seed"}
    better = split_for(source, card(**applied), 42)
    assert {f.where for f in check(source, better, **applied).findings if f.name.startswith("class-not-in")} == {
        "class right"
    }
    assert found["class right"].remedy.startswith("more cases with it: 1 are too few")


def test_where_no_split_can_have_a_class_everywhere_more_cases_are_asked_for():
    (finding,) = check(masks_of(a=[1], b=[1, 2], c=[1]), ABC).findings
    assert finding.remedy.startswith("more cases with it: 1 are too few")
    (finding,) = check(masks_of(a=[1], b=[1, 2], c=[1]), ABC, limit_cases=1).findings
    assert finding.remedy == "data.limit_cases=null takes all cases"


@pytest.mark.parametrize(
    ("settings", "seen", "changes"),
    [
        ({"size": [8, 8]}, "8×8", {"resize_mode": "patch"}),
        ({"size": [8, 8]}, "8×8", {"size": [32, 32]}),
        ({"size": [32, 32], "resize_mode": "patch", "spacing": [4.0, 4.0]}, "4×4 mm", {"spacing": [1.0, 1.0]}),
        ({"size": [8, 8], "spacing": [2.0, 2.0]}, "8×8 and 2×2 mm", {"spacing": [1.0, 1.0], "resize_mode": "patch"}),
    ],
)
def test_the_remedies_for_a_thin_class_keep_it(settings, seen, changes):
    mask = np.zeros((32, 32), np.uint8)
    mask[:, 9] = 1
    source = Held({i: picture(n, mask) for n, i in enumerate("abc")})
    (finding,) = check(source, ABC, **settings).findings
    assert f"at {seen} (data.resize_mode=" in finding.found
    for setting in changes:
        assert f"data.{setting}" in finding.remedy
    assert names(check(source, ABC, **{**settings, **changes})) == []


def test_what_is_let_through_stays_so_in_the_remedy():
    """And a remedy that would not help, because something else cannot pass, is not given."""
    rows = [
        Finding.of(name, "x", "y", "z", "w") for name in ("class-not-in-training", "other-modality", "size-mismatch")
    ]
    with pytest.raises(DataError, match=r"data\.allow=\[class-not-in-training,other-modality\]"):
        DataReport.of(rows[:2], ["class-not-in-training"]).raise_unless_allowed()
    DataReport.of(rows[:2], ["class-not-in-training", "other-modality"]).raise_unless_allowed()
    with pytest.raises(DataError) as caught:
        DataReport.of(rows, ["class-not-in-training"]).raise_unless_allowed()
    assert "data.allow" not in caught.value.remedy


def test_an_unscored_class_may_be_absent():
    task = Task(2, 1, ("road", "void"), unscored=(1,))
    samples = {i: picture(n, np.zeros((32, 32), np.uint8)) for n, i in enumerate("abc")}
    assert names(check(Held(samples, task=task), ABC)) == []


def test_empty_masks_are_counted_over_scored_classes():
    empty = np.zeros((32, 32), np.uint8)
    samples = {i: picture(n, empty if i in "bde" else None) for n, i in enumerate("abcde")}
    report = check(Held(samples), Split(("a", "b"), ("c",), ("d", "e")))
    assert [(f.name, f.severity, f.where) for f in report.findings] == [
        ("class-not-in-split", "warning", "class object"),
        ("empty-masks", "warning", "test"),
        ("empty-masks", "note", "train"),
    ]
    assert report.findings[2].found.startswith("1 of 2 masks (50%)")
    assert "such a case has Dice 0 if anything is found in it" in report.findings[1].expected
    roads = Task(2, 1, ("road", "car"), unscored=())
    assert "empty-masks" not in names(check(Held(samples, task=roads), Split(("a", "b"), ("c",), ("d", "e"))))
