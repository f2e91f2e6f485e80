"""What a file is by its first bytes, where its name says something else: it is to be renamed, not copied again."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path

from seglab.data.io.nifti_headers import unreadable
from seglab.errors import DataError

_READ = 352  # of a NIfTI header with its mark
_GZIP = b"\x1f\x8b"
_VOLUMES = {
    "NRRD": ((b"NRRD0",), (".nrrd", ".nhdr")),
    "MetaImage": ((b"ObjectType", b"NDims"), (".mha", ".mhd")),
    "TIFF": ((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"), (".tif", ".tiff")),
    "NIfTI": ((), (".nii", ".nii.gz")),
}
_UNPACK = "unpack it, and give it the ending of what is in it"
_OTHERS = {
    b"BZh": ("compressed by bzip2", _UNPACK),
    b"\xfd7zXZ": ("compressed by xz", _UNPACK),
    b"(\xb5/\xfd": ("compressed by zstd", _UNPACK),
    b"PK\x03\x04": ("a ZIP archive", _UNPACK),
    b"version https://git-lfs": ("a pointer of Git LFS, and not the file that it stands for", "git lfs pull"),
    b"\x89PNG": ("a picture in PNG", "give the volume in the place of its picture"),
    b"\xff\xd8\xff": ("a picture in JPEG", "give the volume in the place of its picture"),
    b"<!DOCTYPE": ("a page of the web", "download the file itself"),
    b"<html": ("a page of the web", "download the file itself"),
}


def misnamed(path: str) -> DataError | None:
    """The refusal of a volume that is of another kind than its name says; None where its content says no more."""
    try:
        with Path(path).open("rb") as file:
            start = file.read(_READ)
        packed = start.startswith(_GZIP)
        if packed:
            with gzip.open(path) as unpacked:
                start = unpacked.read(_READ)
    except (OSError, EOFError, zlib.error):
        return None
    if packed and start.startswith(_GZIP):
        return unreadable(path, "a file that was compressed twice", "unpack it once: gzip -dc <file> > <new file>")
    for mark, (what, remedy) in _OTHERS.items():
        if start.startswith(mark):
            return unreadable(path, what, remedy, "volume")
    for kind, (marks, endings) in _VOLUMES.items():
        found = start.startswith(marks) if marks else start[344:348] == b"n+1\0" or start[4:8] == b"n+2\0"
        if not found or (path.lower().endswith(endings) and (kind == "NIfTI" or not packed)):
            continue
        if packed and kind != "NIfTI":
            return unreadable(
                path, f"a {kind} file, compressed", f"unpack it: gzip -dc <file> > <case>{endings[0]}", "volume"
            )
        return unreadable(
            path, f"a {kind} file, by its content", f"rename it: <case>{endings[-1 if packed else 0]}", "volume"
        )
    return None
