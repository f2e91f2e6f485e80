"""Silence is broken after a while, and only then."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import time

import pytest

from seglab.runtime import waiting
from seglab.runtime.waiting import Waiting, step


class Screen(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_nothing_is_stated_of_what_is_quick() -> None:
    log = io.StringIO()
    with Waiting(log, silence=5) as waiting:
        waiting.tell("counting")
        time.sleep(0.1)
    assert log.getvalue() == ""


def test_a_log_is_reported_less_and_less_often_and_of_what_is_done_now() -> None:
    log = io.StringIO()
    with Waiting(log, silence=0.1) as waiting:
        waiting.tell("counting")
        time.sleep(0.2)
        waiting.tell("folding\x1b[2J")
        time.sleep(0.7)  # 0.2 and 0.4 after the first
    lines = log.getvalue().splitlines()
    assert lines[0] == "… counting"
    assert 2 <= len(lines) <= 3
    assert lines[1] == "… folding\\x1b[2J"
    assert set(lines[2:]) <= {"… folding\\x1b[2J, 0 s later"}


def test_a_log_has_no_line_twice() -> None:
    log = io.StringIO()
    with Waiting(log, silence=0.05) as waiting:
        waiting.tell("counting")
        time.sleep(0.6)  # lines after 0.05, 0.15, 0.35 seconds
    lines = log.getvalue().splitlines()
    assert lines[0] == "… counting"
    assert len(lines) >= 2
    assert all(line.endswith("s later") for line in lines[1:])


def test_a_terminal_has_one_line_that_is_taken_away() -> None:
    screen = Screen()
    with Waiting(screen, silence=0.05) as waiting:
        waiting.tell("counting")
        time.sleep(0.2)
        assert screen.getvalue() == "\r\x1b[K… counting"
        waiting.clear()
        assert screen.getvalue().endswith("\r\x1b[K")
        assert "\n" not in screen.getvalue()


def test_its_line_never_wraps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    screen = Screen()
    with Waiting(screen, silence=0.05) as waiting:
        waiting.tell("reading " + "x" * 100)
        time.sleep(0.2)
    assert screen.getvalue().startswith("\r\x1b[K… reading xxxxxxxxx\r")


def test_what_is_printed_breaks_the_silence() -> None:
    log = io.StringIO()
    with Waiting(log, silence=0.4) as waiting:
        waiting.tell("counting")
        for _ in range(5):
            time.sleep(0.15)
            waiting.clear()
    assert log.getvalue() == ""


def test_it_is_heard_while_standard_error_is_put_away() -> None:
    """As it is while TensorFlow loads."""
    code = (
        "import os, time\nfrom seglab.runtime.waiting import Waiting\n"
        "with Waiting(silence=0.1) as waiting:\n"
        "    waiting.tell('loading')\n    kept = os.dup(2)\n    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)\n"
        "    time.sleep(0.4)\n    os.dup2(kept, 2)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], env=dict(os.environ), capture_output=True, text=True)
    assert done.stderr.startswith("… loading\n")
    assert done.returncode == 0


def test_a_step_says_what_and_how_far_on_standard_error(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(waiting, "SILENCE_SECONDS", 0.1)
    with step("reading cases") as count:
        for n in range(8):
            count(1000 + n, 2000)
            time.sleep(0.1)
    time.sleep(0.3)
    out, err = capfd.readouterr()
    assert out == ""
    lines = err.splitlines()
    assert 2 <= len(lines) <= 4  # at 0.1, 0.3 and 0.7 s
    assert all(line.startswith("… reading cases: 1,00") and line.endswith(" of 2,000") for line in lines)


def test_a_step_that_fails_says_nothing_more(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(waiting, "SILENCE_SECONDS", 0.1)
    with pytest.raises(ValueError, match="no"), step("reading"):
        raise ValueError("no")
    time.sleep(0.3)
    assert capfd.readouterr().err == ""
