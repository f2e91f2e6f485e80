"""The files of a backup: copied with a digest each, and read back only where the digest is the same.

`SHA256SUMS` lists them as `sha256sum -c SHA256SUMS` reads it. What a backup says is data: a name in it is never a path
that leads out of it.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath

from seglab.errors import TrackingError

CARD, SUMS = "backup.json", "SHA256SUMS"
DUMP = "mlflow.dump"
"""A database of PostgreSQL, as pg_dump writes it; one of SQLite keeps its name."""
_CHUNK = 2**20

Progress = Callable[[int, int], None]


def files_below(folder: Path, skipped: Callable[[str], bool] = lambda name: False) -> Iterator[PurePosixPath]:
    """The regular files below a folder, by their place in it; links to folders are not followed."""
    for above, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            place = Path(above, name)
            if not skipped(name) and place.is_file():
                yield PurePosixPath(place.relative_to(folder).as_posix())


def copied(source: Path, target: Path) -> str:
    """Copy a file's contents; their SHA-256. The folder of the target is made.

    Raises:
        FileNotFoundError: the source is gone.
        OSError: no room, or no permission.
    """
    digest = hashlib.sha256()
    with source.open("rb") as content:
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("xb") as copy:
            while chunk := content.read(_CHUNK):
                digest.update(chunk)
                copy.write(chunk)
    return digest.hexdigest()


def sums_content(sums: dict[str, str]) -> bytes:
    """SHA256SUMS for digests by name, names as the disk has them, be they UTF-8 or not; a name with a line break is
    written as `sha256sum` does."""
    lines = []
    for name, digest in sorted(sums.items()):
        written = name.replace("\\", "\\\\").replace("\n", "\\n")
        lines.append(f"{'' if written == name else chr(92)}{digest}  {written}\n")
    return os.fsencode("".join(lines))


def read_sums(folder: Path) -> dict[str, str]:
    """The digests of a backup by name.

    Raises:
        TrackingError: the list is not there, cannot be understood, or names something outside of the backup.
    """
    file, found = folder / SUMS, dict[str, str]()
    try:
        text = os.fsdecode(file.read_bytes())
    except OSError as error:
        raise damaged(file, str(error), "the list of files and digests of a backup") from error
    for line in text.removesuffix("\n").split("\n"):  # a name may hold what else ends lines: \r, \x85, U+2028
        digest, _, name = line.removeprefix("\\").partition("  ")
        if line.startswith("\\"):
            name = re.sub(r"\\(n|\\)", lambda found: "\n" if found[1] == "n" else "\\", name)
        path = PurePosixPath(name)
        if len(digest) != 64 or not name or path.is_absolute() or ".." in path.parts or str(path) != name:
            raise damaged(file, line, "a digest, two blanks, and the name of a file of the backup")
        found[name] = digest
    return found


def take(folder: Path, name: str, digest: str, target: Path) -> None:
    """Copy a file of a backup; raises `TrackingError` where it is missing, a link, or not what was backed up."""
    source = folder / name
    if source.is_symlink() or not source.resolve().is_relative_to(folder.resolve()):
        raise damaged(source, "a link", "a file")
    try:
        found = copied(source, target)
    except FileNotFoundError as error:
        raise damaged(source, "no such file", "a file that the backup lists") from error
    if found != digest:
        raise damaged(source, f"SHA-256 {found}", digest)


def damaged(where: Path, found: str, expected: str) -> TrackingError:
    """What to say of a backup that is not whole."""
    return TrackingError(
        "a backup that is damaged or was changed",
        code="backup-damaged",
        where=str(where),
        found=found,
        expected=expected,
        remedy="take another backup; nothing of this one was put in place",
    )
