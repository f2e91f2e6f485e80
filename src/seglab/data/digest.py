"""One SHA-256 for the contents of many files and the settings that they are read with."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from seglab.data.io.volume_files import parts_of
from seglab.errors import DataError
from seglab.runtime.atomic_files import write_json

# A file that changed a moment ago may change once more within one tick of the clock that its times are taken from.
_SETTLED_SECONDS = 2.0
# In the folder of the cache, which may be one of the user's: no name that a file of theirs would have.
SUMS_FILE = "seglab-file-sums.json"
# Which cases there are changes the digest of a data set, not what is read of one case.
_NOT_READING = ("cases",)
_FILES_AT_ONCE = 64  # that a thread takes, of many


class DataDigest(str):
    """The hex digest of a data set, with its parts.

    Attributes:
        sums: SHA-256 of each file by its path.
        reading: SHA-256 of the settings that change what is read of a case.
    """

    sums: Mapping[str, str]
    reading: str


class FileDigests:
    """SHA-256 of files, remembered between runs for as long as size, times and inode of a file stay the same.

    A change that leaves all of them as they were goes unnoticed: one made by rewriting the same blocks of the disk
    behind the file system's back. The time of the last change of the inode (`ctime`) cannot be set by programs.

    Args:
        file: where they are remembered; None: nowhere. A file that cannot be written costs time and nothing else.
    """

    def __init__(self, file: Path | None = None):
        self._file = file
        self._known: dict[str, list[Any]] = {}
        self._changed = False
        try:
            if file is not None:
                found = json.loads(file.read_text())
                self._known = found if isinstance(found, dict) else {}
        except (OSError, ValueError, RecursionError):
            pass  # none yet, or damaged: hashed anew

    def of(self, path: str | Path) -> str:
        """The hex digest of a file's bytes, of a volume in several files those of all; raises `DataError` when one
        cannot be read."""
        parts = parts_of(path)
        if len(parts) == 1 and parts[0] == os.fspath(path):
            return self._of_file(path)
        top = path if os.path.isdir(path) else os.path.dirname(path)
        return digest_values([[os.path.relpath(part, top), self._of_file(part)] for part in parts])

    def _of_file(self, path: str | Path) -> str:
        try:
            status = os.stat(path)
            stamp = [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino]
            known = self._known.get(str(path))
            if isinstance(known, list) and known[:-1] == stamp:
                return str(known[-1])
            with open(path, "rb") as file:
                found = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise DataError(
                "a file that cannot be read",
                code="file-unreadable",
                where=str(path),
                found=f"{type(error).__name__}: {error.strerror}",
                remedy="see that the file is there and that you may read it",
            ) from error
        if time.time() - max(status.st_mtime, status.st_ctime) > _SETTLED_SECONDS:
            self._known[str(path)] = [*stamp, found]
            self._changed = True
        return found

    def save(self) -> None:
        """Remember for the next run."""
        if self._file is None or not self._changed:
            return
        with suppress(OSError):
            self._file.parent.mkdir(parents=True, exist_ok=True)
            write_json(self._file, self._known)


_sums: ContextVar[FileDigests | None] = ContextVar("sums", default=None)


@contextmanager
def remembered(folder: Path) -> Iterator[None]:
    """Within, `digest_files` takes the sums of unchanged files from `folder`, and leaves new ones there."""
    sums = FileDigests(folder / SUMS_FILE)
    token = _sums.set(sums)
    try:
        yield
    finally:
        _sums.reset(token)
        sums.save()


def digest_files(files: Mapping[str, str | Path], settings: Mapping[str, Any]) -> DataDigest:
    """Hex SHA-256 of `settings` (JSON values) and of each file's name and bytes.

    `files` maps a name to a path; names, not paths, are hashed, so a data set keeps its digest when it is moved.
    Files are hashed several at a time (hashlib lets other threads run).
    """
    names = sorted(files)
    paths = [os.fspath(files[name]) for name in names]
    known, threads = _sums.get() or FileDigests(), min(8, (os.cpu_count() or 1) * 2)
    at_once = max(1, min(_FILES_AT_ONCE, len(paths) // (4 * threads)))
    tasks = [paths[start : start + at_once] for start in range(0, len(paths), at_once)]
    with ThreadPoolExecutor(threads) as pool:
        sums = [one for some in pool.map(lambda some: [known.of(path) for path in some], tasks) for one in some]
    digest = DataDigest(digest_values({"settings": dict(settings), "files": list(zip(names, sums, strict=True))}))
    digest.sums = dict(zip(paths, sums, strict=True))
    digest.reading = digest_values({key: value for key, value in settings.items() if key not in _NOT_READING})
    return digest


def digest_values(values: Any, extra: Iterable[bytes] = ()) -> str:
    """Hex SHA-256 of JSON values (key order plays no part), then of raw bytes."""
    total = hashlib.sha256(json.dumps(values, sort_keys=True, ensure_ascii=False).encode())
    for part in extra:
        total.update(part)
    return total.hexdigest()
