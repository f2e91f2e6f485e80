"""Shared by the tests of batches: toy cases, and batches of an epoch."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np

from seglab.data.cache.in_memory import store_in_memory
from seglab.data.cases import Case, Sample
from seglab.data.check.findings import DataReport
from seglab.data.loading.batches import Batches
from seglab.data.loading.training_data import TrainingData
from seglab.data.preprocessing.case_preprocessing import CasePreprocessing
from seglab.data.preprocessing.normalisation import Preprocessing
from seglab.data.splits import Split
from seglab.task import Task


class CaseStore:
    """Cases of given masks; every pixel of an image is its mask value plus 1, so that padding shows."""

    def __init__(self, masks, classes=3):
        self.name, self.split = "arrays", None
        self.task = Task(masks[0].ndim, 1, tuple(f"c{i}" for i in range(classes)))
        self.cases = [Case(f"case{n}", (), None, str(n)) for n in range(len(masks))]
        self._masks = dict(zip([case.id for case in self.cases], masks, strict=True))

    def read(self, case):
        mask = self._masks[case.id]
        image = np.where(mask == 255, 0, mask).astype(np.float32)[..., None] + 1
        return Sample(image, mask, (1.0,) * mask.ndim)

    def read_image(self, case):
        return self.read(case)

    def describe_files(self, case):
        return case.id

    def digest(self):
        return "0"


def material(source, train=None, val=()):
    train = [case.id for case in source.cases] if train is None else train
    split = Split(tuple(train), tuple(val), ())
    return TrainingData(
        source, split, source.task, Preprocessing("scale", source.task.channels), "0", None, {}, DataReport(())
    )


def _batches(training_data, split, card, **settings):
    """Batches over cases that are prepared for this card and held in memory."""
    named = training_data.cases("train") + training_data.cases("val")
    facts, arrays = store_in_memory(
        training_data.source, CasePreprocessing.of(card), list({case.id: case for case in named}.values())
    )
    return Batches(replace(training_data, arrays=arrays, facts=facts), split, card, **settings)


def _epoch(batches, epoch, threads=1):
    batches.epoch = epoch
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(batches.__getitem__, range(len(batches))))


def _same(one, other):
    return all(
        x.tobytes() == a.tobytes() and y.tobytes() == b.tobytes() for (x, y), (a, b) in zip(one, other, strict=True)
    )
