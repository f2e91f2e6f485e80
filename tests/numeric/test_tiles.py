"""Sliding windows against a slow reference in float64, and what must hold for every size."""

from __future__ import annotations

import itertools
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seglab.errors import ConfigError
from seglab.inference.sliding_window import SlidingWindow
from seglab.inference.window_grid import gaussian, window_starts


def network(windows: np.ndarray) -> np.ndarray:
    """Two channels that depend on the pixel, on its place in the window and on its neighbour, as a real net's do."""
    place = np.linspace(0, 1, windows[0, ..., 0].size, dtype=np.float32).reshape(windows.shape[1:-1])
    first = windows[..., :1]
    return np.concatenate([np.tanh(first) + place[..., None], np.roll(first, 1, axis=1) * 0.5], axis=-1)


def reference(image: np.ndarray, window: tuple[int, ...], overlap: float) -> np.ndarray:
    """The weighted mean of the definition, voxel by voxel, on an image that is padded as a whole."""
    rank, spatial = len(window), image.shape[:-1]
    padding = [(max(0, w - n) // 2, max(0, w - n) - max(0, w - n) // 2) for n, w in zip(spatial, window, strict=True)]
    padded = np.pad(image, [*padding, (0, 0)])
    grids = [window_starts(n, w, overlap) for n, w in zip(padded.shape[:-1], window, strict=True)]
    total, weights = np.zeros((*padded.shape[:-1], 2)), np.zeros((*padded.shape[:-1], 1))
    for start in itertools.product(*grids):
        cut = tuple(slice(s, s + w) for s, w in zip(start, window, strict=True))
        predicted = network(padded[cut][None])[0].astype(np.float64)
        for index in np.ndindex(*window):
            squares = [
                ((i - (w - 1) / 2) / (w / 8)) ** 2
                for i, w, grid in zip(index, window, grids, strict=True)
                if len(grid) > 1
            ]
            weight = np.exp(-0.5 * sum(squares))
            voxel = tuple(s + i for s, i in zip(start, index, strict=True))
            total[voxel] += weight * predicted[index]
            weights[voxel] += weight
    inside = tuple(slice(b, b + n) for (b, _), n in zip(padding, spatial, strict=True))
    assert total.ndim == rank + 1
    return (total / weights)[inside]


sizes = st.integers(1, 19)
windows = st.integers(1, 8)
overlaps = st.sampled_from([0.0, 0.25, 0.5, 0.7, 0.95])


def sample(spatial: tuple[int, ...], seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(*spatial, 1)).astype(np.float32)


@settings(max_examples=40, deadline=None)
@given(st.tuples(sizes, sizes), st.tuples(windows, windows), overlaps, st.integers(1, 5))
def test_agrees_with_the_reference_in_2d(
    spatial: tuple[int, ...], window: tuple[int, ...], overlap: float, batch: int
) -> None:
    image = sample(spatial)
    blended = SlidingWindow(window, overlap=overlap, batch_size=batch)(image, network)
    assert blended.shape == (*spatial, 2)
    assert blended.dtype == np.float32
    np.testing.assert_allclose(blended, reference(image, window, overlap), rtol=0, atol=1e-5)


@settings(max_examples=10, deadline=None)
@given(st.tuples(*[st.integers(1, 9)] * 3), st.tuples(*[st.integers(2, 5)] * 3))
def test_agrees_with_the_reference_in_3d(spatial: tuple[int, ...], window: tuple[int, ...]) -> None:
    image = sample(spatial)
    np.testing.assert_allclose(SlidingWindow(window)(image, network), reference(image, window, 0.5), rtol=0, atol=1e-5)


@given(st.integers(1, 500), st.integers(1, 200), st.floats(0, 0.99))
def test_starts_cover_the_axis_with_the_overlap_asked_for(length: int, window: int, overlap: float) -> None:
    starts = window_starts(length, window, overlap)
    assert starts[0] == 0
    assert starts[-1] == max(0, length - window)
    steps = np.diff(starts)
    assert (steps > 0).all()
    assert (steps <= max(1, window * (1 - overlap))).all()


def test_starts_by_hand() -> None:
    # 10 long, windows of 4, half overlap: steps of at most 2 over the 6 that are left: 3 gaps.
    assert window_starts(10, 4, 0.5) == [0, 2, 4, 6]
    # 11 long: 7 left, at most 2 a step: 4 gaps of 1.75, rounded down: 0, 1.75, 3.5, 5.25, 7.
    assert window_starts(11, 4, 0.5) == [0, 1, 3, 5, 7]
    assert window_starts(4, 4, 0.5) == window_starts(3, 4, 0.5) == [0]


def test_weights_by_hand() -> None:
    # σ = 8 / 8 = 1 and the middle at 3.5: exp(-0.5 · 3.5²) at the border, exp(-0.5 · 0.5²) beside the middle.
    weights = gaussian(8)
    assert weights[0] == weights[7] == pytest.approx(np.exp(-6.125))
    assert weights[3] == weights[4] == pytest.approx(np.exp(-0.125))


def test_two_windows_by_hand() -> None:
    # Length 6, window 4, overlap 0.5: starts 0 and 2. Window 0 says 1 everywhere, window 1 says 3.
    # Index 2 is inside both: third of window 0 (g = exp(-0.5 (0.5 / 0.5)²) = e^-0.5), first of window 1
    # (g = exp(-0.5 (1.5 / 0.5)²) = e^-4.5), so (e^-0.5 + 3 e^-4.5) / (e^-0.5 + e^-4.5) = 1.03597...
    calls = iter([1.0, 3.0])
    blended = SlidingWindow((4,), batch_size=1)(np.zeros((6, 1), np.float32), lambda x: np.full_like(x, next(calls)))
    middle = (np.exp(-0.5) + 3 * np.exp(-4.5)) / (np.exp(-0.5) + np.exp(-4.5))
    np.testing.assert_allclose(blended[:, 0], [1, 1, middle, 4 - middle, 3, 3], atol=1e-6)


@given(st.tuples(sizes, sizes), st.tuples(windows, windows), overlaps)
def test_a_constant_stays_that_constant(spatial: tuple[int, ...], window: tuple[int, ...], overlap: float) -> None:
    """Every pixel is covered, and the weights of its windows sum to one."""
    tiles = SlidingWindow(window, overlap=overlap)
    blended = tiles(np.zeros((*spatial, 1), np.float32), lambda x: np.full_like(x, 0.7))
    np.testing.assert_allclose(blended, 0.7, atol=1e-6)


@pytest.mark.parametrize("spatial", [(8, 8), (5, 8), (3, 1)])
def test_one_window_is_the_single_pass_to_the_bit(spatial: tuple[int, ...]) -> None:
    image = sample(spatial)
    before = [(8 - side) // 2 for side in spatial]
    whole = np.zeros((1, 8, 8, 1), np.float32)
    place = tuple(slice(b, b + n) for b, n in zip(before, spatial, strict=True))
    whole[0][place] = image
    np.testing.assert_array_equal(SlidingWindow((8, 8))(image, network), network(whole)[0][place])


def test_flips_are_the_mean_of_all_combinations() -> None:
    image = sample((6, 6))

    def once(x: np.ndarray) -> np.ndarray:
        return network(x[None])[0].astype(np.float64)

    expected = (
        once(image) + once(image[::-1])[::-1] + once(image[:, ::-1])[:, ::-1] + once(image[::-1, ::-1])[::-1, ::-1]
    ) / 4
    np.testing.assert_allclose(SlidingWindow((6, 6), flips=(0, 1))(image, network), expected, atol=1e-6)
    one = (once(image) + once(image[:, ::-1])[:, ::-1]) / 2
    np.testing.assert_allclose(SlidingWindow((6, 6), flips=(1,))(image, network), one, atol=1e-6)


def test_a_symmetric_network_does_not_change_under_flips() -> None:
    image = sample((13, 9))
    tiles = {flips: SlidingWindow((4, 4), flips=flips)(image, np.tanh) for flips in [(), (0,), (0, 1)]}
    np.testing.assert_allclose(tiles[0,], tiles[()], atol=1e-6)
    np.testing.assert_allclose(tiles[0, 1], tiles[()], atol=1e-6)


def test_no_call_holds_more_than_a_batch() -> None:
    seen: list[int] = []

    def watched(x: np.ndarray) -> np.ndarray:
        seen.append(len(x))
        return x

    SlidingWindow((4, 4), overlap=0.5, batch_size=4)(sample((12, 10)), watched)
    # Starts 0 2 4 6 8 by 0 2 4 6: 20 windows.
    assert seen == [4, 4, 4, 4, 4]


def test_the_batch_fits_the_window() -> None:
    seen: list[int] = []

    def watched(x: np.ndarray) -> np.ndarray:
        seen.append(len(x))
        return x

    SlidingWindow((128, 128))(sample((256, 256)), watched)
    assert max(seen) == 8
    seen.clear()
    SlidingWindow((64, 64, 64))(sample((64, 64, 128)), watched)
    assert max(seen) == 1


def test_memory_is_bounded_by_the_output_and_not_by_the_windows() -> None:
    image = np.zeros((256, 256, 1), np.float32)
    peaks = []
    for overlap in (0.0, 0.9):  # 64 windows, then about 5,000
        tracemalloc.start()
        SlidingWindow((32, 32), overlap=overlap, batch_size=8)(image, lambda x: x)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] + 1e5  # the predictions of all windows would be 20 MB


@pytest.mark.parametrize("settings", [{"overlap": 1.0}, {"overlap": -0.1}, {"flips": (2,)}, {"flips": (0, 0)}])
def test_refuses_what_cannot_be(settings: dict) -> None:
    with pytest.raises(ConfigError, match=next(iter(settings))):
        SlidingWindow((4, 4), **settings)


@settings(max_examples=60, deadline=None)
@given(st.tuples(sizes, sizes), st.tuples(windows, windows), overlaps, st.integers(1, 30))
def test_blocks_are_the_whole_to_the_bit(
    spatial: tuple[int, ...], window: tuple[int, ...], overlap: float, batch: int
) -> None:
    image, tiles = sample(spatial), SlidingWindow(window, overlap=overlap, batch_size=batch)
    seen: list[tuple[int, int]] = []
    blocks = [
        (rows, block.copy()) for rows, block in tiles.blocks(image, network, progress=lambda *at: seen.append(at))
    ]
    assert [rows.start for rows, _ in blocks] == [0, *(rows.stop for rows, _ in blocks[:-1])]
    assert all(len(block) == rows.stop - rows.start > 0 for rows, block in blocks)
    np.testing.assert_array_equal(np.concatenate([block for _, block in blocks]), tiles(image, network))
    assert (
        seen[-1][0]
        == seen[-1][1]
        == sum(
            1 for _ in itertools.product(*(window_starts(n, w, overlap) for n, w in zip(spatial, window, strict=True)))
        )
    )


def test_what_is_prepared_by_windows_is_what_is_prepared_as_a_whole() -> None:
    numbers = np.random.default_rng(0).integers(0, 256, (21, 13, 1)).astype(np.uint8)

    def prepare(part: np.ndarray) -> np.ndarray:
        return (part.astype(np.float32) / np.float32(255) - np.float32(0.3)) / np.float32(0.7)

    tiles = SlidingWindow((8, 8))
    np.testing.assert_array_equal(tiles(numbers, network, prepare=prepare), tiles(prepare(numbers), network))


def test_blocks_need_the_memory_of_a_window_and_not_of_the_image() -> None:
    """2000 × 500 pixels, two channels: 8 MB whole; a window's 64 rows, twice while they are moved, are 0.5 MB."""
    image, tiles = np.zeros((2000, 500, 1), np.uint8), SlidingWindow((64, 64), batch_size=1)

    def halves(windows: np.ndarray) -> np.ndarray:
        return np.full((*windows.shape[:-1], 2), 0.5, np.float32)

    tracemalloc.start()
    for _, block in tiles.blocks(image, halves):
        np.testing.assert_allclose(block, 0.5, atol=1e-6)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2e6
