"""Files that tables list, a million in seconds: each folder is listed once, in the place of a look at each file."""

from __future__ import annotations

import os
import unicodedata
from collections import Counter
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from seglab.errors import DataError

# So many files of one folder are looked at one by one before it is listed.
_WORTH_LISTING = 64


class FilesBeside:
    """Finds the files that the cells of a table name, by paths relative to it or absolute."""

    def __init__(self, table: Path):
        self._table, self._home = table, str(table.parent)
        self._names, self._asked = cache(_names_in), Counter[str]()

    def of(self, cell: str, line: int) -> str:
        """The path of a cell; raises `DataError` where there is no file, naming the line."""
        path = os.path.join(self._home, cell)
        folder, _, name = path.rpartition("/")
        self._asked[folder] += 1
        if self._asked[folder] > _WORTH_LISTING and name in self._names(folder):
            return path
        # A name with an accent may be stored in one character or in two; other systems take another case of letters.
        for spelling in dict.fromkeys((cell, unicodedata.normalize("NFC", cell), unicodedata.normalize("NFD", cell))):
            other = os.path.join(self._home, spelling)
            if os.path.isfile(other):
                return other
        windows = "\\" in cell and os.path.isfile(os.path.join(self._home, cell.replace("\\", "/")))
        raise DataError(
            "file not found",
            code="file-missing",
            finding="unreadable-file",
            where=f"{self._table}, line {line}",
            found=f"no {path}",
            expected=f"a file, at a path relative to {self._home} or absolute",
            remedy="write / in the place of \\ in all paths"
            if windows
            else "correct the path, restore the file, or remove the row",
        )


def real_paths(paths: Sequence[str]) -> list[str]:
    """The paths with symbolic links followed, of their folders and of those files that are links."""
    folder_of, links_in = cache(os.path.realpath), cache(_links_in)
    made = []
    for path in paths:
        folder, _, name = path.rpartition("/")
        made.append(os.path.realpath(path) if name in links_in(folder) else f"{folder_of(folder or '/')}/{name}")
    return made


def _names_in(folder: str) -> frozenset[str]:
    """The files of a folder; none where it cannot be listed."""
    try:
        with os.scandir(folder or "/") as entries:
            return frozenset(entry.name for entry in entries if entry.is_file())
    except OSError:
        return frozenset()


def _links_in(folder: str) -> frozenset[str]:
    try:
        with os.scandir(folder or "/") as entries:
            return frozenset(entry.name for entry in entries if entry.is_symlink())
    except OSError:
        return frozenset()
