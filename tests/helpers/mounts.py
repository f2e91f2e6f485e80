"""File systems of a test's own, small or only to be read, which one command and its children see and nobody else."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import pytest


def read_only(folder: Path) -> str:
    """The mount that makes a folder and all below it read-only; no chmod keeps root out."""
    place = shlex.quote(str(folder))
    return f"mount --bind {place} {place} && mount -o remount,ro,bind {place}"


def small(folder: Path, size: str) -> str:
    """The mount that puts an empty disk of that size (`1m`) onto a folder."""
    return f"mount -t tmpfs -o size={size} tmpfs {shlex.quote(str(folder))}"


def within(mount: str, command: Sequence[str], cwd: Path | None = None, after: str = "true") -> tuple[int, str]:
    """Run a command with a mount in place; its exit code, and what it and the shell words `after` have said."""
    script = f"{mount} && {{ {shlex.join(command)}; code=$?; {after}; exit $code; }}"
    done = subprocess.run(
        ["unshare", "-m" if os.geteuid() == 0 else "-rm", "sh", "-c", script],
        cwd=cwd, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


@cache
def can_mount() -> bool:
    """Whether this user may do all of the above."""
    if not shutil.which("unshare"):
        return False
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        small_works = within(small(folder, "1m"), ["true"])[0] == 0
        return small_works and within(read_only(folder), ["touch", str(folder / "file")])[0] != 0


needs_mounts = pytest.mark.skipif(not can_mount(), reason="no right to mount a file system")
