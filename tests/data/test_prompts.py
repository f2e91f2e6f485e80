"""Simulated prompts against masks made by hand: objects, views, where a click goes, what the network is shown."""

from __future__ import annotations

import numpy as np
import pytest
from prompted_masks import disk

from seglab.data.prompts.channels import RADIUS, paint_disk, prompt_channels
from seglab.data.prompts.clicks import Click, depth, error_click
from seglab.data.prompts.objects import objects_of
from seglab.data.prompts.prompted_cases import drawn_view, object_mask
from seglab.data.prompts.views import LARGEST_MAGNIFICATION, View, view_around, widest


class Deepest:
    """A generator that draws the deepest place and the first of equals."""

    def uniform(self, low: float, high: float) -> float:
        return high

    def integers(self, high: int) -> int:
        return 0


def test_components_are_objects_in_the_order_of_classes_and_corners_touch() -> None:
    mask = np.zeros((8, 12), np.uint8)
    mask[0:2, 0:2] = 2
    mask[4:6, 4:6] = mask[6:8, 6:8] = 1  # they touch at a corner: one object
    mask[0:2, 9:12] = 1
    mask[0, 5] = 255
    found = objects_of(mask, (1, 2), smallest=1)
    assert [(one.class_id, one.start, one.shape) for one in found] == [
        (1, (0, 9), (2, 3)),
        (1, (4, 4), (4, 4)),
        (2, (0, 0), (2, 2)),
    ]
    np.testing.assert_array_equal(found[1].inside, mask[4:8, 4:8] == 1)
    assert objects_of(mask, (1, 2), smallest=5) == found[:2]
    assert objects_of(np.zeros((4, 4), np.uint8), (1,)) == ()


def test_instance_ids_part_what_touches_and_join_what_does_not() -> None:
    mask, ids = np.zeros((4, 10), np.uint8), np.zeros((4, 10), np.int32)
    mask[:, :9] = 1
    ids[:, 0:2] = ids[:, 6:7] = 26001  # one instance behind another
    ids[:, 2:6] = 26000
    found = objects_of(mask, (1,), ids, smallest=1)
    areas = sorted((one.start, int(one.inside.sum())) for one in found)
    assert areas == [((0, 0), 12), ((0, 2), 16), ((0, 7), 8)]  # the last one: a component without an id


def test_a_volume_has_objects_too() -> None:
    mask = np.zeros((6, 6, 6), np.uint8)
    mask[1:4, 2:5, 0:2] = 1
    (one,) = objects_of(mask, (1,))
    assert (one.start, one.shape, int(one.inside.sum())) == ((1, 2, 0), (3, 3, 2), 18)


def test_a_view_has_the_inputs_proportions_and_lies_inside() -> None:
    assert view_around((10, 10), (20, 30), (100, 100), (32, 32), margin=1.5) == View((0, 5), (30, 30))
    assert view_around((0, 0), (100, 100), (100, 100), (32, 32), margin=3.0) == View((0, 0), (100, 100))
    # A box that is wider than the image is high: as high as the image allows.
    assert view_around((0, 0), (20, 90), (40, 100), (32, 32)) == View((0, 0), (40, 90))


def test_a_speck_is_enlarged_no_more_than_four_times() -> None:
    view = view_around((50, 50), (51, 51), (100, 100), (32, 32))
    assert view.shape == (32 / LARGEST_MAGNIFICATION,) * 2
    assert widest((60, 100), (32, 32)) == 60 / 32


@pytest.mark.parametrize("image", [(40, 60), (61, 33), (30, 30)])
def test_a_drawn_view_holds_its_whole_object(image: tuple[int, int]) -> None:
    mask = np.zeros(image, np.uint8)
    mask[5:17, 20:29] = 1
    mask[0, :] = 255
    (one,) = objects_of(mask, (1,))
    shapes = set()
    for seed in range(50):
        view = drawn_view(one, image, (32, 32), np.random.default_rng(seed))
        assert all(s >= 0 and s + n <= full for s, n, full in zip(view.start, view.shape, image, strict=True))
        assert (mask[view.box] == 1).sum() == 12 * 9
        shapes.add(view.shape)
        truth = object_mask(one, view, mask, (32, 32), 255)
        assert (truth == 1).any()
        assert ((truth == 255).any()) == (view.start[0] == 0 and view.shape[0] <= 64)
    assert len(shapes) > 3


def test_another_object_of_the_class_is_background() -> None:
    mask = np.zeros((32, 32), np.uint8)
    mask[4:12, 4:12] = mask[20:28, 20:28] = 1
    first, second = objects_of(mask, (1,))
    whole = View((0, 0), (32, 32))
    for one, place in ((first, 4), (second, 20)):
        truth = object_mask(one, whole, mask, (32, 32), 255)
        expected = np.zeros((32, 32))
        expected[place : place + 8, place : place + 8] = 1
        np.testing.assert_array_equal(truth, expected)


def test_a_click_goes_into_the_middle_of_the_error_that_reaches_deeper() -> None:
    missing, too_much = np.zeros((21, 41), bool), np.zeros((21, 41), bool)
    missing[3:10, 3:10] = True  # 7 x 7: deepest 4 pixels from the outside
    too_much[15:18, 2:40] = True  # larger, and 2 deep
    assert error_click(missing, too_much, Deepest()) == Click((6, 6), 1)
    assert error_click(too_much, missing, Deepest()) == Click((6, 6), 0)
    assert error_click(missing & False, too_much & False, Deepest()) is None


def test_the_edge_of_the_image_is_an_edge_of_the_error() -> None:
    missing = np.zeros((9, 9), bool)
    missing[:, :5] = True
    assert error_click(missing, missing & False, Deepest()) == Click((2, 2), 1)
    assert depth(np.ones((5, 5), bool)).max() == 3


def test_a_pixel_is_clicked_once() -> None:
    missing, taken = np.zeros((5, 5), bool), np.zeros((5, 5), bool)
    missing[2, 2] = missing[0, 0] = True
    first = error_click(missing, missing & False, Deepest(), taken)
    assert first == Click((0, 0), 1)
    taken[0, 0] = True
    assert error_click(missing, missing & False, Deepest(), taken) == Click((2, 2), 1)
    taken[2, 2] = True
    assert error_click(missing, missing & False, Deepest(), taken) is None


def test_a_hand_does_not_always_hit_the_middle_but_stays_inside() -> None:
    missing = disk((31, 31), (15, 15), 10)
    rng = np.random.default_rng(0)
    places = {error_click(missing, missing & False, rng).place for _ in range(60)}
    assert len(places) > 20
    assert all(depth(missing)[place] >= 0.4 * depth(missing).max() for place in places)


def test_disks_box_and_mask_before_are_channels_of_noughts_and_ones() -> None:
    before = disk((20, 20), (5, 5), 3)
    channels = prompt_channels((20, 20), [Click((10, 10), 1), Click((0, 0), 0)], ((2, 3), (6.4, 9)), before)
    np.testing.assert_array_equal(channels[..., 0], disk((20, 20), (10, 10), RADIUS))
    np.testing.assert_array_equal(channels[..., 1], disk((20, 20), (0, 0), RADIUS))
    np.testing.assert_array_equal(channels[..., 2], before)
    box = np.zeros((20, 20))
    box[2:6, 3:9] = 1
    np.testing.assert_array_equal(channels[..., 3], box)


@pytest.mark.parametrize("place", [(-10, 4), (4, 25), (-2, -2), (22, 19)])
def test_a_disk_beyond_the_edge_is_cut_and_not_wrapped(place: tuple[int, int]) -> None:
    array = np.zeros((20, 20))
    paint_disk(array, place, 1.0)
    np.testing.assert_array_equal(array, disk((20, 20), place, RADIUS))


def test_a_ball_has_the_volume_of_a_ball() -> None:
    volume = np.zeros((15, 15, 15))
    paint_disk(volume, (7, 7, 7), 1.0)
    grid = np.indices(volume.shape) - 7
    np.testing.assert_array_equal(volume, (grid**2).sum(0) <= RADIUS**2)
