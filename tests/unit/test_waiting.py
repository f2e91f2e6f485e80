"""What takes longer than two seconds says so; what does not is silent."""

from __future__ import annotations

import time

import pytest

from seglab import waiting
from seglab.waiting import step


@pytest.fixture(autouse=True)
def shorter(monkeypatch):
    monkeypatch.setattr(waiting, "SILENT_SECONDS", 0.1)


def test_a_short_step_is_silent(capfd):
    with step("reading") as count:
        count(1, 2)
    assert capfd.readouterr() == ("", "")


def test_a_long_step_says_what_and_how_far_on_stderr_and_ever_less_often(capfd):
    with step("reading [b]cases[/b]") as count:
        for n in range(8):
            count(1000 + n, 2000)
            time.sleep(0.1)
    out, err = capfd.readouterr()
    assert out == ""
    lines = err.splitlines()
    assert 2 <= len(lines) <= 4  # at 0.1, 0.3 and 0.7 s
    assert lines[0].startswith("reading [b]cases[/b]: 1,00")
    assert "of 2,000" in lines[0]
    with step("looking for twins"):
        time.sleep(0.25)
    assert capfd.readouterr().err.startswith("looking for twins …, 0 s")


def test_a_step_that_fails_ends_its_line(capfd):
    with pytest.raises(ValueError, match="no"), step("reading"):
        raise ValueError("no")
    time.sleep(0.3)
    assert capfd.readouterr().err == ""


def test_a_terminal_shows_a_bar_that_goes_away(monkeypatch):
    import io

    written = io.StringIO()
    monkeypatch.setattr(waiting, "console", waiting.Terminal(file=written, force_terminal=True, width=80))
    with step("reading cases") as count:
        for n in range(10):
            count(n, 10)
            time.sleep(0.05)
    assert "reading cases" in written.getvalue()
    assert "/10" in written.getvalue()
    assert written.getvalue().rstrip().endswith("\x1b[2K")
