"""One export at a time at a place; what a killed one left is cleared away, and a full disk is told as one."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from collections import namedtuple
from pathlib import Path

import mounts
import pytest
from exportable import exportable

from seglab.errors import DataError
from seglab.export.conversion import quietly
from seglab.export.export_targets import ExportRefused
from seglab.export.output_place import MARK, making

Usage = namedtuple("Usage", ["total", "used", "free"])


def test_it_is_filled_beside_its_place_and_moved_there_whole(tmp_path: Path) -> None:
    out = tmp_path / "dist" / "out"
    with making(out, print) as partial:
        (partial / "model").write_text("all of it")
        assert not out.exists()
        assert partial.parent == out.parent
    assert [path.name for path in out.parent.iterdir()] == ["out"]
    assert [path.name for path in out.iterdir()] == ["model"]
    assert out.stat().st_mode & 0o777 == 0o755


def test_what_a_killed_export_left_is_cleared_away_and_nothing_else(tmp_path: Path) -> None:
    left, mine, other = (tmp_path / name for name in (".out.ab12_cd3", ".out.mine8888", ".outer.ab12_cd3"))
    for folder in (left, mine, other):
        folder.mkdir()
        (folder / "model").write_text("half")
    (left / MARK).touch()
    (other / MARK).touch()
    reported: list[str] = []
    with making(tmp_path / "out", reported.append) as partial:
        assert sorted(tmp_path.iterdir()) == sorted([mine, other, partial])
    assert reported == ["clearing .out.ab12_cd3 away, which an export that was killed has left"]
    assert sorted(path.name for path in tmp_path.iterdir()) == [".out.mine8888", ".outer.ab12_cd3", "out"]


def test_a_second_export_to_the_same_place_is_refused_and_the_first_goes_on(tmp_path: Path) -> None:
    begin = (
        "import sys; from pathlib import Path; from seglab.export.output_place import making\n"
        "with making(Path(sys.argv[1]), print) as partial:\n"
        "    (partial / 'model').write_text('first'); print('begun', flush=True); sys.stdin.read()"
    )
    out = tmp_path / "out"
    words = [sys.executable, "-c", begin, str(out)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as first:
        assert first.stdout is not None
        assert first.stdout.readline() == "begun\n"
        with pytest.raises(DataError, match="under way") as caught, making(out, print):
            pytest.fail("two at once")
        assert caught.value.code == "export-running"
        with making(tmp_path / "other", print):
            pass
        first.communicate("")
    assert (first.returncode, (out / "model").read_text()) == (0, "first")
    words[-1] = str(tmp_path / "killed")
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as killed:
        assert killed.stdout is not None
        assert killed.stdout.readline() == "begun\n"
        killed.kill()
    assert len(list(tmp_path.glob(".killed.*"))) == 1
    with making(tmp_path / "killed", print):
        assert len(list(tmp_path.glob(".killed.*"))) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["killed", "other", "out"]


ASKED_TO_STOP = """
import os, signal, sys
from pathlib import Path
from seglab.export.conversion import quietly
from seglab.export.output_place import making
from seglab.tracking.interruption import Terminated, sigterm_raises
place = Path(sys.argv[1])
try:
    with sigterm_raises(), making(place / "out", print), quietly("openvino", place):
        try:
            os.kill(os.getpid(), signal.SIGTERM)
        except KeyboardInterrupt as error:
            raise RuntimeError("Exception caught in C++") from error
except Terminated:
    print("terminated", os.listdir(place))
"""


def test_an_export_that_is_asked_to_stop_within_a_converter(tmp_path: Path) -> None:
    """Python that is called from C++ comes back as an error of the library's own. Signals are the main thread's."""
    place = tmp_path / "place"
    place.mkdir()
    done = subprocess.run(
        [sys.executable, "-c", ASKED_TO_STOP, str(place)], capture_output=True, text=True, timeout=120
    )
    assert done.stdout.splitlines()[-1:] == ["terminated []"], done.stderr
    with pytest.raises(ExportRefused), making(tmp_path / "out", print), quietly("openvino", tmp_path):
        raise RuntimeError("another")


def test_a_converter_that_finds_no_room_is_reported_as_a_full_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ExportRefused, match="layers that the converter knows"), quietly("openvino", tmp_path):
        raise RuntimeError("Check 'rt_info' failed")
    for words in ("write failed: No space left on device", "Resource: errno = 28"):
        with pytest.raises(OSError, match="No space left") as caught, quietly("openvino", tmp_path):
            raise RuntimeError(words)
        assert caught.value.errno == errno.ENOSPC
    monkeypatch.setattr(shutil, "disk_usage", lambda place: Usage(10**9, 10**9 - 4096, 4096))
    full = pytest.raises(DataError, match="no room on the disk")
    with full as raised, making(tmp_path / "out", print), quietly("openvino", tmp_path):
        raise RuntimeError("Check 'rt_info' failed")
    assert raised.value.code == "no-room"
    assert list(tmp_path.iterdir()) == []


def test_a_converter_whose_exception_is_empty_is_quoted_from_what_it_wrote(tmp_path: Path) -> None:
    def convert() -> None:
        os.write(2, b"note\nloc(x): error: an odd op\nsee above\n")
        raise RuntimeError

    with pytest.raises(ExportRefused, match="an odd op"), quietly("litert", tmp_path):
        convert()


@pytest.mark.slow
@pytest.mark.parametrize("size", ["60k", "120k"])  # in the middle of the conversion; of the papers
def test_an_export_to_a_disk_that_is_full(size: str, tmp_path: Path) -> None:
    if not mounts.can_mount():
        pytest.skip("this user may not mount")
    bundle, disk = exportable(tmp_path), tmp_path / "disk"
    disk.mkdir()
    words = ["export", f"bundle={bundle}", f"out={disk / 'out'}", "format=openvino", "accuracy=false"]
    command = [sys.executable, "-m", "seglab", *words]
    code, output = mounts.within(mounts.small(disk, size), command, after=f"ls -A {disk}")
    assert code == 2, output
    assert "error: no room on the disk for an export; nothing of it is left [no-room]" in output
    assert "converter" not in output
    assert output.rstrip().splitlines()[-1].startswith("  remedy:"), "nothing is left on the disk"
