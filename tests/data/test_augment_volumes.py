"""Warps of volumes: positions against SciPy, rotation in mm, masks that come back as thresholds of their image."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from seglab.data.augment import Augment
from seglab.data.augment.splines import spline_basis
from seglab.data.augment.volume_warps import Sheet, VolumeWarp, resample, rotation
from seglab.data.randomness import generator
from seglab.task import Task

OFF = {"flip": 0.0, "rotate90": 0.0, "affine": 0.0, "elastic": 0.0, "grid": 0.0, "intensity": 0.0, "dropout": 0.0}
TASK = Task(3, 1, ("background", "object"))
SPACINGS = [None, (1.0, 1.0, 1.0), (0.5, 0.5, 5.0), (3.0, 0.8, 0.8)]


def _ball(size, spacing, radius=0.35):
    """Distance in mm from a point beside the middle, and a ball of `radius` of the shortest side."""
    spacing = np.asarray(spacing or (1.0, 1.0, 1.0))
    extent = np.asarray(size) * spacing
    centre = extent * (0.45, 0.5, 0.5)
    grid = np.stack(np.meshgrid(*[(np.arange(n) + 0.5) * s for n, s in zip(size, spacing, strict=True)], indexing="ij"))
    return (np.linalg.norm(grid - centre[:, None, None, None], axis=0) < radius * extent.min()).astype(np.uint8)


def _warp(**changes):
    settings = {"affine": 0.0, "rotate_degrees": 15.0, "scale": 0.1, "shift": 0.0, "elastic": 0.0}
    return VolumeWarp(ignore_label=255, **{**settings, "elastic_pixels": 1.0, "grid": 0.0, **changes})


@pytest.mark.parametrize("shape", [(7, 9, 5), (1, 6, 8), (40, 900, 6)])
def test_resampling_is_that_of_scipy(shape):
    # The last shape takes more than one column of slices to stay within OpenCV's limit.
    assert (Sheet.of(np.zeros(shape, np.float32)).columns > 1) == (shape[1] == 900)
    rng = np.random.default_rng(0)
    image, mask = rng.normal(size=(*shape, 2)).astype(np.float32), rng.integers(0, 5, shape).astype(np.uint8)
    size = np.asarray(shape)[:, None, None, None]
    # In steps of 1/32, which OpenCV takes without rounding; some are outside, none halfway between two voxels.
    where = (rng.integers(-64, size * 32 + 64, (3, *shape)) / 32).astype(np.float32)
    where[where % 1 == 0.5] += np.float32(1 / 32)
    out, labels = resample(image, mask, lambda slab: where[:, slab].copy(), 255)
    for channel in range(2):
        padded = np.pad(image[..., channel], 2)
        truth = ndimage.map_coordinates(padded, where + 2, order=1, mode="constant")
        np.testing.assert_allclose(out[..., channel], truth, atol=1e-4)
    truth = ndimage.map_coordinates(np.pad(mask, 2, constant_values=255), where + 2, order=0, mode="nearest")
    assert np.array_equal(labels, truth)


def test_a_right_angle_is_a_quarter_turn():
    # A turn by 90° about z takes x to y and y to −x.
    np.testing.assert_allclose(rotation(np.array([0, 0, np.pi / 2])) @ [1, 0, 0], [0, 1, 0], atol=1e-12)
    np.testing.assert_allclose(rotation(np.array([np.pi / 2, 0, 0])) @ [0, 1, 0], [0, 0, 1], atol=1e-12)
    np.testing.assert_allclose(rotation(np.array([0, np.pi / 2, 0])) @ [0, 0, 1], [1, 0, 0], atol=1e-12)
    turn = rotation(np.array([0.3, -0.2, 0.5]))
    np.testing.assert_allclose(turn @ turn.T, np.eye(3), atol=1e-12)


@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize(
    "changes",
    [
        {"affine": 1.0, "rotate_degrees": 40.0, "scale": 0.3, "shift": 0.1},
        {"elastic": 1.0, "elastic_pixels": 2.0},
        {"grid": 1.0},
        {"affine": 1.0, "elastic": 1.0, "grid": 1.0},
    ],
)
def test_a_mask_comes_back_as_the_threshold_of_its_image(changes, spacing):
    augment = Augment(TASK, **{**OFF, **changes})
    mask = _ball((36, 30, 20), spacing)
    moved = 0
    for draw in range(6):
        out, out_mask = augment(mask[..., None].astype(np.float32), mask, generator(0, draw), spacing)
        known = out_mask != 255
        border = ndimage.binary_dilation(out_mask == 1, np.ones((3, 3, 3))) & ~ndimage.binary_erosion(
            out_mask == 1, np.ones((3, 3, 3))
        )
        assert not ((out[..., 0] > 0.5) != (out_mask == 1))[known & ~border].any()
        # Only where the interpolated image is near the threshold may the two differ at all.
        near = np.abs(out[..., 0] - 0.5) < 0.49
        assert not ((out[..., 0] > 0.5) != (out_mask == 1))[known & ~near].any()
        assert set(np.unique(out_mask)) <= {0, 1, 255}
        assert (out.dtype, out_mask.dtype, out.shape) == (np.float32, np.uint8, (*mask.shape, 1))
        moved += not np.array_equal(out_mask, mask)
    assert moved == 6


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (0.5, 0.5, 5.0), (4.0, 1.0, 2.0)])
def test_rotation_keeps_distances_in_mm(spacing):
    # A ball in mm around the middle of the volume is the same ball after any turn; without the spacing it is not.
    size = tuple(round(60 / s) | 1 for s in spacing)
    middle = [(n - 1) / 2 for n in size]
    grid = np.meshgrid(*[(np.arange(n) - m) * s for n, m, s in zip(size, middle, spacing, strict=True)], indexing="ij")
    far = np.sqrt(sum(g**2 for g in grid)).astype(np.float32)
    warp = _warp(affine=1.0, rotate_degrees=60.0, scale=0.0)
    mask = np.zeros(size, np.uint8)

    def error(known_spacing, draw):
        out, _ = warp(far[..., None], mask, generator(3, draw), np.asarray(known_spacing))
        return np.abs(out[..., 0] - far)[(far > 8) & (far < 25)].max()

    # Linear interpolation of a cone is off by less than half of the largest voxel at its steepest bend.
    assert max(error(spacing, draw) for draw in range(4)) < 0.25 * max(spacing)
    if len(set(spacing)) > 1:
        assert min(error((1, 1, 1), draw) for draw in range(4)) > 2


def test_scaling_makes_things_larger_and_smaller_evenly():
    mask = _ball((40, 40, 40), None)
    warp = _warp(affine=1.0, rotate_degrees=0.0, scale=0.2)
    volumes = []
    for draw in range(60):
        _, out = warp(mask[..., None].astype(np.float32), mask, generator(0, draw), np.ones(3))
        volumes.append((out == 1).sum() / mask.sum())
    # (1 ± 0.2)³ of the volume at most.
    assert 0.8**3 * 0.97 < min(volumes) < 0.62
    assert 1.5 < max(volumes) < 1.2**3 * 1.03


def test_a_deformation_is_as_strong_and_smooth_as_it_says():
    for spacing in (np.ones(3), np.array([0.5, 0.5, 5.0]), np.array([2.0, 1.0, 1.0])):
        for pixels in (1.0, 2.0):
            warp, found, steps = _warp(elastic=1.0, elastic_pixels=pixels), [], []
            for draw in range(40):
                field, (second, third) = warp._bending((48, 40, 32), np.eye(3), spacing, generator(0, draw))
                mm = (second @ field @ third.T) * spacing[:, None, None, None]
                found.append(mm)
                steps.append(np.abs(np.diff(mm, axis=2)).mean() / spacing[1])
            assert np.sqrt(np.mean(np.square(found))) == pytest.approx(pixels * spacing.min(), rel=0.1)
            # Neighbours move by far less than their distance apart, so nothing is folded.
            assert max(steps) < 0.15


def test_splines_add_up_and_reproduce_a_line():
    basis = spline_basis(25, 0.3)
    np.testing.assert_allclose(basis.sum(axis=1), 1, atol=1e-6)
    # Coefficients −1, 0, 1 … of a uniform cubic B-spline give the line t itself.
    np.testing.assert_allclose(basis @ (np.arange(basis.shape[1]) - 1), np.arange(25) * 0.3, atol=1e-5)


def test_a_grid_keeps_its_ends_and_its_order():
    for draw in range(20):
        places = VolumeWarp._stretched(33, generator(0, draw))
        assert places[[0, -1]].tolist() == pytest.approx([0, 32])
        # Cells are 1 ± 0.3 wide before they are brought to the whole length: steps of 0.7/1.3 to 1.3/0.7 at most.
        assert np.diff(places).min() > 0.53
        assert np.diff(places).max() < 1.86
        assert np.ptp(np.diff(places)) > 0.05


def test_quarter_turns_need_equal_spacing():
    volume = np.arange(64, dtype=np.uint8).reshape(4, 4, 4)
    augment = Augment(TASK, **{**OFF, "rotate90": 1.0, "axes": "all"})
    planes = set()
    for draw in range(30):
        _, out = augment(volume[..., None].astype(np.float32), volume, generator(0, draw), (1.0, 1.0, 5.0))
        turned = [k for k in (1, 2, 3) if np.array_equal(out, np.rot90(volume, k, (0, 1)))]
        assert len(turned) == 1
        planes |= set(turned)
        _, cube = augment(volume[..., None].astype(np.float32), volume, generator(0, draw), (2.0, 2.0, 2.0))
        planes |= {"other"} if not any(np.array_equal(cube, np.rot90(volume, k, (0, 1))) for k in range(4)) else set()
    assert planes == {1, 2, 3, "other"}
