"""Simulated prompts as a network is trained on them: drawn for an object, with its mask before, in batches."""

from __future__ import annotations

import pickle
from dataclasses import replace

import cv2
import numpy as np
import pytest
from data_cards import data_config
from prompted_masks import disk

from seglab.data.cache.in_memory import store_in_memory
from seglab.data.cases import Case, Sample
from seglab.data.check.findings import DataReport
from seglab.data.loading.batches import Batches
from seglab.data.loading.training_data import TrainingData, prompted
from seglab.data.preprocessing.case_preprocessing import CasePreprocessing
from seglab.data.preprocessing.normalisation import Preprocessing
from seglab.data.prompts.channels import RADIUS
from seglab.data.prompts.objects import objects_of
from seglab.data.prompts.prompted_cases import MOST_OBJECTS
from seglab.data.prompts.simulation import MOST_CLICKS, simulated_prompt
from seglab.data.splits import Split
from seglab.data.synthetic.shapes import Synthetic2D
from seglab.errors import DataError


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
