"""The version comes from the tags of git, without them from what is known, and in an sdist from what it was made as."""

from __future__ import annotations

import runpy
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

VERSION: Callable[[Path], str] = runpy.run_path(str(Path(__file__).parents[2] / "setup.py"))["version"]


def git(root: Path, *words: str) -> str:
    who = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false", "-c", "tag.gpgsign=false"]
    return subprocess.run(["git", *who, *words], cwd=root, capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    git(tmp_path, "init", "-q")
    git(tmp_path, "commit", "-q", "--allow-empty", "-m", "one")
    return tmp_path


def test_a_tag_is_the_version_and_later_commits_count(clone: Path) -> None:
    git(clone, "tag", "v1.2.9")
    git(clone, "tag", "shown-to-others")
    assert VERSION(clone) == "1.2.9"
    for message in ("two", "three"):
        git(clone, "commit", "-q", "--allow-empty", "-m", message)
    assert VERSION(clone) == f"1.2.10.dev2+g{git(clone, 'rev-parse', '--short', 'HEAD')}"


def test_a_clone_without_tags(clone: Path) -> None:
    assert VERSION(clone) == f"0.1.0.dev1+g{git(clone, 'rev-parse', '--short', 'HEAD')}"


def test_an_sdist_is_what_it_was_made_as_and_a_foreign_repository_says_nothing(clone: Path) -> None:
    git(clone, "tag", "v9.9.9")
    unpacked = clone / "seglab-1.0"
    unpacked.mkdir()
    assert VERSION(unpacked) == "0.1.0"
    (unpacked / "PKG-INFO").write_text("Metadata-Version: 2.4\nName: seglab\nVersion: 1.0.dev3+g12ab\n")
    assert VERSION(unpacked) == "1.0.dev3+g12ab"
