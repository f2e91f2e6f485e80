"""Lines of the service's log that cannot be written: they are counted, and nobody waits for them."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from seglab.serving import service_log
from seglab.serving.service_log import log_line, write_line


@pytest.fixture(autouse=True)
def no_line_is_lost() -> Iterator[None]:
    service_log._log.lost = 0
    yield
    service_log._log.lost = 0


def test_a_full_disk_is_known_once_there_is_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with open("/dev/full", "w") as full:
        monkeypatch.setattr("sys.stderr", full)
        log_line(number=1)
        write_line("one\ntwo")
        log_line(number=2)
    with open(tmp_path / "log", "w") as log:
        monkeypatch.setattr("sys.stderr", log)
        log_line(number=3)
        log_line(number=4)
    third, fourth = map(json.loads, (tmp_path / "log").read_text().splitlines())
    assert (third["number"], third["lost"]) == (3, 4)
    assert "lost" not in fourth


def test_a_long_text_waits_for_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pipe that holds a page takes the beginning of a long line, and no other; a larger one all of it."""
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
    with os.fdopen(reader, "rb"), os.fdopen(writer, "w") as full:
        monkeypatch.setattr("sys.stderr", full)
        write_line("a" * 10_000 + "\nb\nc")
        assert os.read(reader, 100_000) == b"a" * 4096
        write_line("c\x1b[31m")
        assert os.read(reader, 100_000) == b"\nc\\x1b[31m\n"
        log_line(number=1)
        assert json.loads(os.read(reader, 100_000))["lost"] == 3
        fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 1 << 16)
        write_line("a" * 10_000)
        assert os.read(reader, 100_000) == b"a" * 10_000 + b"\n"


@pytest.mark.parametrize("before", ["", "import streamlit; streamlit.get_option('logger.level')"])
def test_what_libraries_log_comes_to_the_same_place(before: str) -> None:
    """Streamlit gives loggers of uvicorn handlers of its own."""
    code = f"""
import logging
{before}
from seglab.serving.service_log import take_logging
take_logging()
logging.getLogger("uvicorn.error").warning("no request")
logging.getLogger("asyncio").error("an end")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == "WARNING: no request\nERROR: an end\n"


def test_what_logs_while_a_line_is_made_does_not_wait_for_itself() -> None:
    """Something that is collected at that moment may log; the lock is its own thread's."""
    code = """
import logging
from seglab.serving import service_log
service_log.take_logging()
with service_log._log.lock:
    logging.getLogger("asyncio").error("never retrieved")
service_log.log_line(number=1)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    first, second = done.stderr.splitlines()
    assert first == "ERROR: never retrieved"
    assert json.loads(second)["number"] == 1


def test_whoever_logs_or_warns_gets_no_error_back() -> None:
    code = """
import logging, warnings
from seglab.serving.service_log import take_logging
take_logging()
logging.getLogger("one").error("%d of %d", "x")
warnings.warn("old", stacklevel=1)
print("went on")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "went on\n"
    first, second, *_ = done.stderr.splitlines()
    assert first == "ERROR: '%d of %d'"
    assert second.startswith("WARNING: ")
    assert second.endswith("UserWarning: old")
