"""Statistics of an image by parts are those of the image."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from seglab.data.preprocessing.intensity_stats import intensity_stats_of
from seglab.data.preprocessing.normalisation import Preprocessing, zscore_by
from seglab.data.preprocessing.streamed_stats import range_of_tiles, stats_of_tiles

RNG = np.random.default_rng(3)
KINDS = {
    "uint8": RNG.integers(0, 200, (21, 13, 17, 2)),
    "int8": RNG.integers(-100, 100, (21, 13, 17, 1)),
    "uint16": RNG.integers(0, 60000, (21, 13, 17, 1)),
    "int16": RNG.integers(-1000, 3000, (21, 13, 17, 2)),
    "int32": RNG.integers(-(10**6), 10**7, (21, 13, 17, 1)),
    "float32": RNG.normal(-3, 40, (21, 13, 17, 2)),
    "float64": np.exp(RNG.normal(0, 6, (21, 13, 17, 1))),
}


@pytest.mark.parametrize("kind", KINDS)
def test_they_are_those_of_the_whole(kind: str) -> None:
    image = KINDS[kind].astype(kind)

    def tiles() -> Iterator[np.ndarray]:
        for start in range(0, len(image), 5):
            yield image[start : start + 5]

    found, wanted = stats_of_tiles(tiles), intensity_stats_of(image.astype(np.float32))
    for name in wanted._fields:
        np.testing.assert_allclose(getattr(found, name), getattr(wanted, name), rtol=1e-6, err_msg=name)
    wide = image.astype(np.float32)
    normalised = Preprocessing("zscore", image.shape[-1]).apply(wide)
    np.testing.assert_allclose(zscore_by(wide, found), normalised, atol=1e-6)
    assert range_of_tiles(tiles) == (float(image.min()), float(image.max()), 0)


def test_a_constant_image_and_numbers_that_are_none() -> None:
    flat = np.full((4, 4, 4, 1), 1e6, np.float32)
    np.testing.assert_array_equal(zscore_by(flat, stats_of_tiles(lambda: [flat[:2], flat[2:]])), 0)
    flat[3, 3, 3] = np.nan
    flat[0, 0, 0] = np.inf
    assert range_of_tiles(lambda: [flat])[2] == 2
