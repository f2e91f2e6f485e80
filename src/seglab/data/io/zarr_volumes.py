"""A volume in a Zarr folder, read by parts: what does not fit into memory needs no more than its parts do.

Axes x, y and z are the first, second and third of the array here, as columns, rows and slices are of a stack in TIFF.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from seglab.data.io.foreign_header import ForeignHeader, fields_of
from seglab.data.io.nifti_headers import Header, unreadable
from seglab.data.io.ome_metadata import METADATA_FILES, Level, OmeImage, read_ome
from seglab.errors import DataError
from seglab.extras import check_module

_KIND = "Zarr folder"
_VOXELS_APART = 2.0
_READ_AS: dict[str, np.dtype] = {"bool": np.dtype(np.uint8), "float16": np.dtype(np.float32)}
Box = tuple[slice, slice, slice]


@dataclass(frozen=True)
class ZarrVolume:
    """One level of an image, open to be read.

    Attributes:
        path: as it was named.
        image: what its metadata say.
        level: that is read.
        array: of the library.
    """

    path: str
    image: OmeImage
    level: Level
    array: Any

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """`(X, Y, Z, C)`."""
        x, y, z = (int(self.array.shape[self.image.axes.index(name)]) for name in "xyz")
        return x, y, z, self._along_c

    @property
    def chunks(self) -> tuple[int, int, int]:
        """Voxels of a chunk along x, y and z."""
        x, y, z = (int(self.array.chunks[self.image.axes.index(name)]) for name in "xyz")
        return x, y, z

    @property
    def chunk_bytes(self) -> int:
        """Of a chunk in memory, with all of its channels."""
        return int(np.prod(self.array.chunks)) * self.dtype.itemsize

    @property
    def dtype(self) -> np.dtype:
        """Of a voxel as it is read: in this machine's order of bytes, of the nearest type that a header can name."""
        stored = np.dtype(self.array.dtype).newbyteorder("=")
        return _READ_AS.get(stored.name, stored)

    @property
    def spacing(self) -> tuple[float, ...]:
        """Of voxels along x, y and z, in mm where the axes have a unit, to six digits."""
        return tuple(float(f"{edge:.6g}") for edge in self.level.along(self.image.axes, self.image.units)[0])

    @cached_property
    def absent(self) -> int:
        """Chunks that are not stored, which read as the fill value."""
        return int(self.array.nchunks) - int(self.array.nchunks_initialized)

    @property
    def _along_c(self) -> int:
        return int(self.array.shape[self.image.axes.index("c")]) if "c" in self.image.axes else 1

    def read(self, box: Box) -> np.ndarray:
        """The voxels of a box, `(x, y, z, C)` as stored, read chunk by chunk.

        Raises:
            DataError: a chunk that is damaged.
        """
        every = (*box, slice(0, self._along_c))
        deep = int(self.array.chunks[self.image.axes.index("c")]) if "c" in self.image.axes else 1
        made = np.empty([along.stop - along.start for along in every], self.dtype)
        for part in itertools.product(*map(_by_chunks, every, (*self.chunks, deep))):
            here = tuple(
                slice(one.start - along.start, one.stop - along.start) for one, along in zip(part, every, strict=True)
            )
            made[here] = self._read_part(part)
        return made

    def tiles(self, at_most: int) -> Iterator[Box]:
        """Boxes of whole chunks that cover the volume, each of at most so many bytes, or of one chunk."""
        size, shape = list(self.chunks), self.shape
        while True:
            grown = [k for k in (2, 1, 0) if size[k] < shape[k]]
            if not grown or 2 * int(np.prod(size)) * shape[3] * self.dtype.itemsize > at_most:
                break
            size[min(grown, key=lambda k: size[k])] *= 2
        for part in itertools.product(*(_by_chunks(slice(0, n), step) for n, step in zip(shape, size, strict=False))):
            yield part[0], part[1], part[2]

    def _read_part(self, part: Sequence[slice]) -> np.ndarray:
        """Of one chunk."""
        places = {**dict(zip("xyzc", part, strict=True)), "t": slice(0, 1)}
        selection = tuple(places[name] for name in self.image.axes)
        try:
            values = np.asarray(self.array[selection])
        except Exception as error:  # whatever a codec makes of broken bytes
            from seglab.data.io.zarr_arrays import chunk_name

            at = {n: p.start // c for n, p, c in zip("xyz", part, self.chunks, strict=False)}
            name = chunk_name(self.array, tuple(along.start for along in selection))
            file = self.image.folder / self.level.path / name
            reason = f"a damaged chunk at {at} of chunks, in {file}: {type(error).__name__}: {error}"
            raise unreadable(self.path, reason[:400], kind=_KIND) from error
        values = values[tuple(0 if name == "t" else slice(None) for name in self.image.axes)]
        left = [name for name in self.image.axes if name != "t"]
        if "c" not in left:
            left, values = [*left, "c"], values[..., None]
        return values.transpose([left.index(name) for name in "xyzc"])


def open_levels(path: str) -> list[ZarrVolume]:
    """The levels of an image, from the finest, open to be read; of one of its levels or a plain array, that one.

    Raises:
        ConfigError: the library is not installed.
        DataError: what `read_ome` refuses; links that lead out of the folder; arrays that cannot be read, of which
            nothing is stored, or with several times; levels that do not cover the same extent; numbers that are not
            real.
    """
    image = read_ome(Path(path))
    check_module("zarr", path)
    _check_links(image.folder)
    opened = [_opened(path, image, level) for level in image.levels]
    for other in opened[1:]:
        _check_extent(opened[0], other)
    return opened


def read_zarr(path: str) -> Header:
    """The header of the finest level, or of the level that is named; raises as `open_levels`."""
    volume = open_levels(path)[0]
    spacing, origin = volume.level.along(volume.image.axes, volume.image.units)
    affine = np.diag([*spacing, 1.0])
    affine[:3, 3] = origin
    shape = volume.shape if volume.shape[3] > 1 else volume.shape[:3]
    unit = "mm" if volume.image.units else "unknown"
    fields = fields_of(path, shape, volume.dtype, affine, unit)
    return ForeignHeader(path, fields, unit, load=lambda: whole(volume))


def whole(volume: ZarrVolume) -> np.ndarray:
    """Every voxel of a volume, `(X, Y, Z, C)` as stored."""
    x, y, z, _ = volume.shape
    return volume.read((slice(0, x), slice(0, y), slice(0, z)))


def files_of_zarr(folder: Path) -> list[str]:
    """Every file that the finest level is read from, and its metadata, in order."""
    image = read_ome(folder)
    parts = [str(image.folder / name) for name in METADATA_FILES if (image.folder / name).is_file()]
    array = image.folder / image.levels[0].path
    found = [os.path.join(root, name) for root, _, names in os.walk(array) for name in names]
    return sorted({*parts, *found})


def _opened(path: str, image: OmeImage, level: Level) -> ZarrVolume:
    from seglab.data.io.zarr_arrays import open_array

    volume = ZarrVolume(path, image, level, open_array(image.folder / level.path))
    _check_array(volume)
    return volume


def _check_array(volume: ZarrVolume) -> None:
    array, axes = volume.array, volume.image.axes
    where = str(volume.image.folder / volume.level.path)
    times = array.shape[axes.index("t")] if "t" in axes and len(array.shape) == len(axes) else 1
    if len(array.shape) != len(axes) or times != 1:
        raise DataError(
            "a Zarr array that is not of one volume",
            code="zarr-axes",
            finding="channel-mismatch",
            where=where,
            found=f"shape {array.shape}, for axes {', '.join(axes)}",
            expected="a length for each axis, and one time",
            remedy="save each time as an image of its own"
            if times != 1
            else "correct its metadata, or export it again",
        )
    if array.dtype.kind not in "biuf":
        raise DataError(
            "a volume whose voxels are no real numbers",
            code="volume-not-real",
            finding="voxel-datatype",
            where=where,
            found=str(array.dtype),
            expected="one whole or floating point number a voxel, up to 64 bits",
            remedy="save it anew as float32",
        )
    if volume.absent:
        _check_absent(volume, Path(where))


def _check_absent(volume: ZarrVolume, folder: Path) -> None:
    """See that chunks which are not stored have a value, and that not all of an image are such; labels may be none."""
    from seglab.data.io.zarr_arrays import chunk_files

    array, other_names = volume.array, bool(chunk_files(folder))
    if array.fill_value is not None and (volume.absent < array.nchunks or (volume.image.labels and not other_names)):
        return
    if volume.absent == array.nchunks and other_names:
        remedy = "where it is whole, its dimension_separator does not fit the names of its files"
    else:
        remedy = (
            "where its origin lacks them too, nothing was written there, or voxels of the fill value were left out: "
            "write_empty_chunks=true stores them"
        )
    raise unreadable(
        str(folder),
        f"{volume.absent} of {array.nchunks} chunks are not there, lost or never written; fill_value "
        f"{array.fill_value}",
        f"copy the folder again; {remedy}",
        "array whose chunks are stored",
    )


def _check_extent(finest: ZarrVolume, other: ZarrVolume) -> None:
    """See that a level covers what the finest covers, to two of its voxels."""
    spans = [[n * step for n, step in zip(one.shape, one.spacing, strict=False)] for one in (finest, other)]
    apart = [abs(a - b) / step for a, b, step in zip(*spans, other.spacing, strict=True)]
    if max(apart) > _VOXELS_APART or other.shape[3] != finest.shape[3]:
        raise DataError(
            "levels of an OME-Zarr image that do not lie on one another",
            code="zarr-levels",
            finding="size-mismatch",
            where=str(other.image.folder / other.level.path),
            found=f"{other.shape} voxels of {other.spacing}",
            expected=f"the extent of {finest.shape} voxels of {finest.spacing}",
            remedy="correct the scales in its metadata, export it again, or name one level alone: volume.zarr/0",
        )


def _check_links(folder: Path) -> None:
    """See that nothing in a folder leads out of it."""
    top = os.path.realpath(folder)
    for root, folders, files in os.walk(top):
        for name in (*folders, *files):
            file = os.path.join(root, name)
            if os.path.islink(file) and not os.path.realpath(file).startswith(top + os.sep):
                raise DataError(
                    "a link that leads out of a Zarr folder",
                    code="zarr-link",
                    finding="unreadable-file",
                    where=file,
                    found=f"a link to {os.readlink(file)}",
                    expected="files within the folder alone; nothing elsewhere is opened",
                    remedy="copy what it names into the folder, in the place of the link",
                )


def _by_chunks(along: slice, step: int) -> list[slice]:
    """A range cut at multiples of `step`."""
    cuts = [along.start, *range((along.start // step + 1) * step, along.stop, step), along.stop]
    return [slice(a, b) for a, b in itertools.pairwise(cuts)]
