"""The code that a run was made with: its commit and what differs from it, without what is nobody's business."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from seglab.safety.secrets import secret_in

_UNTRACKED_FILES = 50
_UNTRACKED_BYTES = 200_000
_SETTINGS = (".yaml", ".yml")
_SETTINGS_FOLDERS = ("conf", "experiments")
# Remarks in a diff, which git passes over. The first three mean that the diff is not the whole code.
TOO_LARGE = "# untracked and left out:"
TOO_MANY = "more untracked files left out"
SECRET = "# looks like a secret and left out:"
_NO_CODE = "# neither code nor settings, not kept:"
_HUNK = re.compile(r"@@ -(\d+)(?:,\d+)? \+(\d+)(?:,\d+)? @@")


@dataclass(frozen=True)
class CodeVersion:
    """The state of the repository.

    Attributes:
        commit: full hash, or None outside of a repository.
        dirty: True when tracked files were changed or untracked files that git does not ignore exist.
        diff: what must be applied to `commit` to get this code: changes of tracked files, and small untracked files of
            code (`*.py`) and settings (`conf/**/*.yaml`, `experiments/**/*.yaml`). A file with a line that looks like a
            secret is left out of it whole.
        withheld: of each of those files, its name, the line and what it looks like.
    """

    commit: str | None
    dirty: bool
    diff: str
    withheld: tuple[str, ...] = ()


def code_version(root: Path) -> CodeVersion:
    """Read commit, dirty flag and diff of the repository that holds `root`; empty where git or a repository lacks."""
    commit = _git(root, "rev-parse", "HEAD")
    if commit is None:
        return CodeVersion(None, False, "")
    status = _git(root, "status", "--porcelain") or ""
    if not status.strip():
        return CodeVersion(commit.strip(), False, "")
    parts = _files_of(_git(root, "diff", "HEAD", "--no-color", "--no-ext-diff", "--no-textconv") or "")
    top = Path((_git(root, "rev-parse", "--show-toplevel") or str(root)).strip())
    listed = _git(root, "ls-files", "--others", "--exclude-standard", "-z", "--full-name", ":/") or ""
    every = [name for name in listed.split("\0") if name]
    untracked = [name for name in every if _is_code(name)]
    remarks = [f"{_NO_CODE} {_printable(name)}\n" for name in every if not _is_code(name)][:_UNTRACKED_FILES]
    for name in untracked[:_UNTRACKED_FILES]:
        path = top / name
        if path.is_file() and not path.is_symlink() and path.stat().st_size <= _UNTRACKED_BYTES:
            parts.append(_git(top, "diff", "--no-index", "--no-color", "--", os.devnull, name, ok=(0, 1)) or "")
        else:
            remarks.append(f"{TOO_LARGE} {_printable(name)}\n")
    if len(untracked) > _UNTRACKED_FILES:
        remarks.append(f"# {len(untracked) - _UNTRACKED_FILES} {TOO_MANY}\n")
    kept: list[str] = []
    withheld: list[str] = []
    for part in parts:
        found = next(_secrets(part), None)
        if found is None:
            kept.append(part)
        else:
            withheld.append(found)
    remarks += [f"{SECRET} {found}\n" for found in withheld]
    return CodeVersion(commit.strip(), True, "".join(kept + remarks), tuple(withheld))


def _is_code(name: str) -> bool:
    path = PurePosixPath(name)
    return path.suffix == ".py" or (path.suffix in _SETTINGS and path.parts[0] in _SETTINGS_FOLDERS)


def _printable(name: str) -> str:
    return name if name.isprintable() else repr(name)


def _files_of(diff: str) -> list[str]:
    """A diff in parts, one a file; the lines of a file never begin so."""
    return [part for part in re.split(r"(?m)^(?=diff --git )", diff) if part]


def _secrets(part: str) -> Iterator[str]:
    """File and line of what looks like a secret in the diff of one file: `conf/a.yaml, line 3: …`."""
    name, numbers = part.splitlines()[0].rpartition(" b/")[2] if part else "", {"-": 0, "+": 0}
    name = name.strip('"')
    inside = False
    for line in part.split("\n"):
        if hunk := _HUNK.match(line):
            numbers, inside = {"-": int(hunk[1]), "+": int(hunk[2])}, True
        elif inside and line[:1] in ("+", "-", " "):
            found = secret_in(line[1:], code=name.endswith(".py"))
            removed = line[0] == "-"
            if found:
                before = " before the change" if removed else ""
                yield f"{name}, line {numbers['-' if removed else '+']}{before}: {found}"
            for sign in "+-" if line[0] == " " else line[0]:
                numbers[sign] += 1


def _git(root: Path, *arguments: str, ok: tuple[int, ...] = (0,)) -> str | None:
    """Output of a git command, or None when it fails or git is missing."""
    try:
        # No optional locks: a run must not disturb a commit that happens at the same time.
        command = ["git", "--no-optional-locks", "-C", str(root), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode in ok else None
