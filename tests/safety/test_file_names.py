"""Ids that would be paths: the file of each lies in the folder that was meant, and no two are one."""

from __future__ import annotations

import os
import unicodedata
from pathlib import Path

import pytest

from seglab.safety.file_names import file_name, file_names

# Absolute, upwards, with separators of both kinds, a drive, devices of Windows, NUL, a line break, no text, hidden.
BAD = [
    "/etc/passwd",
    "../../up",
    "a/b",
    "a\\b",
    "C:\\x",
    "nul",
    "COM1.x",
    "x\0y",
    "a\nb",
    "",
    ".",
    "..",
    ".hidden",
    "t. ",
]


def test_names_that_every_disk_takes_stay_as_they_are() -> None:
    plain = ["case 1", "scan_002_é", "stack#3", "10", "a.b-c", "печень", "50% off", "-x"]
    assert file_names(plain) == {name: name for name in plain}


@pytest.mark.parametrize("name", [*BAD, "é" * 300, "\ud800", "\u202egnp"])
def test_a_name_is_one_file_in_its_folder(tmp_path: Path, name: str) -> None:
    file = file_name(name)
    path = tmp_path / f"{file}.nii.gz"
    path.write_bytes(b"")
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]
    assert os.path.normpath(path) == str(path)
    assert not file.startswith(".")
    assert file.partition(".")[0].casefold() not in ("nul", "com1")
    assert all(unicodedata.category(c)[0] != "C" for c in file)


def test_no_two_names_become_one_file_where_letter_case_plays_no_part() -> None:
    names = [*BAD, "A", "a", "a_b", "ß", "ss", "e\u0301", "é", "a/b/c", "a/b_c", "a_b/c", "x" * 200, "x" * 201]
    files = file_names(names)
    assert len({unicodedata.normalize("NFKC", file).casefold() for file in files.values()}) == len(names)
    assert files["a/b"] == "a_b-c14cddc0"  # readable, and the same whenever it is asked for


def test_a_name_that_looks_like_one_with_a_digest_gets_another() -> None:
    files = file_names(["a/b", "a_b-c14cddc0"])
    assert len(set(files.values())) == 2
