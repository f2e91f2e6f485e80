"""The gate on the data: what is lost in a smaller size, by patches or by an augmentation."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from checked_sets import ABC, Held, card, check, elsewhere, names, picture

from seglab.data.check.augmenting import find_lost_in_augmentation
from seglab.data.check.shrinking import Shrunk, evenly, shape_seen
from seglab.task import Region, Task

__all__ = ["elsewhere"]


def test_a_pole_of_one_pixel_does_not_survive_a_quarter_of_the_size():
    # A column of one pixel in 32: at 8 pixels a row each stands for the third of four, so column 10 stays, 9 is lost.
    samples = {}
    for n, i in enumerate("abc"):
        mask = np.zeros((32, 32), np.uint8)
        mask[:, 9] = 1
        samples[i] = picture(n, mask)
    (finding,) = check(Held(samples), ABC, size=[8, 8]).findings
    assert (finding.name, finding.where) == ("thin-class-lost", "class object")
    assert "at 8×8 (data.resize_mode=resize) 1 of its 1 parts vanish" in finding.found
    assert "Dice 0.00 (1 masks looked at)" in finding.found
    assert names(check(Held(samples), ABC, size=[8, 8], resize_mode="patch")) == []
    assert names(check(Held(samples), ABC, size=[32, 32])) == []


def test_a_thin_class_within_a_region_that_is_scored_as_a_whole_is_not_reported():
    task = Task(2, 1, ("background", "rim", "inner"))
    samples = {}
    for n, i in enumerate("abc"):
        mask = np.zeros((32, 32), np.uint8)
        mask[:, 9], mask[:, 10:29] = 1, 2
        samples[i] = picture(n, mask)

    def rimless(image, mask, rng, spacing):
        return image, np.where(mask == 1, 2, mask).astype(np.uint8)

    def messages(regions):
        source = Held(samples, task=replace(task, regions=regions))
        lost = find_lost_in_augmentation(source, source.cases, rimless, card(), 0)
        found = [*check(source, ABC, size=[8, 8]).findings, *lost]
        return [(one.name, one.where) for one in found]

    lost, both = ("thin-class-lost", "class-lost-in-augmentation"), Region("both", (1, 2), 2)
    assert messages(()) == [(name, "class rim") for name in lost]
    assert messages((both,)) == []
    assert messages((both, Region("edge", (1,), 1))) == [(name, "region edge") for name in lost]


def test_what_comes_back_from_a_smaller_size_is_counted():
    # Rows 2 to 5 of 8, at half the size, are new rows 1 and 2, and come back as 2..5 exactly; of rows 1 to 4 new rows 0
    # and 2 hold half, which goes to the higher id of equally large classes: they come back as 0..5.
    even = np.zeros((8, 8), np.uint8)
    even[2:6] = 1
    counts = Shrunk(((0,), (1,)), 255)
    counts.add(even, (4, 4))
    assert (counts.overlap[1], counts.before[1], counts.after[1]) == (32, 32, 32)
    odd = np.zeros((8, 8), np.uint8)
    odd[1:5] = 1
    counts = Shrunk(((0,), (1,)), 255)
    counts.add(odd, (4, 4))
    assert (counts.overlap[1], counts.before[1], counts.after[1]) == (32, 32, 48)
    odd[5:] = 255
    counts.add(odd, (4, 4))
    assert counts.before[0] == 32 + 8
    assert (counts.parts[1], counts.lost[1], counts.masks) == (2, 0, 2)


def test_parts_of_a_volume_and_specks():
    mask = np.zeros((16, 16, 16), np.uint8)
    mask[0, 0, :] = 1  # sixteen voxels that lie between the voxels taken
    mask[9, 9, 9] = 1  # a speck, counted for nothing
    mask[4:12, 4:8, 4:8] = 1
    counts = Shrunk(((0,), (1,)), 255)
    counts.add(mask, (8, 8, 8))
    assert (counts.parts[1], counts.lost[1]) == (2, 1)


@pytest.mark.parametrize(
    ("settings", "seen"),
    [
        ({"resize_mode": "resize", "size": [10, 20]}, (10, 20)),
        ({"resize_mode": "letterbox", "size": [64, 64]}, (32, 64)),
        ({"resize_mode": "pad", "size": [10, 20]}, (100, 200)),
        ({"resize_mode": "patch", "size": [10, 20], "spacing": [2.0, 4.0]}, (50, 50)),
    ],
)
def test_the_shape_that_the_model_sees(settings, seen):
    assert shape_seen(card(**settings), (100, 200), (1.0, 1.0)) == seen


def test_a_sample_is_spread_over_all_cases():
    ids = [str(n) for n in range(100)]
    assert evenly(ids, 3) == ["0", "50", "99"]
    assert evenly(ids[:2], 5) == ["0", "1"]
    assert evenly([], 5) == []


def opened(image, mask, rng, spacing=None):
    """An augmentation that wipes out every line of up to two pixels."""
    return image, cv2.erode(mask, np.ones((3, 3), np.uint8))


def kept(image, mask, rng, spacing=None):
    return image, np.flip(mask, 1)


@pytest.mark.parametrize("fit", ["resize", "letterbox", "pad", "patch"])
def test_a_line_that_an_augmentation_wipes_out_is_found(fit):
    line = np.zeros((32, 32), np.uint8)
    line[15:17] = 1
    source = Held({"a": picture(0, line), "b": picture(1, line)})
    settings = card(resize_mode=fit)
    (finding,) = find_lost_in_augmentation(source, source.cases, opened, settings, 0)
    assert (finding.name, finding.where) == ("class-lost-in-augmentation", "class object")
    assert "0.00% after (8 draws)" in finding.found
    assert not list(find_lost_in_augmentation(source, source.cases, kept, settings, 0))
    assert not list(find_lost_in_augmentation(source, source.cases, None, settings, 0))


def test_patches_are_drawn_where_the_class_is():
    mask = np.zeros((64, 64), np.uint8)
    mask[60:62, 60:62] = 1
    source = Held({"a": picture(0, mask, (64, 64))})
    settings = card(resize_mode="patch", size=[8, 8])
    assert list(find_lost_in_augmentation(source, source.cases, opened, settings, 0))
    assert not list(find_lost_in_augmentation(source, source.cases, kept, settings, 0))
