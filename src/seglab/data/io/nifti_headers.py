"""The header of a NIfTI file: what it says of its voxels, checked before any of them is read."""

from __future__ import annotations

import gzip
import math
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

import nibabel as nib
import numpy as np
from nibabel import orientations

from seglab.data.io.nifti_forms import placed
from seglab.errors import DataError
from seglab.runtime.memory import available_bytes

NIFTI_ENDINGS = (".nii.gz", ".nii")
# Millimetres in the units that a header may name; without a name they are mm, as every other reader has it.
MILLIMETRES = {"unknown": 1.0, "mm": 1.0, "meter": 1000.0, "micron": 0.001}
_UNITS = {1: "meter", 2: "mm", 3: "micron"}
# What nibabel and the decompressor raise on damaged files.
UNREADABLE = (
    OSError,
    EOFError,
    ValueError,
    OverflowError,  # an infinite offset
    zlib.error,
    nib.filebasedimages.ImageFileError,
    nib.spatialimages.HeaderDataError,
)
COPY_AGAIN = "copy it again from its origin, or remove its case"
_GZIP = b"\x1f\x8b"
# No byte of a deflate stream stands for more (https://zlib.net/zlib_tech.html): what claims more holds less.
_MOST_UNPACKED = 1032
_MB = 2**20
_REST_MB = 64  # looked through behind the voxels for the checksum of a compressed file
_NIFTI1_BYTES, _NIFTI2_BYTES = 348, 540
# Datatype codes that are one real number a voxel: 8 to 64 bits, with and without sign, and float32 and float64.
_NUMBERS = {2, 4, 8, 16, 64, 256, 512, 768, 1024, 1280}
_NAMES = {
    1: "binary",
    32: "complex64",
    128: "RGB24",
    1536: "float128",
    1792: "complex128",
    2048: "complex256",
    2304: "RGBA32",
}
_RESAVED = (
    "with nibabel: i = nib.load(file); n = nib.Nifti1Image({values}, i.affine); "
    "n.header.set_xyzt_units(*i.header.get_xyzt_units()); nib.save(n, new)"
)
_COLOURS = _RESAVED.format(values="np.stack([np.asarray(i.dataobj)[c] for c in np.asarray(i.dataobj).dtype.names], -1)")
_REMEDIES = {
    128: f"an image with a channel for each colour: {_COLOURS}; a label: save one class value a voxel",
    # nibabel does not open numbers that are so wide.
    **dict.fromkeys((1536, 2048), "save it as float32 with the program that wrote it"),
    **dict.fromkeys((32, 1792), _RESAVED.format(values="np.abs(i.dataobj).astype('float32')") + " (magnitudes)"),
}
_REMEDIES[2304] = _REMEDIES[128]


@dataclass(frozen=True)
class Header:
    """A header that was found sound.

    Attributes:
        path: of the file.
        fields: as the file has them, in its unit.
        unit: one of `MILLIMETRES`.
    """

    path: str
    fields: Any
    unit: str

    @property
    def shape(self) -> tuple[int, ...]:
        """`(X, Y, Z)` or `(X, Y, Z, C)` in the file's axis order; of more axes those of 1 are left out."""
        shape = tuple(int(n) for n in self.fields.get_data_shape())
        return *shape[:3], *(n for n in shape[3:] if n != 1)

    @property
    def affine_in_file(self) -> np.ndarray:
        """4×4 from voxel index to the file's unit, in its axis order."""
        affine: np.ndarray = self.fields.get_best_affine()
        return affine

    @property
    def affine(self) -> np.ndarray:
        """4×4 from voxel index to mm, in the file's axis order."""
        return np.diag([MILLIMETRES[self.unit]] * 3 + [1.0]) @ self.affine_in_file

    @property
    def ras(self) -> tuple[tuple[int, ...], np.ndarray]:
        """Spatial shape, and 4×4 from voxel index to mm, when turned to the closest RAS orientation."""
        affine = self.affine
        turn = orientations.io_orientation(affine)
        # Row k of the turn says which axis of RAS the file's axis k becomes.
        shape = tuple(self.shape[int(k)] for k in np.argsort(turn[:, 0]))
        return shape, affine @ orientations.inv_ornt_aff(turn, self.shape[:3])

    def values(self) -> np.ndarray:
        """The voxels, scaled as the header says, in RAS order: `(X, Y, Z)` or `(X, Y, Z, C)`; raises as `stored`."""
        turn = orientations.io_orientation(self.affine_in_file)
        return np.asanyarray(orientations.apply_orientation(self.stored(), turn))

    def stored(self) -> np.ndarray:
        """The voxels, scaled as the header says, in the file's axis order, shaped as `shape`.

        Raises:
            DataError: a damaged file, or less memory than it needs.
        """
        count, width = math.prod(self.shape), self.fields.get_data_dtype().itemsize
        slope, inter = self.fields.get_slope_inter()
        scaled = 0 if (slope or 1, inter or 0) == (1, 0) else 8
        if count * (width + scaled + 4) > available_bytes():  # as stored, as float64 where it is scaled, as float32
            raise DataError(
                "a volume that does not fit into memory",
                code="image-too-large",
                where=self.path,
                found=f"{'×'.join(map(str, self.shape))} voxels of {width} bytes",
                expected=f"up to {available_bytes() // _MB:,} MB, twice over",
                remedy="cut or resample it to fewer voxels, or close other programs",
            )
        return self._read().reshape(self.shape)

    def _read(self) -> np.ndarray:
        try:
            with open_by_content(self.path) as stream:
                values = np.asanyarray(self.fields.data_from_fileobj(stream))
                for _ in range(_REST_MB):
                    if not stream.read(_MB):
                        break
        except UNREADABLE as error:
            raise unreadable(self.path, f"{type(error).__name__}: {error}") from error
        return values


def is_nifti(path: Path) -> bool:
    """By its ending, in upper or lower case."""
    return path.name.lower().endswith(NIFTI_ENDINGS)


def open_by_content(path: str) -> BinaryIO:
    """The file, unpacked if it is compressed, whatever its name says."""
    with open(path, "rb") as file:
        packed = file.read(len(_GZIP)) == _GZIP
    return cast(BinaryIO, gzip.open(path, "rb")) if packed else open(path, "rb")


def read_header(path: str) -> Header:
    """The checked header of a NIfTI-1 or NIfTI-2 file, of either byte order, compressed or not.

    Raises:
        DataError: no such file, or one that was cut off or declares more than it can hold; fewer than three axes;
            voxels that are no real numbers; a header that does not say where its voxels lie.
    """
    try:
        with open_by_content(path) as stream:
            block = stream.read(_NIFTI2_BYTES)
            packed = isinstance(stream, gzip.GzipFile)
        kind = _kind(block, path)
        raw = kind(block[: kind.sizeof_hdr], check=False)
        _check_datatype(raw, path)
        fields = kind(block[: kind.sizeof_hdr])
        _check_size(fields, path, packed)
        unit = _UNITS.get(int(raw["xyzt_units"]) & 7, "unknown")
        header = Header(path, fields, unit)
        _check_scaling(raw, path)
        placed(fields, np.asarray(raw["pixdim"][1:4], float), path, unit)
    except UNREADABLE as error:
        raise unreadable(path, f"{type(error).__name__}: {error}") from error
    return header


def unreadable(path: str, found: str, remedy: str = COPY_AGAIN, kind: str = "NIfTI file (.nii, .nii.gz)") -> DataError:
    """Of a file that is no whole one of its `kind`."""
    return DataError(
        "a file that cannot be read",
        code="file-unreadable",
        finding="unreadable-file",
        where=path,
        found=found,
        expected=f"a whole {kind}",
        remedy=remedy,
    )


def flat(path: str, found: str) -> DataError:
    """Of an image that has no depth."""
    return DataError(
        "an image that is no volume",
        code="not-a-volume",
        where=path,
        found=found,
        expected="three spatial axes",
        remedy="save 2D images as PNG or TIFF, for data=image_folder, or stack the slices of a volume in one file",
    )


def _kind(block: bytes, path: str) -> Any:
    """The class of the header that a file begins with."""
    sizes = {int.from_bytes(block[:4], order) for order in ("little", "big")} if len(block) >= _NIFTI1_BYTES else set()
    first, second = block[344:348], block[4:8]
    if _NIFTI1_BYTES in sizes and first == b"n+1\0":
        return nib.Nifti1Header
    if _NIFTI2_BYTES in sizes and second == b"n+2\0" and len(block) >= _NIFTI2_BYTES:
        return nib.Nifti2Header
    if first == b"ni1\0" or second == b"ni2\0":
        raise unreadable(
            path,
            "a header whose voxels lie in a second file (.hdr and .img)",
            'join the two: with nibabel, nib.save(nib.load("<name>.hdr"), "<name>.nii.gz")',
        )
    found = "it is empty"
    if block:
        marked = "without the mark of NIfTI, as Analyze has it" if _NIFTI1_BYTES in sizes else "no NIfTI header"
        found = f"it begins with {bytes(block[:16])!r}, {marked}"
    raise unreadable(path, found, f"convert it if it is of another kind, or {COPY_AGAIN}")


def _check_datatype(raw: Any, path: str) -> None:
    code = int(raw["datatype"])
    if code not in _NUMBERS:
        raise DataError(
            "a volume whose voxels are no real numbers",
            code="volume-not-real",
            finding="voxel-datatype",
            where=path,
            found=f"datatype {_NAMES.get(code, 'unknown')} (code {code})",
            expected="one whole or floating point number a voxel, up to 64 bits",
            remedy=_REMEDIES.get(code, "save it anew as float32"),
        )


def _check_scaling(raw: Any, path: str) -> None:
    """No number, or 0, stands for no scaling; anything else must be numbers."""
    slope, inter = float(raw["scl_slope"]), float(raw["scl_inter"])
    if np.isinf(slope) or (slope != 0 and not np.isnan(slope) and not np.isfinite(inter)):
        raise DataError(
            "a header whose scaling is no number",
            code="volume-scaling",
            where=path,
            found=f"scl_slope {slope:g}, scl_inter {inter:g}",
            expected="finite numbers, or a slope of 0 for none",
            remedy="export it again, or remove the case",
        )


def _check_size(fields: Any, path: str, packed: bool) -> None:
    shape = tuple(int(n) for n in fields.get_data_shape())
    size = f"{'×'.join(map(str, shape)) or 'no'} voxels"
    if len(shape) < 3:
        raise flat(path, f"shape {shape}")
    if min(shape) < 1:
        raise DataError(
            "a volume without voxels",
            code="empty-volume",
            where=path,
            found=size,
            expected="one or more along each axis",
            remedy="export it again, or remove the case",
        )
    declared = int(fields.get_data_offset()) + math.prod(shape) * fields.get_data_dtype().itemsize
    held = Path(path).stat().st_size
    if declared > held * (_MOST_UNPACKED if packed else 1):
        says = f"a header that declares {size}, {declared:,} bytes, in a file of {held:,}"
        raise unreadable(path, says + (" compressed ones" if packed else ""))
