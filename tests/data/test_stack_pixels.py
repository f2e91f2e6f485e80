"""Stacks in TIFF are read as a viewer shows them, as single images are, or refused in words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from seglab.data.io.folders import files_in
from seglab.data.io.volume_files import read_header
from seglab.data.sources.nifti_labels import read_label
from seglab.errors import DataError

SEEN = np.random.default_rng(0).integers(0, 2, (4, 5, 6)) > 0  # z, y, x: what a viewer shows as white


@pytest.mark.parametrize("compression", [None, "lzw"])
@pytest.mark.parametrize(
    ("stored", "white"), [(~SEEN, 1), (np.where(SEEN, 0, 255).astype(np.uint8), 255)], ids=["1 bit", "8 bit"]
)
def test_where_0_is_white_it_is_black(tmp_path: Path, stored: np.ndarray, white: int, compression: str | None) -> None:
    path = str(tmp_path / "a.tif")
    tifffile.imwrite(path, stored, photometric="miniswhite", compression=compression)
    np.testing.assert_array_equal(read_header(path).stored(), white * SEEN.transpose(2, 1, 0))
    values, off = read_label(path, path)
    assert (int(values.sum()), off) == (white * int(SEEN.sum()), 0)


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({"extratags": [(274, "H", 1, 6, True)]}, ["orientation 6", "save them upright"]),
        ({"photometric": "miniswhite", "dtype": np.int16}, ["MINISWHITE", "MINISBLACK"]),
        ({"photometric": "separated", "channels": 4}, ["inks", "save it as RGB"]),
    ],
    ids=["turned", "0 is white of numbers with a sign", "CMYK"],
)
def test_what_would_come_out_otherwise_than_it_is_seen_is_refused(
    tmp_path: Path, how: dict[str, Any], words: list[str]
) -> None:
    settings = {"photometric": "minisblack", "dtype": np.uint8, **how}
    shape = (4, 5, 6, *((settings.pop("channels"),) if "channels" in settings else ()))
    tifffile.imwrite(tmp_path / "a.tif", np.ones(shape, settings.pop("dtype")), **settings)
    with pytest.raises(DataError) as caught:
        read_header(str(tmp_path / "a.tif"))
    assert all(word in str(caught.value) for word in words), caught.value


def test_the_remedy_for_a_unit_that_nobody_knows_is_the_file_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    metadata = {"axes": "ZYX", "spacing": 3, "unit": "furlong"}
    tifffile.imwrite(path, SEEN.astype(np.uint8), imagej=True, resolution=(1, 1), metadata=metadata)
    with pytest.raises(DataError, match=r"<case>\.json"):
        read_header(str(path))
    path.with_suffix(".json").write_text('{"spacing": [3, 0.5, 0.5]}')
    np.testing.assert_allclose(np.diag(read_header(str(path)).affine), [0.5, 0.5, 3, 1])


def test_a_stack_of_flags_has_a_remedy(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.stack([SEEN, ~SEEN], -1).astype(np.uint8), photometric="minisblack")
    with pytest.raises(DataError, match="the number of the channel in each voxel"):
        read_header(str(tmp_path / "a.tif"))


def test_packed_files_have_a_remedy_of_their_own(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "v0.nrrd.gz").touch()
    with pytest.raises(DataError, match=r"1 other files, such as v0\.nrrd\.gz[\s\S]*unpack the files"):
        files_in(tmp_path, "images", "data.images", [".nrrd"])
