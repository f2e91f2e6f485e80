"""One array of Zarr, opened so that a chunk that is cut short is an error and never voxels.

The library checks what most codecs store. It does not check a chunk in Blosc, whose missing end it takes from memory
that is not the chunk's, nor a shard without bytes, which it takes for one that was never written.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numcodecs
import numpy as np
import zarr
from zarr.codecs import BloscCodec
from zarr.registry import register_codec
from zarr.storage import LocalStore

from seglab.data.io.nifti_headers import unreadable
from seglab.data.io.ome_metadata import METADATA_FILES
from seglab.errors import DataError

if TYPE_CHECKING:
    from zarr.core.array_spec import ArraySpec
    from zarr.core.buffer import Buffer

# https://github.com/Blosc/c-blosc/blob/main/README_CHUNK_FORMAT.rst
_BLOSC_HEADER, _STORED_BYTES = 16, slice(12, 16)
_BLOSC = "blosc"


class WholeBlosc(numcodecs.Blosc):  # type: ignore[misc]
    """Blosc that refuses a chunk with fewer bytes than its header says."""

    def decode(self, buf: Any, out: Any = None) -> Any:
        _check_length(buf)
        return super().decode(buf, out)


class WholeBloscCodec(BloscCodec):
    """The same for Zarr 3."""

    async def _decode_single(self, chunk_bytes: Buffer, chunk_spec: ArraySpec) -> Buffer:
        _check_length(chunk_bytes.as_numpy_array())
        return await super()._decode_single(chunk_bytes, chunk_spec)


def open_array(folder: Path) -> Any:
    """The array of the library in a folder, to be read.

    Raises:
        DataError: an unknown codec, metadata that make no array, a file without bytes in the place of a chunk.
    """
    numcodecs.register_codec(WholeBlosc, _BLOSC)
    register_codec(_BLOSC, WholeBloscCodec)
    whole = f"{WholeBloscCodec.__module__}.{WholeBloscCodec.__qualname__}"
    try:
        with zarr.config.set({f"codecs.{_BLOSC}": whole}):
            array = zarr.open_array(LocalStore(folder, read_only=True), mode="r")
    except Exception as error:  # a codec that is not there, metadata that make no array, no array at all
        reason = f"{type(error).__name__}: {error}"[:300]
        if "codec" in reason.lower():
            raise DataError(
                "a Zarr array in a codec that is not known here",
                code="zarr-codec",
                finding="unreadable-file",
                where=str(folder),
                found=reason,
                expected="one of those in zarr and numcodecs, such as zstd, blosc, gzip",
                remedy="write the array anew with one of them",
            ) from error
        raise unreadable(str(folder), reason, kind="Zarr folder") from error
    for file in chunk_files(folder):
        if not os.path.getsize(file):
            raise unreadable(file, "a damaged chunk of 0 bytes", kind="Zarr folder")
    return array


def chunk_files(folder: Path) -> list[str]:
    """The files of an array that may be chunks, under whatever name."""
    found = (os.path.join(root, name) for root, _, names in os.walk(folder) for name in names)
    return [file for file in found if os.path.basename(file) not in METADATA_FILES]


def chunk_name(array: Any, indices: tuple[int, ...]) -> str:
    """Name of the file, below the folder of its array, that the voxel at such indices is stored in."""
    grid = array.shards or array.chunks
    return str(array.metadata.encode_chunk_key(tuple(at // step for at, step in zip(indices, grid, strict=True))))


def _check_length(chunk: Any) -> None:
    stored = np.frombuffer(chunk, np.uint8)
    named = int.from_bytes(stored[_STORED_BYTES].tobytes(), "little")
    if len(stored) < max(named, _BLOSC_HEADER):
        raise ValueError(f"cut short: {len(stored)} bytes, of {max(named, _BLOSC_HEADER)} in Blosc")
