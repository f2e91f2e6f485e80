"""Files and folders that are there as a whole or not at all, whatever fills a disk or kills a process meanwhile.

Each is written beside its place and renamed. What is there before stays until that moment, and nothing half-written is
left: not after an error, and after a kill only what ends in `.part`. All raise `OSError` as the system does;
`telling_unwritable` makes a message for the user of it.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from seglab.errors import SeglabError, TrackingError, no_room

_TOKEN_BYTES = 4


def write_bytes(path: Path, content: bytes, *, sole: bool = False, durable: bool = False) -> None:
    """Write a file whole; see `replacing` for the keywords."""
    with replacing(path, sole=sole, durable=durable) as part:
        part.write_bytes(content)


def write_text(path: Path, text: str, *, sole: bool = False, durable: bool = False) -> None:
    """Write a text in UTF-8 whole; see `replacing` for the keywords."""
    write_bytes(path, text.encode(), sole=sole, durable=durable)


def write_json(path: Path, value: Any, *, sole: bool = False, durable: bool = False, **how: Any) -> None:
    """Write a value as JSON whole; `how` goes to `json.dumps`, the rest see `replacing`."""
    write_text(path, json.dumps(value, **how), sole=sole, durable=durable)


@contextmanager
def stream(path: Path, *, sole: bool = False, durable: bool = False) -> Iterator[BinaryIO]:
    """An open file to write to, which becomes `path` at the end; see `replacing` for the keywords."""
    with replacing(path, sole=sole, durable=durable) as part, part.open("wb") as file:
        yield file


@contextmanager
def replacing(path: Path, *, sole: bool = False, durable: bool = False, ending: str = "") -> Iterator[Path]:
    """The path to write a file to that becomes `path` at the end, in place of what was there.

    Args:
        path: the file; its folder is there.
        sole: only one process at a time writes it, so that its temporary name can be the same each time and replaces
            what a killed process left, where that is large.
        durable: come back when it is on the disk, and will be there after a power failure.
        ending: of the temporary name, for a library that chooses a format by it; `.part` by default.

    Raises:
        OSError: no room, or no permission; what was at `path` is there as before.
    """
    with _temporary(path, sole, ending) as part:
        yield part
        if durable:
            sync(part)
        os.replace(part, path)
        if durable:
            sync(path.parent)


@contextmanager
def creating(path: Path, *, durable: bool = False, ending: str = "") -> Iterator[Path]:
    """As `replacing`, but a file that is there already is never written over, however it came there meanwhile.

    Raises:
        FileExistsError: there is one, before the work or after it; it stays.
        OSError: as `replacing`.
    """
    if os.path.lexists(path):
        raise FileExistsError(17, "File exists", str(path))
    with _temporary(path, False, ending) as part:
        yield part
        if durable:
            sync(part)
        if not _named(part, path):
            os.replace(part, path)
        if durable:
            sync(path.parent)


def _named(part: Path, path: Path) -> bool:
    """Give a file its name too, which none may have; False on a disk that knows no second names, such as FAT.

    Raises:
        FileExistsError: the name is taken.
    """
    try:
        os.link(part, path)  # fails where there is one, as a rename does not
    except FileExistsError:
        raise
    except OSError as error:
        if os.path.lexists(path):
            raise FileExistsError(error.errno, "there already", str(path)) from error
        return False
    return True


def put(part: Path, path: Path) -> None:
    """Give a file that was written beside its place its name; raises OSError, and then the part is gone."""
    try:
        os.replace(part, path)
    except OSError:
        with suppress(OSError):
            part.unlink()
        raise


def write_files(files: Mapping[Path, bytes]) -> list[Path]:
    """Write several files, in folders that are made, all or none; returns their paths.

    Raises:
        OSError: no room, or no permission; the former files are whole.
    """
    parts: list[Path] = []
    try:
        for path, content in files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            parts.append(path.with_name(f".{path.name}.part"))
            parts[-1].write_bytes(content)
        for part, path in zip(parts, files, strict=True):
            os.replace(part, path)
    finally:
        for part in parts:
            part.unlink(missing_ok=True)
    return list(files)


@contextmanager
def folder(place: Path, *, replace: bool, sole: bool = True, durable: bool = False) -> Iterator[Path]:
    """A folder to fill, which becomes `place` when that is done.

    Args:
        place: the folder; those above it are made.
        replace: give up what is there; else an `OSError` where it holds anything.
        sole, durable: as of `replacing`.

    Raises:
        OSError: no room, or no permission; nothing half-written is left.
    """
    part = place.with_name(f".{place.name}.part" if sole else f".{place.name}.{secrets.token_hex(_TOKEN_BYTES)}.part")
    shutil.rmtree(part, ignore_errors=True)
    try:
        part.mkdir(parents=True)
        yield part
        for one in part.rglob("*") if durable else ():
            sync(one)
        if replace:
            shutil.rmtree(place, ignore_errors=True)
        os.replace(part, place)
        if durable:
            sync(place.parent)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def sync(path: Path) -> None:
    """Wait until a file or folder is on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def telling_unwritable(place: Path, remedy: str = "free some space, or choose another folder") -> Iterator[None]:
    """An `OSError` from within becomes the message that `place` cannot be written to, or that its disk is full."""
    try:
        yield
    except OSError as error:
        raise unwritable(place, error, remedy) from error


def unwritable(place: Path, error: OSError, remedy: str) -> SeglabError:
    """What to tell the user of a file or folder that refused to be written."""
    return TrackingError(
        "no room on the disk" if no_room(error) else "a file that cannot be written",
        code="no-room" if no_room(error) else "file-unwritable",
        where=str(error.filename2 or error.filename or place),  # of a rename the second is its goal
        found=error.strerror or str(error),
        expected="room and permission; nothing half-written is left",
        remedy=remedy,
    )


@contextmanager
def _temporary(path: Path, sole: bool, ending: str) -> Iterator[Path]:
    """A name beside a file; whatever has it at the end is removed."""
    token = secrets.token_hex(_TOKEN_BYTES)
    if ending:
        part = path.with_name(f".{token}{ending}")
    else:
        part = path.with_name(f"{path.name}.part" if sole else f"{path.name}.{token}.part")
    try:
        yield part
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)
