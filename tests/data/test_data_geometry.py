"""Resizing, padding and cutting, in 2D and 3D."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seglab.data.preprocessing.geometry import (
    cut,
    grid_starts,
    hide_covered,
    letterbox_mask,
    letterbox_shape,
    pad_start,
    resize_image,
    resize_mask,
    unletterbox,
)

SIDES = st.lists(st.integers(1, 12), min_size=2, max_size=3)


def test_linear_resize_worked_by_hand():
    row = np.array([0.0, 10.0], np.float32)
    # Twice as long, centres at −0.25, 0.25, 0.75, 1.25 of the old grid, the ends held: 0, 2.5, 7.5, 10.
    image = np.tile(row, (2, 1))[..., None]
    assert resize_image(image, (2, 4))[0, :, 0].tolist() == pytest.approx([0, 2.5, 7.5, 10])
    volume = np.broadcast_to(row, (2, 2, 2))[..., None].copy()
    assert resize_image(volume, (2, 2, 4))[0, 0, :, 0].tolist() == pytest.approx([0, 2.5, 7.5, 10])


def test_shrinking_an_image_takes_the_mean():
    image = np.arange(16, dtype=np.float32).reshape(4, 4, 1)
    # The upper left quarter holds 0, 1, 4, 5: mean 2.5.
    assert resize_image(image, (2, 2))[..., 0].tolist() == [[2.5, 4.5], [10.5, 12.5]]


def test_shrinking_a_volume_takes_the_mean_too():
    volume = np.arange(16, dtype=np.float32).reshape(4, 2, 2, 1)
    # The first half holds 0 … 7, the second 8 … 15.
    assert resize_image(volume, (2, 1, 1)).ravel().tolist() == [3.5, 11.5]
    # Three pixels into two: each takes one and a half, (0 + 3 · ½) / 1.5 = 1 and (3 · ½ + 6) / 1.5 = 5.
    row = np.array([[0], [3], [6]], np.float32)[..., None]
    assert resize_image(row, (2, 1)).ravel().tolist() == pytest.approx([1, 5])


def test_each_axis_is_resized_for_itself():
    # A stripe of one column in two: shrunk to its mean while the rows grow.
    stripes = np.tile(np.array([0, 1], np.float32), (3, 8))[..., None]
    assert np.allclose(resize_image(stripes, (9, 8)), 0.5)


def test_masks_take_what_most_of_the_new_pixel_holds():
    mask = np.array([[0, 1, 2]], np.uint8)
    assert resize_mask(mask, (2, 6), 255).tolist() == [[0, 0, 1, 1, 2, 2]] * 2
    # Two pixels over three: the first holds 0 whole and half of 1.
    assert resize_mask(mask, (1, 2), 255).tolist() == [[0, 2]]
    # Two pixels into three: the middle one's centre lies on the edge of both; 1 is rarer in the second mask.
    assert resize_mask(np.array([[0, 1]], np.uint8), (1, 3), 255).tolist() == [[0, 1, 1]]
    assert resize_mask(np.array([[1, 0], [0, 0]], np.uint8), (2, 3), 255).tolist() == [[1, 1, 0], [0, 0, 0]]
    # An axis that shrinks beside one that grows.
    assert resize_mask(np.array([[0, 1], [0, 2], [2, 2]], np.uint8), (1, 4), 255).tolist() == [[0, 0, 2, 2]]


def test_equal_parts_go_to_the_rarer_class_then_to_the_higher_id():
    # Columns in pairs: 0 and 1 with two pixels each; 1 has 2 pixels in all, 0 has 6.
    assert resize_mask(np.array([[0, 1, 0, 0], [0, 1, 0, 0]], np.uint8), (1, 2), 255).tolist() == [[1, 0]]
    assert resize_mask(np.array([[1, 0, 1, 1], [1, 0, 1, 1]], np.uint8), (1, 2), 255).tolist() == [[0, 1]]
    assert resize_mask(np.array([[2, 1], [1, 2]], np.uint8), (1, 1), 255).tolist() == [[2]]
    # A line of one pixel's width stays, halved, wherever it lies; at a third it has two pixels of six and is gone.
    for column in range(8):
        line = np.zeros((8, 9), np.uint8)
        line[:, column] = 1
        assert (resize_mask(line[:, :8], (4, 4), 255) == 1).sum(axis=1).tolist() == [1] * 4
        assert not resize_mask(line, (4, 3), 255).any()


def test_a_pixel_is_ignored_where_more_than_half_of_it_is():
    # Two of four: what is left decides; three of four: ignored. One label of each: the ignored one has no vote.
    mask = np.array([[9, 9, 9, 9, 9, 0], [1, 1, 9, 1, 1, 2]], np.uint8)
    assert resize_mask(mask, (1, 3), 9).tolist() == [[1, 9, 2]]
    # Three pixels into two, the second half of the second: 9 holds 1 of 1½, then ½.
    assert resize_mask(np.array([[9, 0, 0]], np.uint8), (1, 2), 9).tolist() == [[9, 0]]
    assert resize_mask(np.full((6, 6), 9, np.uint8), (4, 4), 9).tolist() == [[9] * 4] * 4
    # 0 may be what is ignored.
    assert resize_mask(np.array([[0, 0], [0, 3]], np.uint8), (1, 1), 0).tolist() == [[0]]


@given(SIDES, SIDES, st.integers(0, 1000), st.sampled_from([255, 1]))
def test_a_flipped_mask_comes_out_flipped_and_a_turned_one_turned(shape, size, seed, ignore):
    size = tuple((size * 2)[: len(shape)])
    mask = np.random.default_rng(seed).choice(np.array([0, 1, 2, 3, ignore], np.uint8), shape)
    resized = resize_mask(mask, size, ignore)
    assert (resized.shape, resized.dtype) == (size, mask.dtype)
    for axis in range(len(shape)):
        assert (np.flip(resize_mask(np.flip(mask, axis), size, ignore), axis) == resized).all()
    assert (resized == resize_mask(mask.T, size[::-1], ignore).T).all()


@given(SIDES, SIDES, st.integers(0, 1000))
def test_each_new_pixel_has_the_vote_of_what_it_covers(shape, size, seed):
    """Against parts that are summed on a grid fine enough for both."""
    size = tuple((size * 2)[: len(shape)])
    mask = np.random.default_rng(seed).choice(np.array([0, 1, 2, 255], np.uint8), shape)
    share = {}
    for k in (0, 1, 2, 255):
        fine = (mask == k).astype(float)
        for axis, (old, new) in enumerate(zip(shape, size, strict=True)):
            if new < old:
                blocks = np.moveaxis(fine.repeat(new, axis), axis, 0)
                fine = np.moveaxis(blocks.reshape(new, old, *blocks.shape[1:]).mean(axis=1), 0, axis)
            else:  # the centre of new pixel i, and a hair to both sides of it
                centre = (2 * np.arange(new) + 1) * old
                lower, upper = (np.clip((centre + hair) / (2 * new), 0, old - 1e-9).astype(int) for hair in (-0.1, 0.1))
                fine = (fine.take(lower, axis) + fine.take(upper, axis)) / 2
        share[k] = np.round(fine, 9)
    found = resize_mask(mask, size, 255)
    most = np.maximum.reduce([share[k] for k in (0, 1, 2)])
    pixels = {k: (mask == k).sum() for k in (0, 1, 2)}
    for place in np.ndindex(*size):
        tied = [k for k in (0, 1, 2) if share[k][place] == most[place]]
        best = 255 if share[255][place] > 0.5 else min(tied, key=lambda k: (pixels[k], -k))
        assert found[place] == best


@given(SIDES, SIDES, st.sampled_from([0, 3, 255]))
def test_one_class_stays_and_the_same_size_changes_nothing(shape, size, k):
    size = tuple((size * 2)[: len(shape)])
    assert (resize_mask(np.full(shape, k, np.uint8), size, 255) == k).all()
    mask = np.random.default_rng(0).choice(np.array([0, 1, 255], np.uint8), shape)
    assert resize_mask(mask, shape, 255) is mask
    # Enlarged by a whole factor and shrunk again, it is what it was.
    larger = resize_mask(mask, [3 * n for n in shape], 255)
    assert (larger[tuple(slice(1, None, 3) for _ in shape)] == mask).all()
    assert (resize_mask(larger, shape, 255) == mask).all()


def test_shrinking_shifts_nothing():
    """The middle of a disc stays where it is, at every factor; taking the upper neighbour moved it half a pixel."""
    rows, columns = np.mgrid[:120, :120]
    for factor in (2, 3, 4, 5, 6, 8):
        moved = []
        for middle in np.random.default_rng(0).uniform(50, 70, (80, 2)):
            disc = ((rows - middle[0]) ** 2 + (columns - middle[1]) ** 2 < 30**2).astype(np.uint8)
            small = resize_mask(disc, (120 // factor, 120 // factor), 255)
            found = (np.argwhere(small).mean(axis=0) + 0.5) * factor - 0.5
            moved.append(found - np.argwhere(disc).mean(axis=0))
        assert np.abs(np.mean(moved, axis=0)).max() < 0.15


def test_many_classes_in_a_large_mask_take_little_memory():
    rng = np.random.default_rng(0)
    mask = rng.integers(0, 34, (512, 1024), dtype=np.uint8)
    tracemalloc.start()
    resize_mask(mask, (128, 256), 255)
    resize_mask(mask, (500, 1000), 255)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 34 * mask.size * 8 / 2  # half of one float64 for each class and pixel


@given(SIDES, SIDES, st.integers(1, 6))
def test_any_size_and_channels_to_any_size(shape, size, channels):
    size = (size * 2)[: len(shape)]
    image = np.random.default_rng(0).random((*shape, channels), np.float32)
    out = resize_image(image, size)
    assert out.shape == (*size, channels)
    assert out.dtype == np.float32
    assert out.min() >= image.min() - 1e-5
    assert out.max() <= image.max() + 1e-5
    labels = (image[..., 0] * 5).astype(np.uint8)
    assert set(np.unique(resize_mask(labels, size, 255))) <= set(np.unique(labels))


def test_image_and_mask_stay_together_when_resized():
    axes = np.meshgrid(*[np.linspace(-1, 1, n) for n in (60, 50, 40)], indexing="ij")
    ball = (sum(axis**2 for axis in axes) < 0.5).astype(np.uint8)
    for mask, size in ((ball, (33, 71, 40)), (ball[:, :, 20], (128, 33)), (ball[:, :, 20], (20, 21))):
        image = resize_image(mask[..., None].astype(np.float32), size)[..., 0] > 0.5
        other = resize_mask(mask, size, 255) > 0
        assert 2 * (image & other).sum() / (image.sum() + other.sum()) > 0.96


@given(SIDES, SIDES, st.data())
def test_a_cut_holds_what_lies_there_and_the_fill_elsewhere(shape, size, data):
    size = (size * 2)[: len(shape)]
    start = [data.draw(st.integers(-n, full)) for n, full in zip(size, shape, strict=True)]
    array = np.arange(1, np.prod(shape) + 1).reshape(shape)
    out = cut(array, start, size, 0)
    assert out.shape == tuple(size)
    for index in np.ndindex(*size):
        at = tuple(i + s for i, s in zip(index, start, strict=True))
        inside = all(0 <= a < n for a, n in zip(at, shape, strict=True))
        assert out[index] == (array[at] if inside else 0)


@given(SIDES, SIDES)
def test_the_grid_shows_every_pixel_exactly_once(shape, size):
    size = (size * 2)[: len(shape)]
    mask = np.zeros(shape, np.uint8)
    seen = np.zeros(shape, int)
    for start in grid_starts(shape, size):
        box = hide_covered(cut(mask, start, size, 255), start, 255)
        for index in np.argwhere(box == 0):
            seen[tuple(index + start)] += 1
    assert (seen == 1).all()


def test_padding_puts_the_array_in_the_middle():
    assert pad_start((31, 40, 24), (48, 64, 48)) == (-8, -12, -12)
    out = cut(np.ones((2, 1)), pad_start((2, 1), (4, 4)), (4, 4), 0)
    assert out.tolist() == [[0, 0, 0, 0], [0, 1, 0, 0], [0, 1, 0, 0], [0, 0, 0, 0]]


@given(st.tuples(*[st.integers(1, 40)] * 2), st.tuples(*[st.integers(1, 40)] * 2), st.sampled_from(["u1", "u2", "f4"]))
def test_planes_are_resized_as_volumes_of_one_slice_are(shape, size, dtype):
    """OpenCV's result beside that of the matrix product."""
    image = (np.random.default_rng(0).random((*shape, 2)) * 255).astype(dtype)
    plane, slab = resize_image(image, size), resize_image(image[None], (1, *size))[0]
    assert plane.dtype == slab.dtype == image.dtype
    # Whole numbers are rounded after each of two passes here, once there.
    assert np.allclose(plane, slab.astype(float), atol=1e-3 if dtype == "f4" else 1.01)


def test_other_types_are_resized_as_floats():
    for image in (np.array([[[0]], [[3]]]), np.array([[[False]], [[True]]]) * 3.0):
        out = resize_image(image, (1, 1))
        assert (out.dtype, out.item()) == (np.float32, 1.5)
    assert resize_image(np.ones((4, 6, 600), np.float32), (2, 9)).shape == (2, 9, 600)


def _letterboxed(image, size):
    """An image as the sampler places it, without normalisation."""
    inner = resize_image(image, letterbox_shape(image.shape[:-1], size))
    return cut(inner, pad_start(inner.shape[:-1], size), size, 0)


def test_a_letterbox_worked_by_hand():
    # 2×4 into 6×6: one and a half times, 3×6, with a row above and two below.
    image = np.full((2, 4, 1), 7, np.float32)
    assert letterbox_shape((2, 4), (6, 6)) == (3, 6)
    assert _letterboxed(image, (6, 6))[:, 0, 0].tolist() == [0, 7, 7, 7, 0, 0]
    mask = letterbox_mask(np.ones((2, 4), np.uint8), (6, 6), 255)
    assert mask[:, 5].tolist() == [255, 1, 1, 1, 255, 255]
    assert (_letterboxed(image, (6, 6)).shape, mask.dtype) == ((6, 6, 1), np.uint8)
    # Halved along the longer axis, in 3D; a side is never lost.
    assert letterbox_shape((100, 8, 1), (50, 50, 50)) == (50, 4, 1)
    assert letterbox_shape((1000, 1), (10, 10)) == (10, 1)


@given(SIDES, SIDES)
def test_a_letterbox_keeps_proportions_and_goes_back(shape, size):
    size = (size * 2)[: len(shape)]
    inner = letterbox_shape(shape, size)
    assert all(1 <= i <= n for i, n in zip(inner, size, strict=True))
    assert any(i == n for i, n in zip(inner, size, strict=True))
    factor = min(n / s for n, s in zip(size, shape, strict=True))
    assert all(i == 1 or abs(i - s * factor) <= 0.5 for i, s in zip(inner, shape, strict=True))
    image = np.random.default_rng(0).random((*shape, 1), np.float32) + 1
    boxed = _letterboxed(image, size)
    assert (boxed[..., 0] != 0).sum() == np.prod(inner)
    assert ((letterbox_mask(np.zeros(shape, np.uint8), size, 255) == 0) == (boxed[..., 0] != 0)).all()
    # The border comes off again: a constant is whole, and only what resizing takes is gone.
    assert np.allclose(unletterbox(_letterboxed(np.ones_like(image), size)[..., 0], shape), 1, atol=1e-5)
    there = resize_image(resize_image(image, inner), shape)[..., 0]
    assert np.array_equal(unletterbox(boxed[..., 0], shape), there)


def test_what_is_drawn_comes_back_from_a_letterbox_where_it_was():
    rows, columns = np.mgrid[:60, :100]
    disc = ((rows - 40) ** 2 + (columns - 20) ** 2 < 12**2).astype(np.float32)
    for size in ((64, 64), (160, 120), (33, 200)):
        back = unletterbox(_letterboxed(disc[..., None], size)[..., 0], disc.shape) > 0.5
        assert 2 * (back & (disc > 0)).sum() / (back.sum() + disc.sum()) > 0.95
