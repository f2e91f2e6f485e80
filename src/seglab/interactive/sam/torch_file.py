"""A checkpoint of PyTorch (`.pth`, `.pt`), read without PyTorch: an archive of runs of numbers and a table of them."""

from __future__ import annotations

import struct
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from seglab.interactive.sam.pickled_tensors import ForbiddenPickle, StoredTensor, read_tensors
from seglab.interactive.sam.weight_refusals import damaged, refused

# Of the largest checkpoint there are some 600 tensors in 0.1 MB of each table.
_PICKLE_BYTES, _DIRECTORY_BYTES = 2**20, 2**22
_TAIL = 22 + 2**16
_LOCAL_HEADER = 30
_LAST = "/data.pkl"


class TorchFile:
    """The tensors of a checkpoint; each is read when it is asked for.

    Args:
        file: an archive as `torch.save` writes it since PyTorch 1.6.

    Attributes:
        shapes: of each tensor by its name, as the table of the file says.

    Raises:
        DataError: no such archive, cut off, or something else than tensors in it.
    """

    def __init__(self, file: Path):
        self._file = file
        _check_directory(file)
        try:
            with zipfile.ZipFile(file) as archive:
                self._members = {member.filename: member for member in archive.infolist()}
                self._root = self._find_root()
                table = self._table(archive)
                self._order = self._byte_order(archive)
        except (
            zipfile.BadZipFile,
            NotImplementedError,
            EOFError,
            UnicodeDecodeError,
            struct.error,
            zlib.error,
        ) as error:
            raise damaged(file, f"an archive that contradicts itself: {error}") from error
        try:
            self._tensors = read_tensors(table)
        except ForbiddenPickle as error:
            raise refused(file, str(error)) from error
        self.shapes: Mapping[str, tuple[int, ...]] = {name: tensor.shape for name, tensor in self._tensors.items()}

    def read(self, name: str) -> npt.NDArray[np.float32]:
        """The numbers of a tensor, as float32.

        Raises:
            DataError: they are not there, or not as they were written.
        """
        tensor = self._tensors[name]
        numbers = self._storage(name, tensor)
        if tensor.storage.kind == "bfloat16":
            numbers = (numbers.astype(np.uint32) << 16).view(np.float32)
        steps = tuple(step * numbers.itemsize for step in tensor.stride)
        view = np.lib.stride_tricks.as_strided(numbers[tensor.offset :], tensor.shape, steps, writeable=False)
        return np.ascontiguousarray(view, np.float32)

    def _storage(self, name: str, tensor: StoredTensor) -> npt.NDArray[np.generic]:
        member = self._members.get(f"{self._root}data/{tensor.storage.key}")
        kind = np.dtype("u2" if tensor.storage.kind == "bfloat16" else tensor.storage.kind).newbyteorder(self._order)
        size = tensor.storage.count * kind.itemsize
        if member is None or member.file_size != size or member.compress_type != zipfile.ZIP_STORED:
            held = "nothing" if member is None else f"{member.file_size} bytes"
            raise damaged(self._file, f"{held} where {size} bytes of {name} should lie")
        with self._file.open("rb") as stream:
            stream.seek(member.header_offset)
            header = stream.read(_LOCAL_HEADER).ljust(_LOCAL_HEADER, b"\0")
            stream.seek(sum(struct.unpack("<HH", header[26:30])), 1)
            content = stream.read(size)
        if len(content) != size or zlib.crc32(content) != member.CRC:
            raise damaged(self._file, f"numbers of {name} that are not those that were written")
        return np.frombuffer(content, kind).astype(kind.newbyteorder("="), copy=False)

    def _find_root(self) -> str:
        if any("/code/" in name or name.endswith("/constants.pkl") for name in self._members):
            raise refused(self._file, "a TorchScript program (code/, constants.pkl)")
        roots = [name[: -len(_LAST) + 1] for name in self._members if name.endswith(_LAST) and name.count("/") == 1]
        if len(roots) != 1:
            raise damaged(self._file, f"an archive with {len(roots)} files data.pkl")
        return roots[0]

    def _table(self, archive: zipfile.ZipFile) -> bytes:
        member = self._members[f"{self._root}data.pkl"]
        if member.file_size > _PICKLE_BYTES or member.compress_type != zipfile.ZIP_STORED:
            raise refused(self._file, f"a table of contents (data.pkl) of {member.file_size:,} bytes, or packed")
        return archive.read(member)

    def _byte_order(self, archive: zipfile.ZipFile) -> Literal["<", ">"]:
        member = self._members.get(f"{self._root}byteorder")
        if member is None or member.file_size > len("little") or member.compress_type != zipfile.ZIP_STORED:
            return "<"
        return ">" if archive.read(member) == b"big" else "<"


def _check_directory(file: Path) -> None:
    """See that there is an archive's directory, and how large it is, before it is read as a whole."""
    size = file.stat().st_size
    with file.open("rb") as stream:
        start = stream.read(64)
        stream.seek(max(0, size - _TAIL))
        tail = stream.read()
    if not start.startswith(b"PK"):
        raise damaged(file, _kind(start))
    at = tail.rfind(b"PK\5\6")
    if at < 0 or len(tail) - at < 22:
        raise damaged(file, f"an archive that was cut off: {size:,} bytes, without its end")
    length = struct.unpack("<I", tail[at + 12 : at + 16])[0]
    wide = tail.rfind(b"PK\6\6", 0, at)
    if length == 2**32 - 1 and 0 <= wide <= len(tail) - 56:
        length = struct.unpack("<Q", tail[wide + 40 : wide + 48])[0]
    if length > _DIRECTORY_BYTES:
        raise refused(file, f"a directory of {length:,} bytes")


def _kind(start: bytes) -> str:
    """What a file is that is no archive, by how it begins."""
    if not start:
        return "an empty file"
    if start.startswith(b"version https://git-lfs"):
        return "a pointer of Git LFS in the place of the file itself"
    if start.lstrip()[:1] == b"<":
        return "a web page"
    if start.startswith(b"\x89HDF"):
        return "an HDF5 file whose name does not end in .h5"
    if start.startswith(b"\x80"):
        return "a pickle without an archive, as PyTorch wrote them before 1.6"
    return "no archive"
