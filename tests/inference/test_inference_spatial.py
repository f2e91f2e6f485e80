"""Points and arrays go to the network and back by one rule."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seglab.errors import DataError
from seglab.inference.spatial import SpatialTransform

FITS = ("resize", "letterbox", "pad", "patch")
sides = st.integers(1, 300)


@st.composite
def transforms(draw: st.DrawFn) -> SpatialTransform:
    rank = draw(st.sampled_from([2, 3]))
    original, size = (tuple(draw(sides) for _ in range(rank)) for _ in range(2))
    spacing, target = None, None
    if draw(st.booleans()):
        spacing, target = (tuple(draw(st.floats(0.3, 3.0)) for _ in range(rank)) for _ in range(2))
    return SpatialTransform.of(original, size, draw(st.sampled_from(FITS)), spacing=spacing, target=target)


@given(transforms(), st.data())
def test_points_come_back(transform: SpatialTransform, data: st.DataObject) -> None:
    points = np.array([[data.draw(st.floats(-0.5, side - 0.5)) for side in transform.original] for _ in range(4)])
    there = transform.to_network(points)
    np.testing.assert_allclose(transform.to_image(there), points, atol=1e-6)
    # Whatever lies in the image lies in the network's input, where the whole image is brought into it.
    if transform.resized:
        assert (there >= -0.5 - 1e-6).all()
        assert (there <= np.array(transform.size) - 0.5 + 1e-6).all()


@given(transforms())
def test_corners_stay_corners(transform: SpatialTransform) -> None:
    corners = np.array([[-0.5] * len(transform.size), [side - 0.5 for side in transform.original]])
    first, last = transform.to_network(corners)
    border = 0 if transform.resize_mode != "letterbox" else (np.array(transform.size) - transform.inner) // 2
    np.testing.assert_allclose(first, border - 0.5, atol=1e-9)
    np.testing.assert_allclose(last, border + np.array(transform.inner) - 0.5, atol=1e-6)


@given(st.integers(24, 90), st.integers(24, 90), st.sampled_from(FITS), st.data())
def test_a_spot_is_where_its_point_is(height: int, width: int, fit: str, data: st.DataObject) -> None:
    transform = SpatialTransform.of((height, width), (48, 40), fit)
    row, column = (data.draw(st.integers(8, side - 9)) for side in (height, width))
    image = np.zeros((height, width, 1), np.float32)
    image[row - 2 : row + 3, column - 2 : column + 3] = 1
    there = transform.framed(transform.brought_to_size(image))[..., 0]
    assert there.shape == ((48, 40) if transform.resized else (height, width))
    np.testing.assert_allclose(_middle(there), transform.to_network(np.array([[row, column]]))[0], atol=0.5)
    back = transform.restoring.channel(there)
    assert back.shape == (height, width)
    np.testing.assert_allclose(_middle(back), [row, column], atol=0.5)


def test_a_voxel_of_another_spacing_is_where_its_point_is() -> None:
    transform = SpatialTransform.of(
        (40, 30, 20), (64, 64, 64), "letterbox", spacing=(1, 1, 2.5), target=(1.5, 0.8, 1.0)
    )
    image = np.zeros((40, 30, 20, 1), np.float32)
    image[28:33, 8:13, 10:13] = 1
    there = transform.framed(transform.brought_to_size(transform.resampled(image)))[..., 0]
    np.testing.assert_allclose(_middle(there), transform.to_network(np.array([[30, 10, 11]]))[0], atol=0.5)


def test_a_network_with_spacing_needs_that_of_the_image() -> None:
    with pytest.raises(DataError, match="spacing is not known"):
        SpatialTransform.of((8, 8, 8), (8, 8, 8), "patch", target=(1.0, 1.0, 1.0))


def _middle(image: np.ndarray) -> np.ndarray:
    places = np.stack(np.meshgrid(*map(np.arange, image.shape), indexing="ij"), axis=-1)
    weight = np.maximum(image, 0)[..., None]
    return (places * weight).reshape(-1, image.ndim).sum(0) / weight.sum()
