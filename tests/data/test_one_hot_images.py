"""2D masks with a channel for each class are called that, and what is said of them reads them."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import tifffile

from seglab.data.io.image_files import read_mask_file
from seglab.data.labels.label_map import LabelMap
from seglab.data.sources.image_cases import _pages_of
from seglab.errors import DataError

IDS = np.random.default_rng(0).integers(0, 5, (12, 17))


def refused(path: Path, values: np.ndarray) -> DataError:
    tifffile.imwrite(path, values, photometric="minisblack", planarconfig="contig")
    with pytest.raises(DataError) as caught:
        read_mask_file(path)
    return caught.value


@pytest.mark.parametrize("count", [2, 3, 5])
@pytest.mark.parametrize("mark", [1, 255])
def test_each_pixel_has_one_channel(tmp_path: Path, count: int, mark: int) -> None:
    ids = IDS % count
    v = np.stack([mark * (ids == k) for k in range(count)], -1).astype(np.uint8)
    error = refused(tmp_path / "a.tif", v)
    assert (error.code, error.finding) == ("label-channels", "label-channels")
    assert f"{count} channels, of which exactly one is not 0" in str(error)
    made = eval(re.search(r"save (.+?) as PNG", error.remedy)[1], {"v": v})  # type: ignore[index]
    np.testing.assert_array_equal(made, ids)
    assert f"data.label_values=[{','.join(map(str, range(count)))}]" in error.remedy
    colours = re.search(r"data\.label_colors=(\S+)", error.remedy)
    assert (colours is not None) == (count == 3)
    if colours:
        labels = LabelMap((0, 1, 2), colors=tuple(tuple(one) for one in eval(colours[1])))
        np.testing.assert_array_equal(labels.ids_of_colors(v, "a.tif"), ids)


def test_channels_of_the_foreground_alone(tmp_path: Path) -> None:
    v = np.stack([k == IDS for k in range(1, 5)], -1).astype(np.uint16)
    error = refused(tmp_path / "a.tif", v)
    assert "at most one" in str(error)
    made = eval(re.search(r"save (.+?) as PNG", error.remedy)[1], {"v": v, "numpy": np})  # type: ignore[index]
    np.testing.assert_array_equal(made, IDS)


def test_colours_stay_colours(tmp_path: Path) -> None:
    """Black, red and green are no channels of classes: data.label_colors reads them."""
    v = np.array([(0, 0, 0), (255, 0, 0), (0, 255, 0)], np.uint8)[IDS % 3]
    error = refused(tmp_path / "a.tif", v)
    assert error.code == "mask-in-colours"
    two = np.stack([IDS, IDS], -1).astype(np.uint8)
    two[0, 0] = (1, 2)
    assert refused(tmp_path / "a.tif", two).code == "mask-in-colours"


def test_a_page_for_each_class(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "image.tif", IDS.astype(np.uint8))
    tifffile.imwrite(tmp_path / "mask.tif", np.stack([IDS == 0, IDS > 0]).astype(np.uint8), photometric="minisblack")
    with pytest.raises(DataError, match="give each pixel the number of its page"):
        _pages_of(tmp_path / "image.tif", tmp_path / "mask.tif")


def test_a_drawing_on_transparency_is_no_channel_of_a_class(tmp_path: Path) -> None:
    v = np.zeros((*IDS.shape, 4), np.uint8)
    v[..., 3] = 255 * (IDS > 0)
    assert refused(tmp_path / "a.tif", v).code == "mask-in-colours"
