"""Measures against scikit-image's and OpenCV's, and by hand."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
from scipy import ndimage
from skimage.measure import label, perimeter, regionprops

from seglab.interactive.measures import measure, warnings


def masks() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    found = [ndimage.gaussian_filter(rng.random((40, 50)), 2) > 0.5 for _ in range(6)]
    disk = np.hypot(*np.ogrid[-20:21, -20:21]) <= 15
    line = np.zeros((9, 9), bool)
    line[4, 1:8] = True
    one = np.zeros((5, 5), bool)
    one[0, 0] = True
    return [*found, disk, line, one, np.ones((6, 7), bool), np.eye(8, dtype=bool)]


@pytest.mark.parametrize("mask", masks())
def test_measures_are_those_of_the_libraries(mask: np.ndarray) -> None:
    found = measure(mask, (0.5, 0.5))
    whole = regionprops(mask.astype(int))[0]
    assert found.area == whole.area == cv2.countNonZero(mask.astype(np.uint8))
    assert found.perimeter == pytest.approx(perimeter(mask, neighborhood=4))
    assert found.components == label(mask, connectivity=2).max()
    assert found.components == cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)[0] - 1
    top, left, bottom, right = whole.bbox
    assert found.box is not None
    assert found.box.tolist() == [left - 0.5, top - 0.5, right - 0.5, bottom - 0.5]
    _, _, width, height = cv2.boundingRect(mask.astype(np.uint8))
    assert (found.box[2:] - found.box[:2]).tolist() == [width, height]
    assert found.fill == pytest.approx(whole.extent)
    assert found.area_mm == pytest.approx(whole.area * 0.25)
    assert found.perimeter_mm == pytest.approx(found.perimeter / 2)


def test_by_hand() -> None:
    square = np.zeros((10, 10), bool)
    square[2:6, 3:7] = True
    found = measure(square, (2.0, 3.0))
    assert (found.area, found.area_mm, found.perimeter, found.fill) == (16, 96.0, 12.0, 1.0)
    assert math.isnan(found.perimeter_mm)  # a pixel is no square
    nothing = measure(np.zeros((4, 4), bool))
    assert (nothing.area, nothing.perimeter, nothing.components, nothing.box) == (0, 0, 0, None)
    assert math.isnan(nothing.fill)
    assert math.isnan(nothing.area_mm)


def test_a_volume() -> None:
    mask = np.zeros((6, 6, 6), bool)
    mask[1:3, 1:4, 1:5] = True
    mask[5, 5, 5] = True
    found = measure(mask, (1.0, 2.0, 0.5))
    assert (found.area, found.area_mm, found.components) == (25, 25.0, 2)
    assert found.box is not None
    assert found.box.tolist() == [0.5, 0.5, 0.5, 5.5, 5.5, 5.5]
    assert math.isnan(found.perimeter)


@pytest.mark.parametrize(
    ("rows", "columns", "box", "expected"),
    [
        (slice(5, 15), slice(5, 15), [2, 2, 18, 18], ()),
        (slice(5, 15), slice(5, 15), None, ()),
        (slice(0, 0), slice(0, 0), [2, 2, 18, 18], ("empty-mask",)),
        (slice(4, 9), slice(4, 9), [3, 3, 9, 9], ("small-box",)),
        (slice(2, 18), slice(2, 18), [1.5, 1.5, 17.5, 17.5], ("fills-box",)),
        (slice(5, 12), slice(2, 18), [1.5, 1.5, 17.5, 17.5], ("touches-box",)),
        (slice(5, 12), slice(2, 28), [2, 2, 18, 18], ("touches-box",)),
        (slice(5, 12), slice(20, 28), [2, 2, 18, 18], ("outside-box",)),
    ],
)
def test_warnings(rows: slice, columns: slice, box: list[float] | None, expected: tuple[str, ...]) -> None:
    mask = np.zeros((30, 30), bool)
    mask[rows, columns] = True
    found = warnings(mask, None if box is None else np.asarray(box, float))
    assert tuple(text.partition(":")[0] for text in found) == expected


def test_a_tight_box_of_a_round_object_is_no_warning() -> None:
    disk = np.hypot(*np.ogrid[-25:26, -25:26]) <= 20
    assert warnings(disk, measure(disk).box) == ()


def test_two_parts_of_similar_size_are_likely_two_objects() -> None:
    mask = np.zeros((30, 30), bool)
    mask[2:10, 2:10] = mask[15:22, 15:22] = True
    assert [text.partition(":")[0] for text in warnings(mask, None)] == ["two-objects"]
    mask[15:22, 15:22] = False
    mask[20, 20] = True
    assert warnings(mask, None) == ()
