"""The cache's folder: who uses what, how much there may be, and writing that leaves nothing half done.

    <root>/<settings>/<case>.{facts.json,image.npy,mask.npy,places.npy,arrays.json}
    <root>/used/<user>       the cases that a running process needs; locked for as long as it lives
    <root>/lock              held by whoever registers or removes

Locks are `flock`s, which end with their process, however it ends. Nothing is removed but what is named as the cache
names its own: `data.cache_dir` may be a folder that holds files of the user.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import shutil
import socket
import uuid
import weakref
import zlib
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from seglab.errors import DataError
from seglab.runtime.atomic_files import put

_NOT_ALLOWED = (errno.EROFS, errno.EACCES, errno.EPERM)
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_GB = 1e9
_READ_AT_ONCE = 4 * 2**20
_TEMPORARY_PARTS = 4  # of a temporary file's name after its tag, which may hold dots: .<case>.image.npy.tmp
# The names that the cache gives: of its folders, of what it keeps in them, and of whoever uses it.
_FOLDER = re.compile(r"[0-9a-f]{16}|answers")
_KEPT = r"(?:\.(?:facts|arrays))?\.json|\.(?:image|mask|places)\.npy"
_FILE = re.compile(rf"[0-9a-f]{{32}}(?:{_KEPT})(?:\.[0-9a-f]{{8}}\.part)?")
_USER = r".+-\d+-[0-9a-f]{8}"
_TEMPORARY = re.compile(rf"{_USER}\.[0-9a-z]+(?:{_KEPT})\.tmp")


@dataclass
class CacheEntry:
    """What is kept of one case: its files, their size, and when it was last used."""

    files: list[Path]
    bytes: int = 0
    used: float = 0.0


class Claim:
    """Keeps cases from being removed by others, until it is closed, collected, or its process is gone.

    Attributes:
        tag: names the user, in temporary files too.
        entries: names of the cases, `<settings>/<case>`.
    """

    def __init__(self, root: Path, entries: Collection[str]):
        self.tag = f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
        self.entries = frozenset(entries)
        path = root / "used" / self.tag
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("x")
        fcntl.flock(file, fcntl.LOCK_EX)
        file.write("\n".join(self.entries))
        file.flush()
        self.close = weakref.finalize(self, _leave, path, file)


def _leave(path: Path, file: IO[Any]) -> None:
    path.unlink(missing_ok=True)
    file.close()


class CacheFolder:
    """A bounded folder of cached cases, shared by any number of processes.

    Args:
        root: made when it is first written to.
        gigabytes: most that it may hold.
    """

    def __init__(self, root: Path, gigabytes: float):
        self.root, self._gigabytes = root, gigabytes
        self._total: float | None = None

    def claim(self, entries: Collection[str]) -> Claim | None:
        """Register these cases as in use, mark them as just used, and clean up after users that were killed.

        None where the folder cannot be written: then nobody can remove anything either.

        Raises:
            DataError: the folder cannot be made.
        """
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            with self._locked():
                self._living()
                claim = Claim(self.root, entries)
            for entry in entries:
                facts = self.root / f"{entry}.facts.json"
                if facts.exists():
                    os.utime(facts)
        except OSError as error:
            if error.errno in _NOT_ALLOWED and self.root.is_dir():
                return None
            raise cannot_write(self.root, error, 0) from error
        return claim

    def make_room(self, claim: Claim, written: int, done: int, of: int) -> tuple[int, int]:
        """Count what was just written; when it is too much, remove what nobody uses, least recently used first.

        Args:
            claim: whose cases stay.
            written: bytes that were written, under their temporary names.
            done, of: cases written and all, for a forecast.

        Returns:
            Cases and bytes that were removed.

        Raises:
            DataError: there is still not enough room.
        """
        limit = self._gigabytes * _GB
        if self._total is None:
            self._total = self._size()
        else:
            self._total += written
        if self._total <= limit:
            return 0, 0
        removed = freed = 0
        with self._locked():
            kept = claim.entries | self._living()
            entries = self._entries()
            self._total = self._size()
            for name in sorted(entries.keys() - kept, key=lambda name: entries[name].used):
                if self._total <= limit:
                    break
                for file in entries[name].files:
                    file.unlink(missing_ok=True)
                removed, freed = removed + 1, freed + entries[name].bytes
                self._total -= entries[name].bytes
        if self._total > limit:
            own = self._size(claim)
            raise DataError(
                "a cache that is too small for this data set",
                code="cache-too-small",
                where=f"data.cache_gb, {self.root.resolve()}",
                found=f"{done} of {of} cases take {own / _GB:.3g} GB, all would take about"
                f" {own / max(done, 1) * of / _GB:.3g} GB",
                expected=f"at most data.cache_gb={self._gigabytes:g}, cases that other runs are using included",
                remedy="a larger data.cache_gb, or less to keep: data.resize_mode=resize, a coarser data.spacing",
            )
        return removed, freed

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with (self.root / "lock").open("a") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def _living(self) -> set[str]:
        """What running processes use; removes what dead ones left half done.

        Nobody writes before being registered, so a temporary file of nobody who is living will not be finished.
        """
        used: set[str] = set()
        living: set[str] = set()
        for path in (self.root / "used").glob("*"):
            if not re.fullmatch(_USER, path.name):
                continue
            try:
                with path.open() as file:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except FileNotFoundError:  # left in this moment
                continue
            except BlockingIOError:
                used |= set(path.read_text().splitlines())
                living.add(path.name)
                continue
            path.unlink(missing_ok=True)
        for rest in self._files():
            if rest.name.endswith(".tmp") and rest.name.rsplit(".", _TEMPORARY_PARTS)[0] not in living:
                Path(rest.path).unlink(missing_ok=True)
        return used

    def _files(self) -> Iterator[os.DirEntry[str]]:
        """The cache's own files in its own folders; what else lies there is somebody's."""
        with suppress(FileNotFoundError):
            for folder in list(os.scandir(self.root)):
                if _FOLDER.fullmatch(folder.name) and folder.is_dir(follow_symlinks=False):
                    for file in list(os.scandir(folder)):
                        if _FILE.fullmatch(file.name) or _TEMPORARY.fullmatch(file.name):
                            yield file

    def _size(self, claim: Claim | None = None) -> int:
        """Bytes of all cases, those that are being written included, or of the claimed ones alone."""
        size = 0
        for file in self._files():
            if claim is None or _entry(file) in claim.entries or file.name.startswith(claim.tag):
                with suppress(FileNotFoundError):
                    size += file.stat().st_size
        return size

    def _entries(self) -> dict[str, CacheEntry]:
        entries: dict[str, CacheEntry] = {}
        for file in self._files():
            if file.name.endswith(".tmp"):
                continue
            try:
                status = file.stat()
            except FileNotFoundError:
                continue
            entry = entries.setdefault(_entry(file), CacheEntry([]))
            entry.files.append(Path(file.path))
            entry.bytes += status.st_size
            entry.used = max(entry.used, status.st_mtime)
        return entries


def _entry(file: os.DirEntry[str]) -> str:
    """The name of the case that a file is of."""
    return f"{Path(file.path).parent.name}/{file.name.partition('.')[0]}"


def write_temporary(path: Path, tag: str, parts: Sequence[Any]) -> Path:
    """Write buffers to a new file that is to become `path`; `commit` makes it so.

    Raises:
        DataError: the folder cannot be written or is full; then no file is left.
    """
    temporary = path.with_name(f"{tag}.{path.name}.tmp")  # `_TEMPORARY_PARTS` after the tag
    try:
        temporary.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            for part in parts:
                file.write(part)
    except BaseException as error:
        with suppress(OSError):
            temporary.unlink()
        if isinstance(error, OSError):
            raise cannot_write(path.parent, error, sum(memoryview(part).nbytes for part in parts)) from error
        raise
    return temporary


def commit(temporary: Path, path: Path) -> None:
    """Give a temporary file its name; whoever reads `path` sees all of it or nothing. What a power failure leaves of it
    shows in its checksum.

    Raises:
        DataError: as `write_temporary`.
    """
    size = temporary.stat().st_size if temporary.exists() else 0
    try:
        put(temporary, path)
    except OSError as error:
        raise cannot_write(path.parent, error, size) from error


def sum_of_file(path: Path) -> tuple[int, int]:
    """Bytes of a file and their CRC-32; 0 and 0 of one that is not there or cannot be read to its end."""
    size = checksum = 0
    try:
        with path.open("rb", buffering=0) as file:
            while part := file.read(_READ_AT_ONCE):
                checksum = zlib.crc32(part, checksum)
                size += len(part)
    except OSError:
        return 0, 0
    return size, checksum


def cannot_write(folder: Path, error: OSError, needed: int) -> DataError:
    """What to tell the user about a folder that refused to be written."""
    there = next(path for path in (folder, *folder.resolve().parents) if path.is_dir())
    if error.errno in _NO_ROOM:
        return DataError(
            "no room for the cache of decoded cases",
            code="cache-no-room",
            where=str(folder.resolve()),
            found=f"{error.strerror}: {shutil.disk_usage(there).free:,} bytes free",
            expected=f"{needed:,} bytes for the next file alone",
            remedy="free some space, or data.cache_dir=… on another disk; data.cache_gb bounds what the cache keeps",
        )
    return DataError(
        "a cache folder that cannot be written",
        code="cache-unwritable",
        where=str(folder.resolve()),
        found=f"{type(error).__name__}: {error.strerror}",
        expected="a folder where decoded cases can be kept",
        remedy="data.cache_dir=… somewhere that can be written, or correct the rights of this one",
    )
