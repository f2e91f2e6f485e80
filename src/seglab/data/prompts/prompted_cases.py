"""Objects with prompts as cases of their own, so that a promptable network is scored like any other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache

import numpy as np

from seglab.data.cases import Case, Sample, Source
from seglab.data.io.image_files import read_mask_file
from seglab.data.labelled import labelled
from seglab.data.preprocessing.case_preprocessing import CasePreprocessing
from seglab.data.preprocessing.geometry import resize_image, resize_mask
from seglab.data.prompts.channels import PROMPT_CHANNELS
from seglab.data.prompts.objects import SceneObject, objects_of
from seglab.data.prompts.simulation import simulated_prompt
from seglab.data.prompts.views import View, view_around, widest
from seglab.data.randomness import generator
from seglab.task import Task

# Objects of a case that are validated and scored; of more, so many are drawn.
MOST_OBJECTS = 8
CLASSES = ("background", "object")
# Smaller ids in a file of instances are those of labels: regions without instances.
FIRST_INSTANCE = 1000
# A view is at least so much larger than its object.
LEAST_MARGIN = 1.15


def prompted_task(task: Task) -> Task:
    """The task of a promptable network: one object against everything else, four more channels."""
    return Task(task.rank, task.channels + PROMPT_CHANNELS, CLASSES, ignore_label=task.ignore_label)


def objects_in(case: Case, mask: np.ndarray, task: Task) -> tuple[SceneObject, ...]:
    """The objects of a prepared case: by instance ids where it has a file of them, else by components."""
    if case.instances is None:
        return objects_of(mask, task.scored)
    ids = read_mask_file(case.instances)
    nearest = np.ix_(
        *((np.arange(new) * 2 + 1) * old // (2 * new) for old, new in zip(ids.shape, mask.shape, strict=True))
    )
    return objects_of(mask, task.scored, np.where(ids < FIRST_INSTANCE, 0, ids)[nearest])


def chosen(objects: Sequence[SceneObject], seed: int, case_id: str) -> list[int]:
    """Which objects of a case are validated and scored: numbers in order, at most `MOST_OBJECTS`."""
    if len(objects) <= MOST_OBJECTS:
        return list(range(len(objects)))
    drawn = generator(seed, "objects", case_id).choice(len(objects), MOST_OBJECTS, replace=False)
    return sorted(int(number) for number in drawn)


def drawn_view(one: SceneObject, image: Sequence[int], size: Sequence[int], rng: np.random.Generator) -> View:
    """A view that holds a whole object: from one that it fills to the whole image, the object anywhere in it."""
    high = [s + n for s, n in zip(one.start, one.shape, strict=True)]
    factor = max(n / side for n, side in zip(one.shape, size, strict=True))
    most = max(widest(image, size) / factor, LEAST_MARGIN)
    margin = LEAST_MARGIN * (most / LEAST_MARGIN) ** rng.random()
    return view_around(one.start, high, image, size, margin, rng.uniform(-1, 1, len(size)))


def object_mask(one: SceneObject, view: View, mask: np.ndarray, size: Sequence[int], ignore_label: int) -> np.ndarray:
    """What is to be found in a view: `(*size)` uint8, 1 on the object, ignored where the mask is, 0 elsewhere."""
    truth = view.contents(one.inside, one.start).astype(np.uint8)
    truth[mask[view.box] == ignore_label] = ignore_label
    return resize_mask(truth, size, ignore_label)


class PromptedCases:
    """A `Source` of views of objects with simulated prompts, always the same ones, at the size of the network's input.

    Args:
        source: reads the cases that the objects are of.
        cases: of the split.
        preparation: what was done to the training cases.
        size: of the network's input.
        seed: of views and prompts.
    """

    split: Mapping[str, Sequence[str]] | None = None

    def __init__(
        self, source: Source, cases: Sequence[Case], preparation: CasePreprocessing, size: Sequence[int], seed: int
    ):
        self.name, self.task = source.name, prompted_task(source.task)
        self._source, self._preparation, self._size, self._seed = source, preparation, tuple(size), seed
        self._prepared = lru_cache(maxsize=1)(self._prepare)  # the objects of a case are read one after another
        self._from: dict[str, tuple[Case, int]] = {}
        self.cases: Sequence[Case] = [made for case in cases for made in self._objects_of(case)]

    def _prepare(self, case: Case) -> tuple[np.ndarray, np.ndarray, tuple[SceneObject, ...]]:
        sample, _ = labelled(self._source, case)
        prepared = self._preparation(sample, self._source.task)
        return prepared.image, prepared.mask, objects_in(case, prepared.mask, self._source.task)

    def _objects_of(self, case: Case) -> list[Case]:
        found = self._prepared(case)[2]
        made = []
        for number in chosen(found, self._seed, case.id):
            made.append(replace(case, id=f"{case.id}#{number + 1}"))
            self._from[made[-1].id] = case, number
        return made

    def read_image(self, case: Case) -> Sample:
        """The view with its prompt, mask None."""
        sample = self.read(case)
        sample.mask = None
        return sample

    def read(self, case: Case) -> Sample:
        """A view: image `(*size, C + 4)`, the last four its prompt, and mask of the object."""
        of, number = self._from[case.id]
        image, mask, objects = self._prepared(of)
        view = drawn_view(objects[number], mask.shape, self._size, generator(self._seed, "view", of.id, number))
        truth = object_mask(objects[number], view, mask, self._size, self.task.ignore_label)
        prompt = simulated_prompt(truth, generator(self._seed, "prompt", 0, of.id, number))
        seen = resize_image(image[view.box], self._size)
        both = np.concatenate([seen, prompt.astype(seen.dtype)], axis=-1)
        return Sample(both, truth, (1.0,) * self.task.rank)

    def describe_files(self, case: Case) -> str:
        """The files of the case that the object is of."""
        of, number = self._from[case.id]
        return f"{self._source.describe_files(of)}, object {number + 1}"

    def digest(self) -> str:
        """That of the source."""
        return self._source.digest()
