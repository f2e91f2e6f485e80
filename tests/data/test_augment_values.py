"""Augmentation of grey values and colours: how strong each change is, by hand or by SciPy."""

from __future__ import annotations

import numpy as np
import pytest
from augment_kinds import OFF, TASKS, _blob, _noise
from scipy import ndimage

from seglab.data.augment import Augment
from seglab.data.randomness import generator
from seglab.task import Task

KINDS = ("brightness", "contrast", "color", "gamma", "bias", "noise", "blur")


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        # Amounts are drawn in −1..1; the largest change of each is checked over many draws of a ±1 checkerboard
        # (mean 0, deviation 1), which makes the results easy to name.
        ({"color": 0.5}, lambda x: np.abs(x.mean(axis=(1, 2, 3))).max() == pytest.approx(0.5, abs=0.05)),
        ({"brightness": 0.5}, lambda x: np.abs(x.mean(axis=(1, 2, 3))).max() == pytest.approx(0.5, abs=0.05)),
        ({"contrast": 0.5}, lambda x: x.std(axis=(1, 2, 3)).max() == pytest.approx(1.5, abs=0.05)),
        ({"noise": 0.5}, lambda x: x.std(axis=(1, 2, 3)).max() == pytest.approx(np.sqrt(1.25), abs=0.05)),
        ({"blur": 3.0}, lambda x: x.std(axis=(1, 2, 3)).min() < 0.01),
    ],
)
def test_strengths_mean_what_they_say(change, expected):
    settings = {**OFF, "intensity": 1.0, **dict.fromkeys(KINDS, 0.0), **change}
    augment = Augment(TASKS[2], **settings)
    board = (np.indices((32, 32)).sum(axis=0) % 2 * 2 - 1).astype(np.float32)[..., None]
    mask = np.zeros((32, 32), np.uint8)
    outs = np.stack([augment(board, mask, generator(0, draw))[0] for draw in range(150)])
    assert expected(outs)


def test_gamma_bends_between_the_fixed_ends():
    augment = Augment(TASKS[2], **{**OFF, "intensity": 1.0, **dict.fromkeys(KINDS, 0.0), "gamma": 0.5})
    ramp = np.linspace(-3, 5, 33, dtype=np.float32).reshape(1, -1, 1)
    middles = []
    for draw in range(100):
        out = augment(ramp, np.zeros((1, 33), np.uint8), generator(0, draw))[0].ravel()
        assert (np.diff(out) >= 0).all()
        assert out[[0, -1]].tolist() == pytest.approx([-3, 5], abs=1e-4)
        middles.append(out[16])
    # 0.5^0.5 = 0.7071 and 0.5^1.5 = 0.3536 of the way from −3 to 5.
    assert max(middles) == pytest.approx(-3 + 8 * 0.7071, abs=0.1)
    assert min(middles) == pytest.approx(-3 + 8 * 0.3536, abs=0.1)


def _only(kind, strength, task):
    return Augment(task, **{**OFF, "intensity": 1.0, **dict.fromkeys(KINDS, 0.0), kind: strength})


@pytest.mark.parametrize("size", [(17, 23), (9, 14, 11)])
def test_blur_is_that_of_scipy_in_finest_voxels(size):
    image, mask = _noise(size, 2), np.zeros(size, np.uint8)
    spacing = (3.0, 1.0, 2.0) if len(size) == 3 else None
    augment = _only("blur", 2.0, Task(len(size), 2, ("a", "b")))
    for draw in range(5):
        out, _ = augment(image, mask, generator(0, draw), spacing)
        rng = generator(0, draw)
        rng.random(len(augment._axes))  # mirror images
        [(rng.integers(1, 4), rng.random()) for _ in range(len(size) == 2)]  # a quarter turn
        rng.random(5)
        sigma = abs(rng.uniform(-1, 1, 5)[3]) * 2.0
        sigmas = [sigma / step for step in spacing or (1.0,) * len(size)]
        truth = ndimage.gaussian_filter(image, (*sigmas, 0), truncate=3.0)
        np.testing.assert_allclose(out, truth, atol=2e-5)


def test_colour_shifts_each_channel_on_its_own():
    image = _noise((20, 20), 3)
    out, _ = _only("color", 0.5, Task(2, 3, ("a", "b")))(image, np.zeros((20, 20), np.uint8), generator(1))
    shifts = (out - image).reshape(-1, 3)
    assert np.ptp(shifts, axis=0).max() < 1e-5
    assert np.ptp(shifts[0]) > 0.05


@pytest.mark.parametrize("size", [(30, 40), (16, 20, 12)])
def test_uneven_sensitivity_is_smooth_and_bounded(size):
    # From 1 (the darkest, left alone) to 3: the gain on the height over 1 is that of the sensitivity.
    image = np.full((*size, 1), 3.0, np.float32)
    image.reshape(-1)[0] = 1.0
    mask, gains = np.zeros(size, np.uint8), []
    for draw in range(20):
        out, _ = _only("bias", 0.5, TASKS[len(size)])(image, mask, generator(0, draw))
        gain = (out[..., 0] - 1) / 2
        assert gain.reshape(-1)[0] == 0
        gain = gain[1:]
        assert 1 / 1.5 - 1e-4 <= gain.min() <= gain.max() <= 1.5 + 1e-4
        for axis, n in enumerate(size):
            # A polynomial of third degree between coefficients ± log 1.5 rises by 6 log 1.5 over the axis at most.
            assert np.abs(np.diff(np.log(gain), axis=axis)).max() <= 6 * np.log(1.5) / (n - 1) + 1e-4
        gains.append(np.ptp(gain))
    assert max(gains) > 0.2


@pytest.mark.parametrize("size", [(40, 60), (20, 24, 28)])
def test_hidden_boxes_show_the_mean_and_keep_the_mask(size):
    image, mask = _noise(size, 2), _blob(size)
    augment = Augment(Task(len(size), 2, ("a", "b")), **{**OFF, "dropout": 1.0})
    shares = []
    for draw in range(20):
        out, out_mask = augment(image, mask, generator(0, draw))
        assert np.array_equal(out_mask, mask)
        hidden = (out != image).any(axis=-1)
        np.testing.assert_allclose(
            out[hidden], np.tile(image.reshape(-1, 2).mean(axis=0), (hidden.sum(), 1)), atol=1e-5
        )
        shares.append(hidden.mean())
    # One box of 5% of each side at least, eight of 20% at most.
    assert min(shares) > 0.03 ** len(size)
    assert max(shares) <= 8 * 0.22 ** len(size)
    assert len(set(shares)) > 10


@pytest.mark.parametrize("size", [(30, 50), (12, 20, 16)])
def test_a_box_of_another_sample_is_pasted_image_and_mask_alike(size):
    augment = Augment(TASKS[len(size)], mix=0.5)
    assert augment.mix == 0.5
    image, other = np.zeros((*size, 1), np.float32), np.ones((*size, 1), np.float32)
    mask, other_mask = np.zeros(size, np.uint8), np.ones(size, np.uint8)
    for array in (image, other, mask, other_mask):
        array.flags.writeable = False
    shares = []
    for draw in range(200):
        out, out_mask = augment.paste(image, mask, other, other_mask, generator(0, draw))
        assert np.array_equal(out[..., 0] == 1, out_mask == 1)
        bounds = ndimage.find_objects(out_mask)
        assert not bounds or out_mask[bounds[0]].all()
        shares.append(out_mask.mean())
    assert 0.2 < np.mean(shares) < 0.5
    assert max(shares) > 0.6
    with pytest.raises(ValueError, match="different shapes"):
        augment.paste(image, mask, other[1:], other_mask[1:], generator(0))
