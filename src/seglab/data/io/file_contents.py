"""What a file is by its first bytes, where its name says something else: it is to be renamed, not copied again."""

from __future__ import annotations

from seglab.data.io.foreign_contents import first_bytes, is_nifti_header, other_contents, packed_twice
from seglab.data.io.nifti_headers import unreadable
from seglab.errors import DataError

_VOLUMES = {
    "NRRD": ((b"NRRD0",), (".nrrd", ".nhdr")),
    "MetaImage": ((b"ObjectType", b"NDims"), (".mha", ".mhd")),
    "TIFF": ((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"), (".tif", ".tiff")),
    "NIfTI": ((), (".nii", ".nii.gz")),
}
_PICTURES = {b"\x89PNG": "PNG", b"\xff\xd8\xff": "JPEG"}


def misnamed(path: str) -> DataError | None:
    """The refusal of a volume that is of another kind than its name says; None where its content says no more."""
    start, packed = first_bytes(path)
    if packed_twice(start, packed):
        return unreadable(path, "a file that was compressed twice", "unpack it once: gzip -dc <file> > <new file>")
    other = other_contents(start)
    if other is not None:
        return unreadable(path, *other, "volume")
    for mark, name in _PICTURES.items():
        if start.startswith(mark):
            return unreadable(path, f"a picture in {name}", "give the volume in the place of its picture", "volume")
    for kind, (marks, endings) in _VOLUMES.items():
        found = start.startswith(marks) if marks else is_nifti_header(start)
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
