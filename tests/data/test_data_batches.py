"""Batches: the same for any number of workers and from any epoch, every case once, borders ignored."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from data_cards import data_config
from toy_batches import CaseStore, _batches, _epoch, _same, material

from seglab.data.augment import Augment
from seglab.data.cases import Sample
from seglab.data.preprocessing.geometry import resize_image, resize_mask
from seglab.data.randomness import generator
from seglab.data.synthetic.shapes import Synthetic2D
from seglab.errors import DataError


def _masks(shapes, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.integers(0, 3, shape).astype(np.uint8) for shape in shapes]


STRONG = {"rotate90": 0.5, "affine": 0.7, "elastic": 0.3, "intensity": 0.5}


def _toy(fit="patch", **changes):
    source = Synthetic2D(count=11, image_size=(32, 24))
    card = data_config(resize_mode=fit, foreground_share=0.5, patches_per_case=2, **changes)
    augmentation = Augment(source.task, **STRONG)
    return lambda: _batches(material(source), "train", card, seed=7, augmentation=augmentation)


@pytest.mark.parametrize("fit", ["resize", "pad", "patch"])
def test_worker_count_and_resume_never_change_a_batch(fit):
    make = _toy(fit)
    straight = make()
    epochs = [_epoch(straight, epoch) for epoch in range(3)]
    assert not _same(epochs[0], epochs[1])
    # The third epoch, made at once by four threads from a fresh start.
    assert _same(_epoch(make(), 2, threads=4), epochs[2])
    # One batch alone, the last first.
    alone = make()
    alone.epoch = 1
    assert _same([alone[5]], [epochs[1][5]])
    assert _same([straight[0]], [epochs[2][0]])


def test_another_seed_is_another_order_and_another_draw():
    source = Synthetic2D(count=8, image_size=(24, 24))
    one, other = (_batches(material(source), "train", data_config(), seed=seed) for seed in (1, 2))
    assert [one.case_ids(step) for step in range(2)] != [other.case_ids(step) for step in range(2)]
    assert not _same([one[0]], [other[0]])


def test_a_case_keeps_its_draw_when_other_cases_leave():
    """Randomness hangs on the case's id, not on its position."""
    source = Synthetic2D(count=6, image_size=(24, 24))
    ids = [case.id for case in source.cases]
    all_of_them = _batches(material(source), "train", data_config(batch_size=1), seed=3)
    few = _batches(material(source, train=ids[3:]), "train", data_config(batch_size=1), seed=3)
    drawn = {all_of_them.case_ids(step)[0]: all_of_them[step][0].tobytes() for step in range(6)}
    for step in range(3):
        assert few[step][0].tobytes() == drawn[few.case_ids(step)[0]]


@pytest.mark.parametrize("fit", ["resize", "pad", "patch"])
def test_every_case_as_often_as_asked_and_the_last_batch_is_kept(fit):
    batches = _batches(
        material(CaseStore(_masks([(16, 16)] * 7))), "train", data_config(resize_mode=fit, patches_per_case=3), seed=0
    )
    assert len(batches) == 6  # 7 cases × 3 samples in batches of 4: five full ones and one of 1
    assert [len(x) for x, _ in _epoch(batches, 0)] == [4, 4, 4, 4, 4, 1]
    ids = [i for step in range(6) for i in batches.case_ids(step)]
    assert sorted(ids) == sorted([f"case{n}" for n in range(7)] * 3)
    assert ids != sorted(ids)
    for beyond in (6, -1):
        with pytest.raises(IndexError, match="of 6"):
            batches[beyond]


def test_shapes_types_and_case_ids():
    masks = _masks([(16, 16)] * 3)
    batches = _batches(material(CaseStore(masks)), "train", data_config(resize_mode="resize"), seed=0)
    x, y = batches[0]
    assert (x.shape, x.dtype, y.shape, y.dtype) == ((3, 16, 16, 1), np.float32, (3, 16, 16), np.int32)
    for row, case_id in enumerate(batches.case_ids(0)):
        assert np.array_equal(y[row], masks[int(case_id[-1])])
        assert np.array_equal(x[row, ..., 0], y[row] + 1)


@pytest.mark.parametrize(("shape", "size"), [((9, 13), [16, 16]), ((5, 16, 7), [8, 16, 8]), ((20, 9), [16, 16])])
def test_small_images_lie_in_the_middle_of_an_ignored_border(shape, size):
    mask = _masks([shape])[0]
    for fit in ("pad", "patch"):
        x, y = _batches(material(CaseStore([mask])), "train", data_config(resize_mode=fit, size=size), seed=0)[0]
        inside = y[0] != 255
        assert inside.sum() == np.prod([min(a, b) for a, b in zip(shape, size, strict=True)])
        assert (x[0, ..., 0][~inside] == 0).all()
        assert np.array_equal(x[0, ..., 0][inside], y[0][inside] + 1)
        for axis, (n, full) in enumerate(zip(shape, size, strict=True)):
            if n <= full:
                along = np.flatnonzero(inside.any(axis=tuple(a for a in range(len(size)) if a != axis)))
                assert (along[0], along[-1]) == ((full - n) // 2, (full - n) // 2 + n - 1)


def test_whole_small_volumes_come_back_whole():
    mask = _masks([(5, 16, 7)])[0]
    _, y = _batches(material(CaseStore([mask])), "train", data_config(resize_mode="pad", size=[8, 16, 8]), seed=0)[0]
    assert np.array_equal(y[0][y[0] != 255].reshape(mask.shape), mask)


@pytest.mark.parametrize("shapes", [[(40, 24), (16, 16), (9, 50)], [(20, 9, 17)]])
def test_validation_covers_every_pixel_once_and_never_changes(shapes):
    masks = _masks(shapes)
    source = CaseStore(masks)
    ids = [case.id for case in source.cases]
    card = data_config(size=[16] * masks[0].ndim, foreground_share=1.0, patches_per_case=5)
    batches = _batches(material(source, val=ids, train=()), "val", card, seed=0)
    first = _epoch(batches, 0)
    assert _same(first, _epoch(batches, 9))
    counts = np.bincount(np.concatenate([y.ravel() for _, y in first]), minlength=256)
    truth = np.bincount(np.concatenate([mask.ravel() for mask in masks]), minlength=256)
    assert np.array_equal(counts[:3], truth[:3])
    seen = [i for step in range(len(batches)) for i in batches.case_ids(step)]
    assert seen == sorted(seen)


@pytest.mark.parametrize("fit", ["pad", "patch"])
@pytest.mark.parametrize(
    ("shape", "size"),
    [((10, 13), [4, 6]), ((3, 20), [8, 8]), ((5, 5), [5, 5]), ((9, 4, 7), [4, 6, 7]), ((5, 9, 5), [2, 4, 3])],
)
def test_validation_counts_no_pixel_twice(fit, shape, size):
    source = CaseStore([np.ones(shape, np.uint8)] * 2)
    pixels = int(np.prod(shape))
    # Each pixel has a number of its own, so that what is counted can be told from the images.
    numbers = {f"case{n}": np.arange(pixels, dtype=np.float32).reshape(*shape, 1) + n * pixels for n in range(2)}
    source.read = lambda case: Sample(numbers[case.id], np.ones(shape, np.uint8), (1.0,) * len(shape))
    batches = _batches(
        material(source, val=list(numbers), train=()), "val", data_config(resize_mode=fit, size=size), seed=0
    )
    counted = np.concatenate([x[..., 0][y == 1] for x, y in _epoch(batches, 0)])
    assert np.array_equal(np.sort(counted), np.arange(2 * pixels))


@pytest.mark.parametrize("split", ["train", "val"])
def test_resizing_takes_each_case_whole(split):
    source = CaseStore(_masks([(40, 24), (9, 50)]))
    parts = {"train": (), "val": (), split: ("case0", "case1")}
    batches = _batches(material(source, **parts), split, data_config(resize_mode="resize"), seed=0)
    x, y = batches[0]
    if split == "val":
        assert batches.case_ids(0) == ["case0", "case1"]
    for row, case in enumerate(batches.case_ids(0)):
        sample = source.read(source.cases[int(case[-1])])
        assert np.array_equal(x[row], resize_image(sample.image, (16, 16)))
        assert np.array_equal(y[row], resize_mask(sample.mask, (16, 16), 255))


def test_augmentation_changes_training_alone():
    source = CaseStore(_masks([(16, 16)] * 4))
    ids = [case.id for case in source.cases]
    training_data = material(source, ids, ids)
    flip = Augment(source.task, flip=1.0, rotate90=0.0, intensity=0.0)
    train = _batches(training_data, "train", data_config(), seed=0, augmentation=flip)
    val = _batches(training_data, "val", data_config(), seed=0, augmentation=flip)
    for row, case_id in enumerate(train.case_ids(0)):
        assert np.array_equal(train[0][1][row], source._masks[case_id][::-1, ::-1])
    for row, case_id in enumerate(val.case_ids(0)):
        assert np.array_equal(val[0][1][row], source._masks[case_id])


def test_a_case_is_read_once():
    class Counting(CaseStore):
        reads = 0

        def read(self, case):
            Counting.reads += 1
            return super().read(case)

    source = Counting(_masks([(20, 20)] * 5))
    batches = _batches(material(source), "train", data_config(), seed=0)
    for epoch in range(3):
        _epoch(batches, epoch)
    assert Counting.reads == 5


def test_nobody_can_spoil_the_cases_through_a_batch():
    source = CaseStore(_masks([(16, 16)] * 2))
    batches = _batches(material(source), "train", data_config(resize_mode="resize"), seed=0)
    x, y = batches[0]
    before = x.copy(), y.copy()
    x += 1
    y += 1
    assert _same([batches[0]], [before])


def test_workers_come_from_the_card_and_a_missing_mask_is_named():
    source = CaseStore(_masks([(16, 16)]))
    assert _batches(material(source), "train", data_config(workers=3), seed=0).workers == 3
    assert _batches(material(source), "train", data_config(workers=0), seed=0).workers == 1
    source.read = lambda case: Sample(np.ones((16, 16, 1), np.float32), None, (1.0, 1.0))
    source.describe_files = lambda case: f"files of {case.id}"
    with pytest.raises(DataError, match=r"an image without a mask\s+where: +files of case0"):
        _batches(material(source), "train", data_config(), seed=0)[0]


def test_streams_have_their_own_numbers():
    paths = [(0,), (1,), (0, 0), (0, 1), (0, "a"), (0, "b"), (0, "a", 0), (0, "a", 1), ("a", 0)]
    firsts = {generator(0, *path).integers(2**63) for path in paths}
    firsts |= {generator(1, *path).integers(2**63) for path in paths}
    assert len(firsts) == 2 * len(paths)
    # Golden: a change of the streams changes every run's history and must be seen.
    assert generator(42, "sample", 3, "case7", 1).integers(1000, size=4).tolist() == [146, 123, 463, 287]


def test_the_package_is_free_of_tensorflow_but_for_batches():
    import subprocess
    import sys

    folder = Path(__file__).parents[2] / "src" / "seglab" / "data"
    paths = [path.relative_to(folder.parents[1]).with_suffix("") for path in folder.rglob("*.py")]
    modules = sorted(".".join(path.parts) for path in paths if path.name not in ("batches", "__init__"))
    assert "seglab.data.check.full_check" in modules
    heavy = ("tensorflow", "keras", "mlflow", "albumentations")
    code = f"import sys, {', '.join(modules)}; print([m for m in {heavy} if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
