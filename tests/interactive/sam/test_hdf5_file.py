"""Converted weights are plain arrays of one file, or refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from seglab.errors import DataError
from seglab.interactive.sam.hdf5_file import Hdf5File, write_hdf5


def test_what_is_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.weights.h5"
    arrays = {"b.weight": np.arange(6, dtype=np.float32).reshape(2, 3), "a.bias": np.ones(4, np.float32)}
    write_hdf5(path, arrays.items(), {"source_sha256": "00"})
    file = Hdf5File(path)
    assert dict(file.shapes) == {"a.bias": (4,), "b.weight": (2, 3)}
    for key, value in arrays.items():
        np.testing.assert_array_equal(file.read(key), value)
    with h5py.File(path) as content:
        assert content.attrs["source_sha256"] == "00"
    with pytest.raises(FileExistsError):
        write_hdf5(path, [], {})
    assert [one.name for one in tmp_path.iterdir()] == [path.name]


def linked(content: h5py.File) -> None:
    content["a"] = h5py.ExternalLink("other.h5", "a")


def soft(content: h5py.File) -> None:
    content["a"] = h5py.SoftLink("/b")


def group(content: h5py.File) -> None:
    content.create_group("a")


def external(content: h5py.File) -> None:
    content.create_dataset("a", (4,), "f4", external=[("secret.bin", 0, 16)])


def virtual(content: h5py.File) -> None:
    layout = h5py.VirtualLayout((4,), "f4")
    layout[:] = h5py.VirtualSource("other.h5", "a", (4,))
    content.create_virtual_dataset("a", layout)


def never_written(content: h5py.File) -> None:
    content.create_dataset("a", (10**12,), "f4")


def packed(content: h5py.File) -> None:
    content.create_dataset("a", data=np.zeros(10**6, np.float32), compression="gzip")


def text(content: h5py.File) -> None:
    content["a"] = "words"


@pytest.mark.parametrize("make", [linked, soft, group, external, virtual, never_written, packed, text])
def test_what_is_no_array_of_the_file_is_refused(tmp_path: Path, make: Callable[[h5py.File], None]) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as content:
        make(content)
    with pytest.raises(DataError, match="'a'") as caught:
        Hdf5File(tmp_path / "a.h5")
    assert caught.value.code == "checkpoint-refused"


def test_a_file_that_was_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "a.weights.h5"
    write_hdf5(path, [("a", np.ones(1000, np.float32))], {})
    for size in (0, 10, 1000, path.stat().st_size - 8):
        cut = tmp_path / f"{size}.h5"
        cut.write_bytes(path.read_bytes()[:size])
        with pytest.raises(DataError) as caught:
            Hdf5File(cut)
        assert caught.value.code == "checkpoint-damaged"
