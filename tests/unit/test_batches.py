"""Batches: the same whatever the workers and the restarts, every validation pixel once, foreground where asked for."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from seglab.data.augment import Augment
from seglab.data.batches import Batches
from seglab.data.cases import Case, Sample
from seglab.data.geometry import resize_image, resize_mask
from seglab.data.material import Material
from seglab.data.memory import SourceInMemory
from seglab.data.preprocess import Preprocessing
from seglab.data.splits import Split
from seglab.schema import DataCard
from seglab.task import Task


class Arrays:
    """A source of float images in memory that counts how often it is read."""

    def __init__(self, images, masks, classes=2):
        self.name, self.split = "arrays", None
        self.task = Task(masks[0].ndim, images[0].shape[-1], tuple(f"class_{i}" for i in range(classes)))
        self.cases = [Case(f"case_{n}", (), None, str(n)) for n in range(len(images))]
        self.images, self.masks, self.reads = images, masks, 0

    def read(self, case):
        self.reads += 1
        number = int(case.id.removeprefix("case_"))
        return Sample(self.images[number], self.masks[number], (1.0,) * self.task.rank)

    def read_image(self, case):
        raise NotImplementedError

    def describe_files(self, case):
        return case.id

    def digest(self):
        return "0"


def _card(size, **changes):
    settings = {
        "name": "Toy",
        "rank": len(size),
        "size": list(size),
        "batch_size": 4,
        "fit": "resize",
        "foreground_share": 0.0,
        "patches_per_case": 1,
        "normalize": "scale",
        "workers": 1,
        "split": {"train": 1.0, "val": 0.0, "test": 0.0},
        "split_seed": None,
        "limit_cases": None,
        "validate_on_train": False,
    }
    return DataCard(**{**settings, **changes})


def _batches(source, size, split="train", *, seed=0, augmentation=None, **card):
    ids = tuple(case.id for case in source.cases)
    parts = {"train": (), "val": (), "test": (), split: ids}
    material = Material(source, Split(**parts), source.task, Preprocessing("scale", source.task.channels), "")
    return Batches(material, split, _card(size, **card), seed=seed, augmentation=augmentation)


def _numbered(shape, cases):
    """Images filled with the number of their case, masks of ones."""
    return Arrays(
        [np.full((*shape, 1), n, np.float32) for n in range(cases)], [np.ones(shape, np.uint8) for _ in range(cases)]
    )


def _noisy(shape, cases, classes=3):
    rng = np.random.default_rng(0)
    return Arrays(
        [rng.random((*shape, 2), np.float32) for _ in range(cases)],
        [rng.integers(0, classes, shape).astype(np.uint8) for _ in range(cases)],
        classes,
    )


def _all(batches, steps=None):
    return [batches[step] for step in (range(len(batches)) if steps is None else steps)]


def _bytes(batches):
    return [(x.tobytes(), y.tobytes()) for x, y in batches]


VARIANTS = {
    "resize 2D": ((40, 40), (24, 24), {"fit": "resize", "patches_per_case": 2}),
    "patch 2D": ((40, 30), (24, 24), {"fit": "patch", "patches_per_case": 3, "foreground_share": 0.5}),
    "pad 3D": ((9, 14, 8), (12, 12, 12), {"fit": "pad", "foreground_share": 0.3}),
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_neither_order_nor_threads_nor_a_restart_change_a_batch(variant):
    shape, size, card = VARIANTS[variant]

    def make():
        source = _noisy(shape, 7)
        strong = Augment(source.task, affine=0.7, elastic=0.5, intensity=0.5)
        return _batches(source, size, augmentation=strong, batch_size=3, seed=5, **card)

    unbroken = make()
    epochs = []
    for epoch in range(4):
        unbroken.epoch = epoch
        epochs.append(_bytes(_all(unbroken)))

    restarted = make()
    restarted.epoch = 3
    assert _bytes(_all(restarted)) == epochs[3]

    backwards = make()
    backwards.epoch = 2
    assert _bytes(_all(backwards, reversed(range(len(backwards)))))[::-1] == epochs[2]

    threaded = make()
    for epoch in (3, 0):
        threaded.epoch = epoch
        with ThreadPoolExecutor(4) as pool:
            assert _bytes(pool.map(threaded.__getitem__, range(len(threaded)))) == epochs[epoch]


def test_epochs_draws_and_seeds_differ():
    source = _noisy((32, 32), 1)
    batches = _batches(source, (8, 8), fit="patch", patches_per_case=2, batch_size=1)
    first, second = _bytes(_all(batches))
    batches.epoch = 1
    later = _bytes(_all(batches))
    other = _bytes(_all(_batches(source, (8, 8), fit="patch", patches_per_case=2, batch_size=1, seed=1)))
    assert len({first, second, *later, *other}) == 6


def test_every_case_once_an_epoch_and_the_last_batch_may_be_short():
    batches = _batches(_numbered((8, 8), 10), (8, 8), batch_size=4)
    assert len(batches) == 3
    orders = []
    for epoch in range(2):
        batches.epoch = epoch
        shown = _all(batches)
        assert [len(x) for x, _ in shown] == [4, 4, 2]
        assert [x.dtype for x, _ in shown] == [np.float32] * 3
        assert [y.dtype for _, y in shown] == [np.int32] * 3
        orders.append([int(image[0, 0, 0]) for x, _ in shown for image in x])
        assert sorted(orders[-1]) == list(range(10))
    assert orders[0] != orders[1]


def test_each_draw_of_a_case_is_an_item_of_the_epoch():
    batches = _batches(_numbered((8, 8), 5), (8, 8), patches_per_case=3)
    shown = Counter(int(image[0, 0, 0]) for x, _ in _all(batches) for image in x)
    assert shown == dict.fromkeys(range(5), 3)


@pytest.mark.parametrize("split", ["train", "val"])
def test_case_ids_name_the_cases_in_the_batch(split):
    batches = _batches(_numbered((12, 8), 7), (8, 8), split, fit="patch", batch_size=3)
    for batches.epoch in (0, 5):
        for step, (x, _) in enumerate(_all(batches)):
            assert batches.case_ids(step) == [f"case_{int(image.max())}" for image in x]


def test_validation_is_read_in_order_and_never_changed():
    source = _noisy((8, 8), 5)
    everything = Augment(source.task, flip=1.0, rotate90=1.0, intensity=1.0)
    batches = _batches(source, (8, 8), "val", augmentation=everything, patches_per_case=4, batch_size=5)
    for batches.epoch in (0, 3):
        x, y = batches[0]
        assert len(batches) == 1
        assert np.array_equal(x, np.stack(source.images))
        assert np.array_equal(y, np.stack(source.masks))


@pytest.mark.parametrize("fit", ["pad", "patch"])
@pytest.mark.parametrize(
    ("shape", "size"),
    [((10, 13), (4, 6)), ((3, 20), (8, 8)), ((5, 5), (5, 5)), ((9, 4, 7), (4, 6, 7)), ((5, 9, 5), (2, 4, 3))],
)
def test_validation_counts_every_pixel_exactly_once(fit, shape, size):
    # Each pixel has a number of its own, so what is counted can be told from the image.
    first = np.arange(1, np.prod(shape) + 1, dtype=np.float32).reshape(*shape, 1)
    source = Arrays([first, first + first.size], [np.ones(shape, np.uint8)] * 2)
    batches = _batches(source, size, "val", fit=fit, batch_size=3)
    counted = np.concatenate([x[..., 0][y == 1] for x, y in _all(batches)])
    assert np.array_equal(np.sort(counted), np.arange(1, 2 * first.size + 1))
    assert all(set(np.unique(y)) <= {1, 255} for _, y in _all(batches))


@pytest.mark.parametrize(("shape", "size"), [((40, 50), (8, 8)), ((20, 20, 6), (6, 6, 8))])
def test_a_box_around_the_foreground_contains_it(shape, size):
    mask = np.zeros(shape, np.uint8)
    mask[(3,) * len(shape)] = 1  # one voxel, near a corner
    source = Arrays([mask[..., None].astype(np.float32)], [mask])
    draws = {"patches_per_case": 60, "batch_size": 60, "fit": "patch"}
    x, y = _batches(source, size, foreground_share=1.0, **draws)[0]
    assert [(image == 1).sum() for image in x] == [1] * 60
    assert [(labels == 1).sum() for labels in y] == [1] * 60
    # Anywhere in the box, not always in its middle.
    assert len({tuple(np.argwhere(labels == 1)[0]) for labels in y}) > 10
    rarely = _batches(source, size, **draws)[0][1]
    assert sum((labels == 1).any() for labels in rarely) < 30


def test_the_foreground_share_is_a_share_of_the_boxes():
    mask = np.zeros((200, 200), np.uint8)
    mask[100, 100] = 1
    source = Arrays([np.zeros((200, 200, 1), np.float32)], [mask])
    _, y = _batches(source, (8, 8), fit="patch", foreground_share=0.3, patches_per_case=400, batch_size=400)[0]
    # 120 expected, standard deviation 9; by chance alone one box in 500 has it.
    assert 90 < sum((labels == 1).any() for labels in y) < 150


def test_classes_are_drawn_as_often_whatever_their_size():
    mask = np.zeros((60, 60), np.uint8)
    mask[:, :30] = 1
    mask[50, 50] = 2
    source = Arrays([np.zeros((60, 60, 1), np.float32)], [mask], classes=3)
    _, y = _batches(source, (8, 8), fit="patch", foreground_share=1.0, patches_per_case=200, batch_size=200)[0]
    # Half of the boxes are drawn around class 2, which has one pixel: 100 expected, standard deviation 7.
    assert 75 < sum((labels == 2).any() for labels in y) < 125


def test_an_image_without_foreground_is_drawn_all_the_same():
    source = Arrays([np.ones((20, 20, 1), np.float32)], [np.zeros((20, 20), np.uint8)])
    x, y = _batches(source, (8, 8), fit="patch", foreground_share=1.0)[0]
    assert x.shape == (1, 8, 8, 1)
    assert not y.any()


def test_random_boxes_reach_every_pixel_and_stay_inside():
    source = Arrays([np.arange(1, 17, dtype=np.float32).reshape(4, 4, 1)], [np.ones((4, 4), np.uint8)])
    x, y = _batches(source, (3, 3), fit="patch", patches_per_case=100, batch_size=100)[0]
    assert (y == 1).all()
    # The corners of the image are each seen by one of four boxes.
    assert [np.isin(corner, x) for corner in (1, 4, 13, 16)] == [True] * 4


@pytest.mark.parametrize("split", ["train", "val"])
@pytest.mark.parametrize("fit", ["pad", "patch"])
def test_what_is_padded_is_ignored(split, fit):
    source = Arrays([np.full((2, 3, 1), 7, np.float32)], [np.ones((2, 3), np.uint8)])
    x, y = _batches(source, (4, 6), split, fit=fit)[0]
    # Two rows in the middle of four, three columns in the middle of six.
    expected = np.full((4, 6), 255)
    expected[1:3, 1:4] = 1
    assert y[0].tolist() == expected.tolist()
    assert x[0, ..., 0].tolist() == np.where(expected == 1, 7, 0).tolist()


@pytest.mark.parametrize("split", ["train", "val"])
def test_resize_brings_image_and_mask_to_the_size(split):
    source = _noisy((11, 17), 1)
    x, y = _batches(source, (8, 24), split)[0]
    assert np.array_equal(x[0], resize_image(source.images[0], (8, 24)))
    assert np.array_equal(y[0], resize_mask(source.masks[0], (8, 24)))


def test_images_are_normalised_once_and_held_once():
    source = _numbered((8, 8), 6)
    held = SourceInMemory(source)
    held.load(held.cases)
    material = Material(
        held,
        Split(tuple(case.id for case in held.cases), (), ()),
        source.task,
        Preprocessing("standard", 1, 1.0, (2.0,), (0.5,)),
        "",
    )
    batches = Batches(material, "train", _card((8, 8)), seed=0)
    for batches.epoch in range(3):
        for x, _ in _all(batches):
            assert set(x.ravel()) <= {(n - 2.0) / 0.5 for n in range(6)}
    assert source.reads == 6
    # The raw copies were given back: reading again decodes again.
    held.read(held.cases[0])
    assert source.reads == 7


def test_the_given_arrays_are_never_written_to():
    source = _noisy((16, 16), 2)
    before = [image.copy() for image in source.images], [mask.copy() for mask in source.masks]
    changes = Augment(source.task, intensity=1.0, affine=1.0)
    x, y = _batches(source, (16, 16), augmentation=changes)[0]
    x += 1
    y += 1
    assert all(np.array_equal(a, b) for a, b in zip(before[0] + before[1], source.images + source.masks, strict=True))


def test_beyond_the_last_batch_there_is_none():
    batches = _batches(_numbered((8, 8), 3), (8, 8), batch_size=2)
    for step in (2, -1):
        with pytest.raises(IndexError, match="of 2"):
            batches[step]


def test_workers_come_from_the_card_and_a_missing_mask_is_our_mistake():
    source = _numbered((8, 8), 1)
    assert _batches(source, (8, 8), workers=3).workers == 3
    assert _batches(source, (8, 8), workers=0).workers == 1
    source.masks = [None]
    with pytest.raises(ValueError, match="case_0"):
        _batches(source, (8, 8))[0]
