"""What a file holds that is neither an image nor a volume, by its first bytes, and what to do with it."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path

_READ = 352  # of a NIfTI header with its mark
_GZIP = b"\x1f\x8b"
_UNPACK = "unpack it, and give it the ending of what is in it"
_OF_THE_WEB = ("a page of the web", "download the file itself")
_OTHERS = {
    b"bzh": ("compressed by bzip2", _UNPACK),
    b"\xfd7zxz": ("compressed by xz", _UNPACK),
    b"(\xb5/\xfd": ("compressed by zstd", _UNPACK),
    b"pk\x03\x04": ("a ZIP archive", _UNPACK),
    b"version https://git-lfs": ("a pointer of Git LFS, and not the file that it stands for", "git lfs pull"),
    b"<!doctype": _OF_THE_WEB,
    b"<html": _OF_THE_WEB,
    b"<?xml": ("a text in XML, as servers answer with", "download the file itself"),
    b"%pdf": ("a PDF", "save the images that are in it as PNG or TIFF"),
}
_VOLUMES = {b"NRRD0": "NRRD", b"ObjectType": "MetaImage", b"NDims": "MetaImage"}


def first_bytes(path: str | Path) -> tuple[bytes, bool]:
    """The first bytes of a file, unpacked where it is compressed by gzip, and whether it is; none where it cannot be
    read."""
    try:
        with Path(path).open("rb") as file:
            start = file.read(_READ)
        packed = start.startswith(_GZIP)
        if packed:
            with gzip.open(path) as unpacked:
                start = unpacked.read(_READ)
    except (OSError, EOFError, zlib.error):
        return b"", False
    return start, packed


def packed_twice(start: bytes, packed: bool) -> bool:
    """Of `first_bytes`: whether what is unpacked is compressed once more."""
    return packed and start.startswith(_GZIP)


def is_nifti_header(start: bytes) -> bool:
    """Whether first bytes are those of a NIfTI file."""
    return start[344:348] == b"n+1\0" or start[4:8] == b"n+2\0"


def other_contents(start: bytes) -> tuple[str, str] | None:
    """What first bytes are of that is neither an image nor a volume, and the remedy; None where they say no more."""
    text = start.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    return next((found for mark, found in _OTHERS.items() if text.startswith(mark)), None)


def in_place_of_image(path: Path) -> tuple[str, str] | None:
    """What a file holds in the place of a 2D image, and the remedy; None where its first bytes say no more."""
    start, packed = first_bytes(path)
    other = other_contents(start)
    if other is not None:
        return other
    kind = next((name for mark, name in _VOLUMES.items() if start.startswith(mark)), "")
    kind = "NIfTI" if is_nifti_header(start) else "DICOM" if start[128:132] == b"DICM" else kind
    if kind:
        return f"a volume in {kind}", "data=nifti reads volumes; or save its slices as PNG or TIFF"
    if packed:
        return "compressed by gzip", "unpack it: gzip -dc <file> > <new file>"
    return None
