"""TIFF by tifffile and imagecodecs, whatever its compression: each file is read as it is meant, or refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import tifffile

from seglab.data.io.stored_pixels import StoredPixels, native, refuse_too_large, upright
from seglab.errors import DataError

_SIGNATURES = tuple(
    order + number for order, ns in ((b"II", (b"*\0", b"+\0")), (b"MM", (b"\0*", b"\0+"))) for number in ns
)
_CHANNELS_LAST, _CHANNELS_FIRST = ("YX", "YXS", "YXC"), ("SYX", "CYX")
_PHOTOMETRIC, _ORIENTATION, _INK_SET = 262, 274, 332
_CMYK = 1  # of the tag InkSet: cyan, magenta, yellow, black
# tifffile makes RGB of YCbCr in these alone.
_JPEG = (6, 7, 33007, 34892)
_KIND = tifffile.PHOTOMETRIC
_AS_STORED = (_KIND.MINISBLACK, _KIND.RGB)


def is_tiff(head: bytes) -> bool:
    """Whether a file that begins with these bytes is a TIFF or BigTIFF."""
    return head[:4] in _SIGNATURES


def count_tiff_pages(path: Path) -> int:
    """1 for one image, of however many channels; else the pages, without thumbnails and transparency masks."""
    with path.open("rb") as stream, tifffile.TiffFile(stream) as file:  # the body of a request has no other name
        return 1 if _single(file) is not None else len(_pages(file))


def read_tiff(path: Path, page: int | None) -> StoredPixels:
    """The image of a TIFF, or its page number `page`, from 0.

    Grey of which 0 is white is inverted, CMYK becomes RGB.

    Raises:
        DataError: several pages and none asked for, a colour model or a kind of number that is not read, data that the
            file is too short for, an image too large for the memory.
        OSError, ValueError, RuntimeError, …: what tifffile and imagecodecs raise on damaged files.
    """
    with path.open("rb") as stream, tifffile.TiffFile(stream) as file:  # the body of a request has no other name
        part = _single(file) if page is None else _pages(file)[page]
        if part is None:
            raise DataError(
                "a TIFF of several pages",
                code="several-pages",
                where=str(path),
                found=f"{len(file.pages)} pages, axes {file.series[0].axes}, shape {file.series[0].shape}",
                expected="one image (H, W) or (H, W, C) in a file",
                remedy="save each page as a file of its own; data=image_folder takes the pages as cases",
            )
        first: Any = part.keyframe
        check_readable(path, first, part.axes, part.dtype)
        _check_whole(path, part, file.filehandle.size)
        refuse_too_large(path, first.imagelength, first.imagewidth, part.nbytes)
        values = native(part.asarray())
    if part.axes in _CHANNELS_FIRST:
        values = np.moveaxis(values, 0, -1)
    bits = int(first.bitspersample)
    kind, palette = _kind_of(first), None
    values = black_is_0(values, first)
    if kind == _KIND.SEPARATED:
        values = _rgb_of_inks(values, 2**bits - 1)
    elif kind == _KIND.PALETTE and part.axes in _CHANNELS_LAST:
        palette = _palette(first.colormap)
        values = values if values.ndim == 2 else values[..., 0]  # what is beside the numbers is transparency
    if values.dtype == bool:
        values = values.view(np.uint8)
    return StoredPixels(upright(values, first.tags.valueof(_ORIENTATION)), bits, palette)


def black_is_0(values: np.ndarray, page: Any) -> np.ndarray:
    """Samples of a page that `check_readable` let pass, whole numbers or real ones, inverted where 0 is its white."""
    if _kind_of(page) != _KIND.MINISWHITE:
        return values
    inverted: np.ndarray = ~values if values.dtype == bool else values.dtype.type(2**page.bitspersample - 1) - values
    return inverted


def plain_stack(page: Any) -> tuple[str, str] | None:
    """What a page of a stack is that is read of single images only, and what to do; None where it is read."""
    orientation = page.tags.valueof(_ORIENTATION, 1)
    if orientation != 1:
        return f"slices that are to be turned, orientation {orientation}", "save them upright (Orientation 1)"
    if _kind_of(page) == _KIND.SEPARATED:
        return "inks (CMYK)", "save it as RGB, or each channel as grey"
    return None


def _single(file: tifffile.TiffFile) -> Any:
    """The series or page that is the one image of the file; None where there are several."""
    series = file.series
    if len(series) == 1:
        return series[0] if series[0].axes in (*_CHANNELS_FIRST, *_CHANNELS_LAST) else None
    pages = _pages(file)
    return pages[0] if len(pages) == 1 else None


def _pages(file: tifffile.TiffFile) -> list[Any]:
    pages: list[Any] = list(file.pages)
    return [page for page in pages if not (page.keyframe.is_reduced or page.keyframe.is_mask)] or pages


def _kind_of(page: Any) -> Any:
    """Its photometric interpretation; where the tag is missing, 0 is taken to be black."""
    return page.photometric if _PHOTOMETRIC in page.tags else _KIND.MINISBLACK


def check_readable(path: Path, page: Any, axes: str, dtype: np.dtype | None) -> None:
    """Refuse what would come out as other numbers than are seen; raises `DataError`.

    Args:
        path: for messages.
        page: of tifffile.
        axes: of the image, as tifffile names them.
        dtype: of its samples.
    """
    kind = _kind_of(page)
    name = getattr(kind, "name", str(kind))
    if page.compression not in tifffile.TIFF.DECOMPRESSORS:
        compression = getattr(page.compression, "name", page.compression)
        found, remedy = f"compression {compression}, for which there is no decoder", "save it with LZW or Deflate"
    elif dtype is None or dtype.kind not in "buif" or not isinstance(page.bitspersample, int):
        found, remedy = f"samples of type {dtype}, {page.bitspersample} bits", "save real numbers of one width"
    elif axes not in (*_CHANNELS_FIRST, *_CHANNELS_LAST):
        found, remedy = f"axes {axes}, shape {page.shape}", "save one image (H, W) or (H, W, C) in a file"
    elif kind == _KIND.MINISWHITE and dtype.kind in "if":
        found, remedy = f"{name} (0 is white) of {dtype}, for which no number is black", "save it as MINISBLACK"
    elif kind == _KIND.YCBCR and page.compression not in _JPEG:
        found, remedy = f"{name} with compression {page.compression}", "save it as RGB"
    elif kind == _KIND.SEPARATED and not (
        dtype.kind == "u" and page.samplesperpixel == 4 and page.tags.valueof(_INK_SET, 1) == _CMYK
    ):
        found, remedy = f"{name}: {page.samplesperpixel} inks of {dtype}", "save it as RGB"
    elif kind == _KIND.PALETTE and (page.colormap is None or dtype.kind not in "bu"):
        found, remedy = f"{name} without a palette for {dtype}", "save it as grey or RGB"
    elif kind not in (*_AS_STORED, _KIND.MINISWHITE, _KIND.YCBCR, _KIND.SEPARATED, _KIND.PALETTE):
        found, remedy = f"{name}", "save it as RGB, or as bands with MINISBLACK"
    else:
        return
    raise DataError(
        "a TIFF of a kind that is not read",
        code="unsupported-tiff",
        finding="unreadable-file",
        where=str(path),
        found=found,
        expected="one image of whole or real numbers: MINISBLACK, MINISWHITE, RGB, PALETTE, CMYK, or YCbCr in JPEG",
        remedy=remedy,
    )


def _check_whole(path: Path, part: Any, size: int) -> None:
    """Refuse a file that ends before its data does: some decoders would fill the rest with 0."""
    pages = [part] if isinstance(part, tifffile.TiffPage | tifffile.TiffFrame) else list(part.pages)
    ends = [
        offset + count
        for page in pages
        if page is not None
        for offset, count in zip(page.dataoffsets, page.databytecounts, strict=False)
    ]
    if max(ends, default=0) > size:
        raise DataError(
            "a file that cannot be read",
            code="file-unreadable",
            finding="unreadable-file",
            where=str(path),
            found=f"{size} bytes, with data up to byte {max(ends)}",
            expected="a whole TIFF",
            remedy="copy it again from its origin, or remove it with its partner",
        )


def _rgb_of_inks(values: np.ndarray, full: int) -> np.ndarray:
    """RGB of `(H, W, 4)` cyan, magenta, yellow and black, the more the darker; no colour profile is applied."""
    light = full - values.astype(np.uint64)
    return ((light[..., :3] * light[..., 3:] + full // 2) // full).astype(values.dtype)


def _palette(colormap: np.ndarray) -> np.ndarray:
    """`(N, 3)` uint8 of a `(3, N)` table of 16 bits, or of 8 bits as some programs write it."""
    return (colormap if colormap.max(initial=0) < 256 else colormap >> 8).astype(np.uint8).T
