"""Simulated prompts against masks made by hand: objects, views, where a click goes, what the network is shown."""

from __future__ import annotations

import pickle
from dataclasses import replace

import cv2
import numpy as np
import pytest
from data_cards import data_config

from seglab.data.cache.in_memory import store_in_memory
from seglab.data.cases import Case, Sample
from seglab.data.check.findings import DataReport
from seglab.data.loading.batches import Batches
from seglab.data.loading.training_data import TrainingData, prompted
from seglab.data.preprocessing.case_preprocessing import CasePreprocessing
from seglab.data.preprocessing.normalisation import Preprocessing
from seglab.data.prompts.channels import RADIUS, paint_disk, prompt_channels
from seglab.data.prompts.clicks import Click, depth, error_click
from seglab.data.prompts.objects import objects_of
from seglab.data.prompts.prompted_cases import MOST_OBJECTS, drawn_view, object_mask
from seglab.data.prompts.simulation import MOST_CLICKS, simulated_prompt
from seglab.data.prompts.views import LARGEST_MAGNIFICATION, View, view_around, widest
from seglab.data.splits import Split
from seglab.data.synthetic.shapes import Synthetic2D
from seglab.errors import DataError


class Deepest:
    """A generator that draws the deepest place and the first of equals."""

    def uniform(self, low: float, high: float) -> float:
        return high

    def integers(self, high: int) -> int:
        return 0


def disk(size: tuple[int, int], middle: tuple[int, int], radius: float) -> np.ndarray:
    rows, columns = np.indices(size)
    return (rows - middle[0]) ** 2 + (columns - middle[1]) ** 2 <= radius**2


# Objects


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


# Views


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


# Clicks


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


# Channels


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


# Simulated prompts


def prompts(mask: np.ndarray, count: int = 80) -> list[np.ndarray]:
    return [simulated_prompt(mask, np.random.default_rng(seed)) for seed in range(count)]


def test_every_prompt_names_its_object_and_no_disk_lies_on_the_wrong_side() -> None:
    truth = disk((48, 48), (20, 26), 9).astype(np.uint8)
    several = prompts(truth)
    assert all(one[..., 0].any() or one[..., 3].any() for one in several)
    assert set(np.unique(several)) == {0.0, 1.0}
    for one in several:
        for label, channel in ((1, 0), (0, 1)):
            for place in middles(one[..., channel]):
                assert truth[place] == label
    boxes = sum(one[..., 3].any() for one in several) / len(several)
    before = sum(one[..., 2].any() for one in several) / len(several)
    assert 0.15 < boxes < 0.45
    assert 0.35 < before < 0.75


def middles(channel: np.ndarray) -> list[tuple[int, int]]:
    """Where a whole disk of the channel has its middle: clicks whose disks lie apart and inside."""
    pattern = np.where(np.pad(disk((7, 7), (3, 3), RADIUS), 1), 1, -1).astype(np.float32)
    found = cv2.filter2D(channel, -1, pattern, borderType=cv2.BORDER_CONSTANT)
    return [tuple(place) for place in np.argwhere(found == (pattern > 0).sum()).tolist()]


def test_a_mask_before_agrees_with_the_clicks_that_were_made_for_it() -> None:
    truth = disk((48, 48), (20, 26), 9).astype(np.uint8)
    ious = []
    for one in prompts(truth):
        before = one[..., 2] > 0
        if before.any():
            ious.append((before & (truth == 1)).sum() / (before | (truth == 1)).sum())
            wrong = before != (truth == 1)
            clicks = np.maximum(one[..., 0], one[..., 1]) > 0
            assert (wrong & clicks).any() or not wrong.any()  # the last click is on an error of it
    assert 0.15 < np.quantile(ious, 0.1) < np.quantile(ious, 0.9) < 0.99


def test_a_tiny_object_an_empty_one_and_one_that_fills_the_view() -> None:
    tiny = np.zeros((32, 32), np.uint8)
    tiny[31, 0] = 1
    for one in prompts(tiny, 50):
        assert one[..., 0].any() or one[31, 0, 3] == 1
    nothing = simulated_prompt(np.zeros((32, 32), np.uint8), np.random.default_rng(0))
    assert nothing[..., 1].any()
    assert not nothing[..., [0, 2, 3]].any()
    assert not simulated_prompt(np.full((32, 32), 255, np.uint8), np.random.default_rng(0)).any()
    assert all(one[..., 0].any() or one[..., 3].any() for one in prompts(np.ones((32, 32), np.uint8), 20))


def test_nothing_is_clicked_where_there_is_no_truth() -> None:
    truth = disk((48, 48), (24, 24), 9).astype(np.uint8)
    truth[:, 30:] = 255
    for one in prompts(truth, 60):
        for channel in (0, 1):
            assert all(place[1] < 30 for place in middles(one[..., channel]))


def test_clicks_are_bounded_and_one_is_the_most_frequent_number() -> None:
    truth = disk((64, 64), (30, 30), 14).astype(np.uint8)
    clicked = [one for one in prompts(truth, 100) if one[..., :2].any()]
    area = disk((9, 9), (4, 4), RADIUS).sum()
    painted = np.array([one[..., :2].sum() / area for one in clicked])
    assert painted.max() <= MOST_CLICKS
    assert 0.15 < (painted <= 1).mean() < 0.5


def test_a_volume_gets_prompts() -> None:
    truth = np.zeros((16, 16, 16), np.uint8)
    truth[4:10, 5:11, 3:12] = 1
    for one in prompts(truth, 10):
        assert one.shape == (16, 16, 16, 4)
        assert one[..., 0].any() or one[..., 3].any()


# Samples


class Volumes:
    """Two volumes with a cube each."""

    def __init__(self) -> None:
        synthetic = Synthetic2D(count=2)
        self.name, self.split = "volumes", None
        self.task = replace(synthetic.task, rank=3)
        self.cases = [Case(f"v{n}", (), None, str(n)) for n in range(2)]

    def read(self, case: Case) -> Sample:
        mask = np.zeros((20, 18, 16), np.uint8)
        mask[3:12, 4:12, 2:13] = 1
        return Sample((mask * 100)[..., None], mask, (1.0,) * 3)

    read_image = read

    def describe_files(self, case: Case) -> str:
        return case.id

    def digest(self) -> str:
        return "0"


def batches(source, card, split: str, workers: int = 0, **settings) -> Batches:
    ids = [case.id for case in source.cases]
    parts = Split(tuple(ids[:-1]), tuple(ids[-1:]), ())
    facts, arrays = store_in_memory(source, CasePreprocessing.of(card), source.cases)
    data = TrainingData(
        source, parts, source.task, Preprocessing("scale", 1, 255.0), "0", arrays, facts, DataReport(())
    )
    return Batches(prompted(data), split, card.model_copy(update={"workers": workers}), **settings)


def epoch_of(made: Batches, epoch: int) -> tuple[np.ndarray, np.ndarray]:
    made.epoch = epoch
    parts = [made[step] for step in range(len(made))]
    return np.concatenate([x for x, _ in parts]), np.concatenate([y for _, y in parts])


def test_samples_are_the_same_whatever_the_workers_and_new_in_each_epoch() -> None:
    source = Synthetic2D(count=5, image_size=(48, 48))
    card = data_config(size=[32, 32], resize_mode="patch", batch_size=3, patches_per_case=2)
    one = batches(source, card, "train", seed=7)
    x, y = epoch_of(one, 1)
    assert x.shape == (8, 32, 32, 5)
    assert set(np.unique(y)) <= {0, 1, 255}
    again, _ = epoch_of(batches(source, card, "train", workers=2, seed=7), 1)
    np.testing.assert_array_equal(again, x)
    np.testing.assert_array_equal(epoch_of(one, 1)[0], x)
    pickle.loads(pickle.dumps(one.sampler))
    for other in (epoch_of(one, 2)[0], epoch_of(batches(source, card, "train", seed=8), 1)[0]):
        assert not np.array_equal(other, x)


def test_validation_shows_each_object_in_the_same_view_with_the_same_prompt() -> None:
    source = Synthetic2D(count=3, image_size=(48, 48), classes=4)
    card = data_config(size=[32, 32], resize_mode="patch", batch_size=2)
    val = batches(source, card, "val", seed=7)
    x, y = epoch_of(val, 0)
    mask = source.read(source.cases[-1]).mask
    assert len(x) == min(len(objects_of(mask, (1, 2, 3))), MOST_OBJECTS)
    np.testing.assert_array_equal(x, epoch_of(batches(source, card, "val", seed=7), 0)[0])
    assert (y == 1).any(axis=(1, 2)).all()


def test_volumes_make_samples() -> None:
    card = data_config(rank=3, size=[8, 8, 8], resize_mode="patch", batch_size=1)
    x, y = epoch_of(batches(Volumes(), card, "train", seed=0), 0)
    assert x.shape == (1, 8, 8, 8, 5)
    assert 0 < (y == 1).sum() < y.size


def test_masks_without_an_object_are_refused() -> None:
    class Nothing(Volumes):
        def read(self, case: Case) -> Sample:
            sample = super().read(case)
            sample.mask[:] = 0
            return sample

    card = data_config(rank=3, size=[8, 8, 8], resize_mode="patch", batch_size=1)
    with pytest.raises(DataError) as refused:
        batches(Nothing(), card, "train", seed=0)
    assert refused.value.code == "no-object"


def test_the_prompt_passes_the_normalisation_as_it_is() -> None:
    image = np.arange(2 * 2 * 3, dtype=np.uint8).reshape(2, 2, 3)
    both = np.concatenate([image, np.ones((2, 2, 4), np.uint8)], axis=-1)
    for given in (
        Preprocessing("zscore", 3, prompts=4),
        Preprocessing("standard", 3, 255.0, (0.5,) * 3, (0.25,) * 3, prompts=4),
        Preprocessing("scale", 3, 255.0, prompts=4),
    ):
        out = given.apply(both)
        np.testing.assert_array_equal(out[..., :3], given.of_images.apply(image))
        np.testing.assert_array_equal(out[..., 3:], np.ones((2, 2, 4)))
        assert Preprocessing.from_dict(given.to_dict()) == given
    assert "prompts" not in Preprocessing("scale", 3).to_dict()
