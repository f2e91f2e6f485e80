"""A file or folder is there as a whole or not at all, and nothing of another's is written over."""

from __future__ import annotations

import ast
import errno
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from threading import Thread

import pytest

from seglab.errors import SeglabError
from seglab.runtime import atomic_files
from seglab.runtime.atomic_files import (
    creating,
    replacing,
    stream,
    telling_unwritable,
    write_bytes,
    write_files,
    write_json,
)

SOURCE = Path(atomic_files.__file__).parents[1]
# Who renames, links or syncs by itself, and why.
ALONE = {
    "runtime/atomic_files.py": "the owner",
    "tracking/outbox.py": "moves records that are whole already; the end takes the room that was reserved for it",
    "inference/placing.py": "swaps two folders, and back where that fails",
    "export/output_place.py": "a name for each, so that two exports into one place do not take each other's files",
    "registry/promotion_log.py": "adds a line to a file that others add to",
    "interactive/accepted.py": "gives a log that is full a name of its own; its lines are whole already",
}
CALLS = {"replace": "os", "rename": "os", "link": "os", "fsync": "os", "mkstemp": "tempfile", "NamedTemporaryFile": ""}


def renames(path: Path) -> list[int]:
    """Lines that call what an atomic writer is made of."""
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in CALLS:
            owner = ast.unparse(node.func.value)
            path_rename = node.func.attr in ("replace", "rename") and len(node.args) == 1 and not node.keywords
            path_rename = path_rename and not isinstance(node.args[0], ast.Starred)
            if owner in ("os", "tempfile") or path_rename:
                found.append(node.lineno)
    return found


@pytest.mark.parametrize("path", sorted(SOURCE.rglob("*.py")), ids=lambda path: str(path.relative_to(SOURCE)))
def test_nobody_else_renames_into_place(path: Path) -> None:
    file = path.relative_to(SOURCE).as_posix()
    lines = renames(path)
    assert bool(lines) == (file in ALONE), (
        f"{file}, lines {lines}: use seglab.runtime.atomic_files, or say here why not"
    )


WRITERS: dict[str, Callable[[Path], None]] = {
    "bytes": lambda path: write_bytes(path, b"new"),
    "sole": lambda path: write_bytes(path, b"new", sole=True),
    "durable": lambda path: write_bytes(path, b"new", durable=True),
}


@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)
def test_a_file_is_replaced_and_nothing_is_left_beside_it(write: Callable[[Path], None], tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text("old")
    write(path)
    assert path.read_bytes() == b"new"
    assert [file.name for file in tmp_path.iterdir()] == ["a.json"]


def test_json_is_written_as_its_options_ask(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"é": 1}, ensure_ascii=False)
    assert (tmp_path / "a.json").read_bytes() == '{"é": 1}'.encode()
    with pytest.raises(TypeError):
        write_json(tmp_path / "a.json", {1, 2})
    assert json.loads((tmp_path / "a.json").read_text()) == {"é": 1}


def test_an_error_leaves_the_former_file_and_no_part(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")
    with pytest.raises(TypeError), stream(path) as file:
        file.writelines([b"half", None])  # type: ignore[list-item]
    assert path.read_bytes() == b"old"
    assert len(list(tmp_path.iterdir())) == 1


def test_a_full_disk_leaves_the_former_file_and_becomes_a_message(tmp_path: Path) -> None:
    """The limit on a file's size ends a write as a full disk does, in a process of its own."""
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")
    code = (
        "import resource, signal, sys; from pathlib import Path; from seglab import errors\n"
        "from seglab.runtime import atomic_files\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); resource.setrlimit(resource.RLIMIT_FSIZE, (10, 10))\n"
        "try:\n"
        "    with atomic_files.telling_unwritable(Path(sys.argv[1])): \n"
        "        atomic_files.write_bytes(Path(sys.argv[1]), b'x' * 100)\n"
        "except errors.SeglabError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    assert "a file that cannot be written" in done.stdout
    assert path.read_bytes() == b"old"
    assert len(list(tmp_path.iterdir())) == 1


def test_no_room_is_reported_as_such(tmp_path: Path) -> None:
    with pytest.raises(SeglabError, match="no room on the disk") as caught, telling_unwritable(tmp_path / "a"):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert str(tmp_path / "a") in str(caught.value)


def test_a_folder_in_the_way_is_named_and_not_the_temporary_file(tmp_path: Path) -> None:
    (tmp_path / "page.html" / "kept").mkdir(parents=True)
    with pytest.raises(SeglabError) as caught, telling_unwritable(tmp_path / "page.html"):
        write_bytes(tmp_path / "page.html", b"x")
    assert caught.value.where == str(tmp_path / "page.html")
    assert [path.name for path in tmp_path.iterdir()] == ["page.html"]


def test_a_killed_process_leaves_the_former_file(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")
    code = (
        "import os, sys; from pathlib import Path; from seglab.runtime.atomic_files import stream\n"
        "with stream(Path(sys.argv[1]), sole=True) as file:\n"
        "    file.write(b'half'); file.flush(); os.kill(os.getpid(), 9)"
    )
    assert subprocess.run([sys.executable, "-c", code, str(path)], check=False).returncode == -9
    assert path.read_bytes() == b"old"
    assert {file.name for file in tmp_path.iterdir()} == {"a.bin", "a.bin.part"}
    write_bytes(path, b"new", sole=True)  # what was left gives way
    assert {file.name for file in tmp_path.iterdir()} == {"a.bin"}


def test_what_is_there_is_not_written_over(tmp_path: Path) -> None:
    path = tmp_path / "mask.png"
    with creating(path, ending=".png") as part:
        assert part.suffix == ".png"
        part.write_bytes(b"mine")
    assert path.read_bytes() == b"mine"
    with pytest.raises(FileExistsError), creating(path):
        pytest.fail("told too late")
    second = tmp_path / "second.png"
    with pytest.raises(FileExistsError), creating(second) as part:
        part.write_bytes(bytes(second.write_bytes(b"early")))  # another process came first
    assert second.read_bytes() == b"early"
    assert {file.name for file in tmp_path.iterdir()} == {"mask.png", "second.png"}


def test_two_writers_at_once_leave_one_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    contents = [bytes([k]) * 200_000 for k in range(8)]
    threads = [Thread(target=write_bytes, args=(path, content)) for content in contents]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert path.read_bytes() in contents
    assert len(list(tmp_path.iterdir())) == 1


def test_several_files_come_together_or_not(tmp_path: Path) -> None:
    first, second = tmp_path / "a" / "one", tmp_path / "b" / "two"
    assert write_files({first: b"1", second: b"2"}) == [first, second]
    (tmp_path / "c").write_text("a file where a folder is wanted")
    with pytest.raises(OSError):
        write_files({first: b"new", tmp_path / "c" / "three": b"3"})
    assert first.read_bytes() == b"1"
    assert [file.name for file in (tmp_path / "a").iterdir()] == ["one"]


def test_a_folder_is_there_when_it_is_full(tmp_path: Path) -> None:
    place = tmp_path / "results"
    with atomic_files.folder(place, replace=True) as part:
        (part / "a").write_text("1")
        assert not place.exists()
    with pytest.raises(ZeroDivisionError), atomic_files.folder(place, replace=True):
        raise ZeroDivisionError
    with pytest.raises(OSError), atomic_files.folder(place, replace=False) as part:
        (part / "b").write_text("2")
    assert [file.name for file in place.iterdir()] == ["a"]
    assert [file.name for file in tmp_path.iterdir()] == ["results"]


def test_an_unwritable_folder_is_an_error_of_the_system(tmp_path: Path) -> None:
    with pytest.raises(OSError), replacing(tmp_path / "no" / "a") as part:
        part.write_text("x")
