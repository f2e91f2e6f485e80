"""Shared by the tests of the check: data sets that exist in memory alone."""

from __future__ import annotations

import numpy as np
import pytest
from data_cards import data_config

from seglab.data.cases import Case, Sample
from seglab.data.check.quick_check import check_short
from seglab.data.preprocessing.case_fingerprint import examine
from seglab.data.splits import Split
from seglab.task import Task


class Held:
    """A source of samples that are given; `cases` have the groups that are given, or are their own."""

    def __init__(self, samples, groups=None, task=None, split=None):
        self.name, self.split = "held", split
        self.task = task or Task(2, 1, ("background", "object"))
        self.samples = samples
        self.cases = [Case(i, (f"{i}.png",), None, (groups or {}).get(i, i)) for i in samples]

    def read(self, case):
        return self.samples[case.id]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """The check keeps answers in `cache`, below the working folder."""
    monkeypatch.chdir(tmp_path)


def picture(seed, mask=None, size=(32, 32)):
    """A smooth random image, so that its look is its own, with a mask."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 200, (8, 8))
    image = np.kron(coarse, np.ones((size[0] // 8, size[1] // 8))).astype(np.uint8)[..., None]
    if mask is None:
        mask = np.zeros(size, np.uint8)
        mask[8:24, 8:24] = 1
    return Sample(image, mask, (1.0,) * len(size))


def card(**changes):
    return data_config(**{"size": [32, 32], "resize_mode": "resize", **changes})


def check(source, split, **changes):
    facts = {case.id: examine(source.samples[case.id], source.task) for case in source.cases}
    return check_short(source, split, facts, card(**changes))


def names(report):
    return [finding.name for finding in report.findings]


ABC = Split(("a",), ("b",), ("c",))


def masks_of(**values):
    """A source with three classes whose masks hold the classes given, a box for each."""
    samples = {}
    for n, (case_id, classes) in enumerate(values.items()):
        mask = np.zeros((32, 32), np.uint8)
        for k in classes:
            mask[8 * k : 8 * k + 8] = k
        samples[case_id] = picture(n, mask)
    return Held(samples, task=Task(2, 1, ("background", "left", "right")))
