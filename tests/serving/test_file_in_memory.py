"""What a client sent, as a file that nothing is left of."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from seglab.serving import file_in_memory
from seglab.serving.file_in_memory import file_of
from seglab.serving.problems import Problem

LENGTH = 3_000_017  # of no other file

_HOLDING = f"""
import sys, time
from seglab.serving.file_in_memory import file_of
with file_of(b"x" * {LENGTH}) as file:
    print(file.stat().st_size, flush=True)
    time.sleep(600)
"""


def left() -> list[Path]:
    """Files of that length where bodies are held."""
    places = [Path(place) for place in ("/dev/shm", tempfile.gettempdir()) if os.path.isdir(place)]
    files = [file for place in places for file in place.iterdir() if file.is_file()]
    return [file for file in files if file.stat().st_size == LENGTH]


def test_a_process_that_is_killed_leaves_nothing_and_another_keeps_its_own() -> None:
    with (
        file_of(b"y" * LENGTH) as mine,
        subprocess.Popen([sys.executable, "-c", _HOLDING], stdout=subprocess.PIPE, text=True) as other,
    ):
        assert other.stdout is not None
        assert int(other.stdout.readline()) == LENGTH
        other.send_signal(signal.SIGKILL)
        assert other.wait() == -signal.SIGKILL
        assert left() == []
        assert mine.read_bytes() == b"y" * LENGTH


def test_it_can_be_read_again_and_again_and_is_closed_at_the_end() -> None:
    with file_of(b"abcdef") as file:
        assert file.is_file()
        with file.open("rb") as one, file.open("rb") as other:
            assert (one.read(3), other.read(2), one.read()) == (b"abc", b"ab", b"def")
    assert not file.exists()


def test_no_room_is_a_503(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(dir: str | None) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(file_in_memory.tempfile, "TemporaryFile", full)
    with pytest.raises(Problem) as caught, file_of(b"x"):
        pass
    assert (caught.value.status, caught.value.code) == (503, "no-room")
