"""The way of a prompt to a promptable network and of its answer back, with networks that answer by a rule."""

from __future__ import annotations

import numpy as np
import pytest

from seglab.data.preprocessing.normalisation import Preprocessing
from seglab.data.prompts.channels import RADIUS
from seglab.errors import SeglabError
from seglab.inference.bundle import Bundle
from seglab.inference.loaded_network import LoadedNetwork
from seglab.interactive.click_network import ClickNetwork, expected_iou
from seglab.interactive.prompt import Prompt
from seglab.interactive.prompt_models import load_model
from seglab.task import Task


class Rule(LoadedNetwork):
    """Answers 4 where a channel of its input is above a half, else -4."""

    name, outputs, precision = "rule", 1, "float32"

    def __init__(self, size: tuple[int, ...], channels: int, channel: int):
        self.size, self.channels, self._channel = size, channels, channel
        self.seen: list[np.ndarray] = []

    def logits(self, images: np.ndarray) -> np.ndarray:
        self.seen.append(images)
        return np.where(images[..., self._channel, None] > 0.5, np.float32(4), np.float32(-4))


def model_of(channel: int, size: tuple[int, ...] = (32, 32), channels: int = 3, mode: str = "scale") -> ClickNetwork:
    """Channels of the prompt: -4 on the object, -3 beside it, -2 the mask before, -1 the box."""
    task = Task(len(size), channels + 4, ("background", "object"))
    bundle = Bundle(task, Preprocessing(mode, channels, 255.0, scale="bytes", prompts=4), size, "resize", versions={})
    return ClickNetwork("click_unet", Rule(size, channels + 4, channel), bundle, "0")


def image_of(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3)).astype(np.uint8)


@pytest.mark.parametrize(("height", "width"), [(64, 64), (48, 100), (33, 27), (300, 411)])
def test_a_box_comes_back_where_it_was_drawn(height: int, width: int) -> None:
    model = model_of(-1)
    x0, y0, x1, y1 = width // 4, height // 3, width // 2, height // 2 + 3
    answer = model.candidates(model.embed(image_of(height, width)), Prompt.of((height, width), box=[x0, y0, x1, y1]))
    assert answer.logits.shape == (3, height, width)
    truth = np.zeros((height, width), bool)
    truth[y0 : y1 + 1, x0 : x1 + 1] = True
    for logits in answer.logits:
        mask = logits > 0
        # Each side may be off by half a pixel of the network's input.
        far = max(height, width) * 0.5 / 32 + 1
        rows, columns = np.nonzero(mask)
        edges = np.array([rows.min() - y0, rows.max() - y1, columns.min() - x0, columns.max() - x1])
        assert (np.abs(edges) <= far).all(), edges


def test_a_click_is_a_disk_around_its_pixel_in_every_view() -> None:
    model = model_of(-4)
    answer = model.candidates(model.embed(image_of(128, 128)), Prompt.of((128, 128), [[40, 90]], [1]))
    widths = []
    for logits in answer.logits:
        rows, columns = np.nonzero(logits > 0)
        assert abs(rows.mean() - 90) < 2
        assert abs(columns.mean() - 40) < 2
        widths.append(np.ptp(columns) + 1)
    # A quarter, half and all of the image on 32 pixels: 1, 2 and 4 pixels for one.
    assert widths == pytest.approx([2 * RADIUS + 1, 2 * (2 * RADIUS + 1), 4 * (2 * RADIUS + 1)], abs=3)


def test_the_mask_before_is_shown_and_all_of_it_is_in_every_view() -> None:
    model = model_of(-2)
    before = np.zeros((90, 120), bool)
    before[10:50, 20:100] = True
    answer = model.candidates(model.embed(image_of(90, 120)), Prompt.of((90, 120), [[110, 80]], [0], mask=before))
    for logits in answer.logits:
        assert ((logits > 0) & before).sum() / ((logits > 0) | before).sum() > 0.85


def test_a_prompt_beside_an_empty_mask_sees_the_whole_image() -> None:
    model = model_of(-3)
    prompt = Prompt.of((40, 40), [[5, 5]], [0], mask=np.zeros((40, 40), bool))
    answer = model.candidates(model.embed(image_of(40, 40)), prompt)
    assert (answer.logits > 0).any(axis=(1, 2)).all()


def test_a_pixel_is_an_image_too() -> None:
    model = model_of(-4)
    answer = model.candidates(model.embed(image_of(1, 1)), Prompt.of((1, 1), [[0, 0]], [1]))
    assert answer.logits.shape == (3, 1, 1)
    assert np.isfinite(answer.logits).all()


def test_colours_become_the_brightness_that_a_grey_network_knows() -> None:
    model = model_of(-4, channels=1)
    image = np.zeros((4, 4, 3), np.uint8)
    image[..., 1] = 200
    assert (model.embed(image).arrays["image"] == 117).all()  # 0.587 of 200


def test_the_network_is_given_the_image_as_in_training() -> None:
    model = model_of(-4, size=(64, 64))
    image = image_of(64, 64)
    model.candidates(model.embed(image), Prompt.of((64, 64), [[30, 30]], [1]))
    np.testing.assert_allclose(model._network.seen[0][2][..., :3], image / 255, atol=1e-6)


def test_a_volume_is_answered_in_its_own_voxels() -> None:
    model = model_of(-1, size=(16, 16, 16), channels=1, mode="zscore")
    volume = np.random.default_rng(0).normal(size=(30, 20, 24, 1)).astype(np.float32)
    prompt = Prompt.of((30, 20, 24), box=[4, 5, 6, 13, 12, 17])
    answer = model.candidates(model.embed(volume), prompt)
    rows, columns, planes = np.nonzero(answer.logits[0] > 0)
    found = [rows.min(), columns.min(), planes.min(), rows.max(), columns.max(), planes.max()]
    assert np.abs(np.array(found) - [4, 5, 6, 13, 12, 17]).max() <= 1


def test_a_score_is_the_iou_that_the_probabilities_promise() -> None:
    sure, half = np.float32(50), np.float32(0)
    logits = np.full((10, 10), -sure)
    assert expected_iou(logits) == 0
    logits[:5] = sure
    assert expected_iou(logits) == pytest.approx(1)
    logits[5] = half - np.float32(1e-6)  # ten pixels that are as likely the object's as not
    assert expected_iou(logits) == pytest.approx(50 / 55, abs=1e-6)
    logits[4] = half + np.float32(1e-6)
    assert expected_iou(logits) == pytest.approx(45 / 55, abs=1e-6)


def test_the_digest_tells_networks_apart() -> None:
    one, other = model_of(-1), model_of(-1)
    assert one.digest == other.digest
    task = Task(2, 7, ("background", "object"))
    bundle = Bundle(task, Preprocessing("scale", 3, 255.0, prompts=4), (32, 32), "resize", versions={})
    assert ClickNetwork("click_unet", Rule((32, 32), 7, -1), bundle, "1").digest != one.digest


def test_volumes_need_a_checkpoint() -> None:
    with pytest.raises(SeglabError) as refused:
        load_model("click_unet3d")
    assert refused.value.code == "checkpoint-not-given"
