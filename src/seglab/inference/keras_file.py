"""What a model's file must be before Keras opens it: weights that lie in it as long as they claim to be, and no deeper
description than a model has. Both are told from tables of contents, in milliseconds and without memory."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from seglab.errors import DataError
from seglab.safety.untrusted_files import MEBI, UnreadableFile, check_depth

WEIGHTS_FILE, CONFIG_FILE = "model.weights.h5", "config.json"
_MEMBERS, _CONFIG_BYTES, _OBJECTS = 1000, 64 * MEBI, 100_000
# Keras does not compress; somebody who packs the file again saves a part of it, and never nine tenths.
_GROWS, _SPARE = 10, 16 * MEBI
_LOCAL_HEADER = 30


def check_model_file(file: Path) -> None:
    """See that a `.keras` file costs about what it weighs.

    A file that is none is left to Keras, which says so.

    Raises:
        DataError: it stands for much more than it holds, reads other files, or is nested too deep.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            _check_sizes(archive, file)
            names = archive.namelist()
            if CONFIG_FILE in names:
                _check_config(archive, file)
            if WEIGHTS_FILE in names:
                _check_weights(archive, file)
    except (zipfile.BadZipFile, NotImplementedError, EOFError):
        return
    except UnreadableFile as error:
        raise _refused(file, str(error)) from error
    except (RuntimeError, KeyError) as error:  # HDF5 that contradicts itself
        raise _refused(file, str(error).splitlines()[0][:200]) from error


def _check_sizes(archive: zipfile.ZipFile, file: Path) -> None:
    members = archive.infolist()
    size, claimed = file.stat().st_size, sum(member.file_size for member in members)
    if len(members) > _MEMBERS:
        raise _refused(file, f"{len(members):,} files in it")
    if claimed > _GROWS * size + _SPARE:
        raise _refused(file, f"{size / MEBI:,.1f} MiB that unpack to {claimed / MEBI:,.0f} MiB")


def _check_config(archive: zipfile.ZipFile, file: Path) -> None:
    size = archive.getinfo(CONFIG_FILE).file_size
    if size > _CONFIG_BYTES:
        raise _refused(file, f"{CONFIG_FILE} of {size / MEBI:,.0f} MiB")
    try:
        check_depth(json.loads(archive.read(CONFIG_FILE)))
    except RecursionError:
        raise _refused(file, f"{CONFIG_FILE} nested thousands deep") from None
    except UnicodeDecodeError:
        return
    except ValueError as error:
        if isinstance(error, UnreadableFile):
            raise


def _check_weights(archive: zipfile.ZipFile, file: Path) -> None:
    import h5py

    member = archive.getinfo(WEIGHTS_FILE)
    with _opened(archive, member, file) as stream:
        try:
            weights = h5py.File(stream, "r")
        except OSError:  # no HDF5: Keras says so
            return
        total = 0
        with weights:
            for name, held, claimed in _datasets(weights, file):
                total += claimed
                if claimed > held or total > member.file_size:
                    raise _refused(file, f"weights {name} of {claimed / MEBI:,.1f} MiB in {held / MEBI:,.1f} MiB")


def _datasets(weights: object, file: Path) -> Iterator[tuple[str, int, int]]:
    """Name, bytes in the file and bytes in memory of each array, in this file and not by way of another."""
    import h5py

    waiting, seen = [weights], set()
    while waiting:
        group = waiting.pop()
        assert isinstance(group, h5py.Group)
        for key in group:
            if not isinstance(group.get(key, getlink=True), h5py.HardLink):
                raise _refused(file, f"weights {group.name}/{key} that are a link to elsewhere")
            found = group[key]
            address = h5py.h5o.get_info(found.id).addr
            if address in seen:
                raise _refused(file, f"weights {group.name}/{key} that are named twice")
            seen.add(address)
            if len(seen) > _OBJECTS:
                raise _refused(file, f"more than {_OBJECTS:,} weights")
            if isinstance(found, h5py.Group):
                waiting.append(found)
            elif isinstance(found, h5py.Dataset) and found.shape is not None:
                if found.external or found.is_virtual:
                    raise _refused(file, f"weights {found.name} that lie in another file")
                yield found.name, found.id.get_storage_size(), found.size * found.dtype.itemsize


def _opened(archive: zipfile.ZipFile, member: zipfile.ZipInfo, file: Path) -> BinaryIO:
    if member.compress_type != zipfile.ZIP_STORED:
        return io.BytesIO(archive.read(member))
    with file.open("rb") as stream:
        stream.seek(member.header_offset)
        header = stream.read(_LOCAL_HEADER)
    start = member.header_offset + _LOCAL_HEADER + sum(int.from_bytes(header[at : at + 2], "little") for at in (26, 28))
    return io.BufferedReader(_Window(file, start, member.file_size))


class _Window(io.RawIOBase):
    """A part of a file as if it were one: what lies unpacked in an archive is read where it is wanted."""

    def __init__(self, file: Path, start: int, size: int):
        self._stream, self._start, self._size, self._at = file.open("rb"), start, size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        return self._at

    def readinto(self, buffer: object) -> int:
        view = memoryview(buffer)  # type: ignore[arg-type]
        self._stream.seek(self._start + self._at)
        read = self._stream.readinto(view[: max(0, self._size - self._at)])
        self._at += read
        return read

    def close(self) -> None:
        self._stream.close()
        super().close()


def _refused(file: Path, found: str) -> DataError:
    return DataError(
        "a model file that Keras did not write, and that is refused",
        code="model-file-refused",
        where=str(file),
        found=found,
        expected="weights that lie in the file as they are, and a description no deeper than a model's",
        remedy="do not use it; copy the bundle again from where it was saved",
    )
