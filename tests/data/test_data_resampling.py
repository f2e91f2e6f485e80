"""Volumes at another spacing: where each value lies, what stays, and the way back."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seglab.data.preprocessing.spacing import (
    averaging,
    cubic_convolution,
    resample_image,
    resample_mask,
    resample_to,
    resampled_shape,
)

SHAPES = st.tuples(*[st.integers(1, 9)] * 3)
SPACINGS = st.tuples(*[st.sampled_from([0.5, 0.8, 1.0, 2.5, 5.0])] * 3)
KINDS = st.sampled_from(["linear", "cubic"])


def test_the_number_of_voxels_covers_the_extent():
    # 256 · 0.5 = 128 mm and 20 · 5 = 100 mm: 128 and 100 voxels of 1 mm; 5 · 1 / 2 = 2.5 → 2; never none.
    assert resampled_shape((256, 256, 20), (0.5, 0.5, 5.0), (1.0, 1.0, 1.0)) == (128, 128, 100)
    assert resampled_shape((5, 7, 1), (1, 1, 1), (2, 3, 9)) == (2, 2, 1)


def test_linear_worked_by_hand():
    row = np.array([0.0, 10.0], np.float32).reshape(2, 1, 1, 1)
    # New centres at −¼, ¼, ¾, 1¼ old voxels, the ends held.
    assert resample_image(row, (2, 1, 1), (1, 1, 1)).ravel().tolist() == pytest.approx([0, 2.5, 7.5, 10])
    # Back: the mean of each pair.
    four = np.array([0, 2, 6, 8], np.float32).reshape(4, 1, 1, 1)
    assert resample_image(four, (1, 1, 1), (2, 1, 1)).ravel().tolist() == pytest.approx([1, 7])
    # Three into one: ∫ of the straight lines through 0, 0, 8 around the middle, over 2: 4 / 2.
    three = np.array([0, 0, 8], np.float32).reshape(3, 1, 1, 1)
    assert resample_image(three, (1, 1, 1), (3, 1, 1)).ravel().tolist() == pytest.approx([2])


def test_averaging_worked_by_hand():
    # Old / new = 3: the mean of the line over one voxel to each side is ¼, ½, ¼.
    assert averaging(6, 2).toarray().tolist() == [
        pytest.approx([0.25, 0.5, 0.25, 0, 0, 0]),
        pytest.approx([0, 0, 0, 0.25, 0.5, 0.25]),
    ]


def test_cubic_worked_by_hand():
    # Keys at ¼: −9, 111, 29, −3 in 128ths; the outermost voxel stands for what lies beyond.
    shares = cubic_convolution(4, 8).toarray() * 128
    # Index 3 lies at 1.25: voxels 0, 1, 2, 3.
    assert shares[3].tolist() == pytest.approx([-9, 111, 29, -3])
    assert shares[0].tolist() == pytest.approx([128, 0, 0, 0])


@given(SHAPES, SPACINGS, SPACINGS, KINDS)
def test_a_constant_stays_that_constant(shape, spacing, target, kind):
    image = np.full((*shape, 2), 3.5, np.float32)
    out = resample_image(image, spacing, target, kind)
    assert out.shape == (*resampled_shape(shape, spacing, target), 2)
    assert out.dtype == np.float32
    assert np.allclose(out, 3.5, atol=1e-5)
    assert np.allclose(resample_to(out[..., 0], shape), 3.5, atol=1e-5)


@given(SHAPES, SPACINGS, SPACINGS, KINDS)
def test_a_ramp_stays_a_ramp(shape, spacing, target, kind):
    """Between the outermost centres, and with the cubic one voxel further in, the value is the place."""
    axes = np.meshgrid(*[np.arange(n, dtype=np.float32) for n in shape], indexing="ij")
    out = resample_image(np.stack(axes, -1), spacing, target, kind)
    for axis, (old, new) in enumerate(zip(shape, out.shape[:3], strict=True)):
        place = (np.arange(new) + 0.5) * old / new - 0.5
        edge = 1 if kind == "cubic" else 0
        inside = (place >= edge) & (place <= old - 1 - edge)
        line = np.moveaxis(out[..., axis], axis, 0)[inside]
        assert np.allclose(line, place[inside][:, None, None], atol=1e-4)


@given(SHAPES, SPACINGS)
def test_the_same_spacing_changes_nothing(shape, spacing):
    image = np.random.default_rng(0).random((*shape, 1), np.float32)
    for kind in ("linear", "cubic"):
        assert np.array_equal(resample_image(image, spacing, spacing, kind), image)
    assert np.array_equal(resample_to(image[..., 0], shape), image[..., 0])


@given(SHAPES, SPACINGS, SPACINGS)
def test_linear_stays_within_the_values(shape, spacing, target):
    image = np.random.default_rng(0).random((*shape, 1), np.float32)
    for out in (resample_image(image, spacing, target), resample_to(image[..., 0], (5, 3, 8))):
        assert out.min() >= image.min() - 1e-6
        assert out.max() <= image.max() + 1e-6


def _ball(shape, spacing, radius):
    axes = [(np.arange(n) + 0.5) * step - n * step / 2 for n, step in zip(shape, spacing, strict=True)]
    x, y, z = np.meshgrid(*axes, indexing="ij")
    return ((x - 1) ** 2 + (y + 2) ** 2 + (z / 1.5) ** 2 < radius**2).astype(np.uint8)


def _dice(one, other):
    return 2 * (one & other).sum() / (one.sum() + other.sum())


@pytest.mark.parametrize("kind", ["linear", "cubic"])
@pytest.mark.parametrize(("spacing", "target"), [((0.5, 0.5, 5), (1, 1, 1)), ((1, 1, 1), (0.7, 0.8, 2))])
def test_a_drawn_mask_comes_back_as_its_own_threshold(spacing, target, kind):
    shape = tuple(round(50 / step) for step in spacing)
    mask = _ball(shape, spacing, 14)
    image = resample_image(mask[..., None], spacing, target, kind)
    beside = resample_mask(mask, spacing, target, 255)
    assert beside.dtype == mask.dtype
    assert _dice(image[..., 0] > 0.5, beside > 0) > 0.97
    # On the grid that the ball was drawn on, too: nothing has moved.
    assert _dice(resample_to(image[..., 0], shape) > 0.5, mask > 0) > 0.97
    # And where a ball drawn at the target spacing lies.
    assert _dice(image[..., 0] > 0.5, _ball(beside.shape, target, 14) > 0) > 0.95


def test_between_thick_slices_nothing_overshoots():
    steps = np.zeros((4, 4, 6, 1), np.float32)
    steps[:, :, 3:] = 1
    target = (0.5, 0.5, 0.5)
    assert resample_image(steps, (1, 1, 5), target, "cubic").max() <= 1
    assert resample_image(steps, (1, 1, 1), target, "cubic").max() > 1.01


def test_probabilities_still_sum_to_one():
    rng = np.random.default_rng(0)
    shares = rng.dirichlet(np.ones(4), (5, 6, 7)).astype(np.float32)
    back = sum(resample_to(shares[..., k], (9, 4, 11)) for k in range(4))
    assert np.allclose(back, 1, atol=1e-5)
