"""A chunk that is cut short is an error and never voxels; the axes of an array without an image are its own names."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numcodecs
import numpy as np
import pytest
import zarr
from zarr.codecs import BloscCodec

from seglab.data.io.nifti_files import read_image
from seglab.data.io.zarr_volumes import open_levels
from seglab.errors import DataError

# Noise, which Blosc stores as it is: what is missing was taken from the memory behind it, without an error.
NOISE = np.random.default_rng(0).integers(1, 255, (8, 16, 12)).astype(np.uint8)
ONE_CHUNK = {"shape": (8, 8, 8), "index_location": "start"}
STORED: dict[str, dict[str, Any]] = {
    "Blosc, Zarr 2": {"zarr_format": 2, "compressors": numcodecs.Blosc()},
    "Blosc, Zarr 3": {"compressors": BloscCodec()},
    "Blosc of numcodecs": {"compressors": {"name": "numcodecs.blosc", "configuration": {}}},
    "Blosc in a shard": {"compressors": BloscCodec(), "shards": ONE_CHUNK},
    "plain, Zarr 2": {"zarr_format": 2, "compressors": None},
    "plain, Zarr 3": {"compressors": None},
    "plain in a shard": {"compressors": None, "shards": ONE_CHUNK},
}


@pytest.mark.filterwarnings("ignore:Numcodecs codecs are not in the Zarr version 3")
@pytest.mark.parametrize("stored", STORED)
def test_a_chunk_that_is_cut_short_is_refused_by_its_name(tmp_path: Path, stored: str) -> None:
    how = STORED[stored]
    path = tmp_path / "a.zarr"
    zarr.create_array(path, data=NOISE, chunks=(8, 8, 8), chunk_key_encoding={"name": "v2"}, **how)
    np.testing.assert_array_equal(read_image([str(path)])[0][..., 0], NOISE.T)
    chunk = path / "0.1.0"
    whole = chunk.read_bytes()
    for length in (len(whole) - 1, len(whole) // 2, 10, 0):
        chunk.write_bytes(whole[:length])
        with pytest.raises(DataError, match="a damaged chunk") as refused:
            read_image([str(path)])
        assert str(chunk) in str(refused.value)
        if length > 0:
            assert "at {'x': 0, 'y': 1, 'z': 0} of chunks" in str(refused.value)
        if "Blosc" in stored and length > 10:  # what the library makes of it depends on the memory behind it
            assert "cut short" in str(refused.value)


def test_a_damaged_chunk_of_one_channel_is_named(tmp_path: Path) -> None:
    stored = np.stack([NOISE, NOISE[::-1]])
    zarr.create_array(tmp_path / "a.zarr", data=stored, chunks=(1, 8, 8, 8), zarr_format=2, compressors=None)
    np.testing.assert_array_equal(read_image([str(tmp_path / "a.zarr")])[0], stored.T)
    os.truncate(tmp_path / "a.zarr" / "1.0.0.1", 100)
    with pytest.raises(DataError, match=r"1\.0\.0\.1"):
        read_image([str(tmp_path / "a.zarr")])


@pytest.mark.parametrize("names", [None, [None] * 3, ["Z", "Y", "X"], ["dim_0", "dim_1", "dim_2"]])
@pytest.mark.parametrize("kind", [2, 3])
def test_an_array_without_names_is_z_y_x_and_capitals_are_names(tmp_path: Path, kind: int, names: Any) -> None:
    read = read_image([str(named(tmp_path / "a.zarr", kind, NOISE, names))])[0]
    np.testing.assert_array_equal(read[..., 0], NOISE.T)


@pytest.mark.parametrize("kind", [2, 3])
def test_names_of_axes_are_followed_and_shown_where_they_are_refused(tmp_path: Path, kind: int) -> None:
    read = read_image([str(named(tmp_path / "a.zarr", kind, NOISE, ["x", "z", "y"]))])[0]
    np.testing.assert_array_equal(read[..., 0], NOISE.transpose(0, 2, 1))
    for number, names in enumerate((["lat", "lon", "z"], ["z", None, "x"], ["x", "x", "y"])):
        with pytest.raises(DataError, match=", ".join(map(str, names))) as refused:
            open_levels(str(named(tmp_path / f"{number}.zarr", kind, NOISE, names)))
        assert refused.value.code == "zarr-axes"


def named(path: Path, kind: int, values: np.ndarray, names: Any) -> Path:
    """An array with names of its axes, as xarray keeps them in Zarr 2."""
    array = zarr.create_array(path, data=values, zarr_format=kind, dimension_names=names if kind == 3 else None)
    if kind == 2 and names is not None:
        array.attrs["_ARRAY_DIMENSIONS"] = names
    return path
