"""Objects to click on: one at a time, with the image that it lies in."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from seglab.data.cases import Case, Source
from seglab.data.io.image_files import read_mask_file
from seglab.data.randomness import generator
from seglab.data.synthetic.road_scenes import INSTANCE_FACTOR, make_scene
from seglab.data.synthetic.shapes import Synthetic2D
from seglab.errors import DataError, nearest
from seglab.interactive.display_image import picture_of
from seglab.interactive.prompt import Bools

PER_IMAGE = 2


@dataclass(frozen=True)
class TargetObject:
    """One object of one image.

    Attributes:
        id: of the case, with the object's class and number.
        image_id, group: of the case.
        image: `(H, W, 3)` uint8.
        truth: `(H, W)`, the object.
        ignored: `(H, W)`, true where nobody knows; or None.
    """

    id: str
    image_id: str
    group: str
    image: npt.NDArray[np.uint8]
    truth: Bools
    ignored: Bools | None = None


def built_in(count: int, least: int, seed: int) -> Iterator[TargetObject]:
    """Generated objects without end of data: from grey textured shapes and from road scenes in turn."""
    found = 0
    for index in range(10 * count + 10):
        name = f"{'shapes' if index % 2 == 0 else 'road'}_{index // 2:04d}"
        if index % 2 == 0:
            source = Synthetic2D(count=5 * count + 5, seed=seed)
            sample = source.read(source.cases[index // 2])
            assert sample.mask is not None
            image, ids = picture_of(sample.image), _components(sample.mask > 0)
        else:
            image, _, ids = make_scene(generator(seed, "prompt-bench", index))
            ids = np.where(ids >= INSTANCE_FACTOR, ids, 0)
        for number in _drawn(ids, least, generator(seed, name)):
            yield TargetObject(f"{name}/{number}", name, name, image, ids == number)
            found += 1
            if found == count:
                return


def objects_of(
    source: Source, cases: Sequence[Case], count: int, least: int, seed: int, classes: Sequence[str] = ()
) -> Iterator[TargetObject]:
    """Objects of labelled images, in an order drawn by `seed`, at most `PER_IMAGE` of an image.

    Instances are those of the data set where it has a file of them, else the components of each class but the unscored.

    Args:
        source: of 2D images.
        cases: to take them from.
        count: of objects at most.
        least: pixels of an object.
        seed: of the order.
        classes: names, to take objects of these alone.

    Raises:
        DataError: a class that the data do not have; no object of that kind.
    """
    task = source.task
    for name in classes:
        if name not in task.class_names:
            raise DataError(
                "a class that the data do not have",
                code="unknown-choice",
                where="classes",
                found=name,
                expected=", ".join(task.class_names),
                remedy=nearest(name, task.class_names),
            )
    wanted = [task.class_names.index(name) for name in classes] or [
        k for k in range(task.classes) if k in task.scored and k > 0
    ]
    order = generator(seed, "prompt-bench").permutation(len(cases))
    found = 0
    for case in (cases[index] for index in order):
        sample = source.read(case)
        assert sample.mask is not None
        ignored = sample.mask == task.ignore_label
        instances = read_mask_file(case.instances) if case.instances else None
        targets = [
            (task.class_names[k], ids, number)
            for k in wanted
            for ids in [_instances(sample.mask == k, instances)]
            for number in _numbers(ids, least)
        ]
        image = picture_of(sample.image)
        for index in generator(seed, case.id).permutation(len(targets))[:PER_IMAGE]:
            name, ids, number = targets[index]
            unknown = ignored if ignored.any() else None
            yield TargetObject(f"{case.id}/{name}/{number}", case.id, case.group, image, ids == number, unknown)
            found += 1
            if found == count:
                return
    if not found:
        raise DataError(
            "no object to click on",
            code="no-case",
            where="data",
            found=f"{len(cases)} images",
            expected=f"a component of at least {least} pixels of {', '.join(task.class_names[k] for k in wanted)}",
            remedy="choose other classes, or a smaller least_pixels",
        )


def _instances(where: Bools, instances: npt.NDArray[Any] | None) -> npt.NDArray[np.int64]:
    if instances is None:
        return _components(where)
    known = np.where(instances >= INSTANCE_FACTOR, instances, 0).astype(np.int64)
    return np.where(where, known, 0)


def _components(where: Bools) -> npt.NDArray[np.int64]:
    found, _ = ndimage.label(where, np.ones((3,) * where.ndim))
    return np.asarray(found, np.int64)


def _numbers(ids: npt.NDArray[np.integer], least: int) -> list[int]:
    numbers, sizes = np.unique(ids, return_counts=True)
    return [int(number) for number, size in zip(numbers, sizes, strict=True) if number and size >= least]


def _drawn(ids: npt.NDArray[np.integer], least: int, rng: np.random.Generator) -> list[int]:
    return [int(number) for number in rng.permutation(np.asarray(_numbers(ids, least), int))[:PER_IMAGE]]
