"""`make setup` with any Python and any `.venv` that may be there: really make, and pretended interpreters."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
import tomllib
from pathlib import Path

import pytest

from seglab.config.places import ROOT

TOOLS = ("sh", "make", "cat", "cp", "date", "dirname", "env", "ln", "mkdir", "mv", "rm", "sleep", "touch")
# A Python that knows its version, makes environments of itself, and notes what pip is told.
PRETENDED = """#!/bin/sh
case "$*" in
    "-c import pip") exit {pip} ;;
    -c*) echo {version} ;;
    "-m venv "*) mkdir -p "$3/bin" "$3/lib/python{version}" && cp "$0" "$3/bin/python" &&
        echo "PATH=$PWD/$3/bin:\\$PATH" >"$3/bin/activate" ;;
    "-m ensurepip") exit {ensurepip} ;;
    "-m pip "*) echo {version} >>pip.log; {slow} exit {installs} ;;
esac
"""


class Laboratory:
    """A folder with the Makefile, and a path with no Python but those that a test puts there."""

    def __init__(self, folder: Path):
        self.place, self.path = folder / "laboratory", folder / "path"
        (self.place / "scripts").mkdir(parents=True)
        self.path.mkdir()
        for name in ("Makefile", "pyproject.toml", "requirements.txt", "requirements-dev.txt", "scripts/set_up.sh"):
            shutil.copy(ROOT / name, self.place / name)
            os.utime(self.place / name, (1e9, 1e9))
        for name in TOOLS:
            (self.path / name).symlink_to(str(shutil.which(name)))

    def python(self, name: str, version: str, slow: str = "", **codes: int) -> Path:
        file = self.path / name
        codes = {"pip": 0, "ensurepip": 0, "installs": 0} | codes
        file.write_text(PRETENDED.format(version=version, slow=slow, **codes))
        file.chmod(0o755)
        return file

    def command(self, *words: str) -> list[str]:
        return [str(self.path / "make"), "setup", *words]

    def setup(self, *words: str) -> tuple[int, str]:
        done = subprocess.run(
            self.command(*words), cwd=self.place, env=self.env, capture_output=True, text=True, timeout=60, check=False
        )
        return done.returncode, done.stdout + done.stderr

    @property
    def env(self) -> dict[str, str]:
        return {"PATH": str(self.path), "SHELL": str(self.path / "sh")}

    @property
    def venv(self) -> Path:
        return self.place / ".venv"

    @property
    def installed(self) -> list[str]:
        """The version of the Python of each installation."""
        log = self.place / "pip.log"
        return log.read_text().split() if log.exists() else []

    @property
    def aside(self) -> list[Path]:
        return list(self.place.glob(".venv.aside-*"))


@pytest.fixture
def laboratory(tmp_path: Path) -> Laboratory:
    return Laboratory(tmp_path)


@pytest.mark.parametrize("version", ["3.11", "3.12"])
def test_once_and_for_all(laboratory: Laboratory, version: str) -> None:
    laboratory.python(f"python{version}", version)
    assert laboratory.setup()[0] == 0
    assert laboratory.setup() == (0, "")
    assert laboratory.installed == [version]
    os.utime(laboratory.place / "requirements.txt")
    os.utime(laboratory.venv / ".ready", (1.5e9, 1.5e9))
    assert "Setting up .venv" in laboratory.setup()[1]
    assert laboratory.installed == [version] * 2
    assert laboratory.aside == []


def test_the_first_that_works_is_taken(laboratory: Laboratory) -> None:
    broken = laboratory.python("python3.11", "3.11")  # as the shim of a version that was removed
    broken.write_text("#!/bin/sh\necho 'python3.11: command not found' >&2\nexit 127\n")
    laboratory.python("python3", "3.13")
    laboratory.python("python3.12", "3.12")
    assert laboratory.setup()[0] == 0
    assert laboratory.installed == ["3.12"]


@pytest.mark.parametrize("version", ["3.9", "3.10", "3.13", "3.14"])
@pytest.mark.parametrize("named", [True, False])
def test_a_python_that_is_not_supported_is_one_sentence(laboratory: Laboratory, version: str, named: bool) -> None:
    file = laboratory.python("mine" if named else "python3", version)
    code, output = laboratory.setup(*([f"PYTHON={file}"] if named else []))
    assert code == 2
    if named:
        assert f"error: PYTHON={file} is Python {version}; seglab needs Python 3.11 or 3.12" in output
    else:
        assert f"error: no Python 3.11 or 3.12 found, python3 is {version}; install one" in output
    assert not laboratory.venv.exists()


def test_no_python_at_all(laboratory: Laboratory) -> None:
    code, output = laboratory.setup()
    assert (code, "error: no Python 3.11 or 3.12 found; install one, or say where it is" in output) == (2, True)
    assert "PYTHON=/gone does not start" in laboratory.setup("PYTHON=/gone")[1]


def vanished(laboratory: Laboratory) -> None:
    (laboratory.venv / "bin" / "python").unlink()
    (laboratory.venv / "bin" / "python").symlink_to("/gone/python3.11")


def unsupported(laboratory: Laboratory) -> None:
    shutil.copy(laboratory.python("old", "3.9"), laboratory.venv / "bin" / "python")


def upgraded(laboratory: Laboratory) -> None:
    shutil.copy(laboratory.python("new", "3.12"), laboratory.venv / "bin" / "python")


def moved(laboratory: Laboratory) -> None:
    laboratory.place = laboratory.place.rename(laboratory.place.with_name("elsewhere"))


def cut_off(laboratory: Laboratory) -> None:
    (laboratory.venv / ".ready").unlink()
    (laboratory.venv / ".begun").write_text("99999999\n")


def a_file(laboratory: Laboratory) -> None:
    shutil.rmtree(laboratory.venv)
    laboratory.venv.write_text("mine")


@pytest.mark.parametrize(
    ("harm", "why"),
    [
        (vanished, "its Python is gone"),
        (unsupported, "it is of Python 3.9"),
        (upgraded, "its Python has become 3.12"),
        (moved, "it was made in another folder"),
        (cut_off, "its set-up was cut off"),
        (a_file, "its Python is gone"),
    ],
)
def test_what_cannot_be_used_is_set_aside_and_made_anew(laboratory: Laboratory, harm, why: str) -> None:
    laboratory.python("python3.11", "3.11")
    laboratory.setup()
    (laboratory.venv / "mine").write_text("of the user")
    harm(laboratory)
    code, output = laboratory.setup()
    assert code == 0, output
    (aside,) = laboratory.aside
    assert f".venv cannot be used: {why}. It is now {aside.name}, to be removed" in output
    assert aside.is_file() or (aside / "mine").read_text() == "of the user"
    assert laboratory.installed == ["3.11", "3.11"]
    assert laboratory.setup() == (0, "")


def test_nothing_is_set_aside_when_none_can_be_made(laboratory: Laboratory) -> None:
    laboratory.python("python3.11", "3.11")
    laboratory.setup()
    unsupported(laboratory)
    (laboratory.path / "python3.11").unlink()
    assert "error: no Python 3.11 or 3.12 found" in laboratory.setup()[1]
    assert (laboratory.aside, laboratory.venv.exists()) == ([], True)


def test_another_python_is_asked_for(laboratory: Laboratory) -> None:
    laboratory.python("python3.11", "3.11")
    laboratory.setup()
    other = laboratory.python("python3.12", "3.12")
    code, output = laboratory.setup(f"PYTHON={other}")
    assert (code, ".venv cannot be used: it is of Python 3.11" in output) == (0, True)
    assert laboratory.installed == ["3.11", "3.12"]
    assert laboratory.setup() == (0, "")  # not asked for again, and left as it is


def test_one_of_the_users_own_is_used(laboratory: Laboratory) -> None:
    """As `uv venv` makes it: without pip."""
    file = laboratory.python("python3.11", "3.11", pip=1)
    subprocess.run([str(file), "-m", "venv", ".venv"], cwd=laboratory.place, env=laboratory.env, check=True)
    assert laboratory.setup()[0] == 0
    assert (laboratory.installed, laboratory.aside) == (["3.11"], [])


def test_what_fails_is_one_sentence_and_the_next_try_goes_on(laboratory: Laboratory) -> None:
    laboratory.python("python3.11", "3.11", installs=1)
    assert "error: requirements-dev.txt was not installed" in laboratory.setup()[1]
    shutil.copy(laboratory.python("python3.11", "3.11"), laboratory.venv / "bin" / "python")
    assert laboratory.setup()[0] == 0
    assert laboratory.aside == []


def test_one_that_is_killed_is_made_anew_and_two_at_once_do_not_meet(laboratory: Laboratory) -> None:
    laboratory.python("python3.11", "3.11", slow="sleep 60;")
    started = subprocess.Popen(
        laboratory.command(), cwd=laboratory.place, env=laboratory.env, start_new_session=True, stdout=subprocess.PIPE
    )
    end = time.monotonic() + 60
    while not laboratory.installed:
        assert time.monotonic() < end
        time.sleep(0.05)
    code, output = laboratory.setup()
    assert (code, "is setting .venv up; wait for it" in output) == (2, True), output
    os.killpg(started.pid, signal.SIGKILL)
    started.communicate()
    laboratory.python("python3.11", "3.11")
    output = ""
    while "its set-up was cut off" not in output:  # until the killed process is buried
        assert time.monotonic() < end, output
        output = laboratory.setup()[1]
    assert laboratory.setup() == (0, "")


def test_the_same_versions_are_named_everywhere() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    named = [line.rpartition(" :: ")[2] for line in project["classifiers"] if ":: Python :: 3." in line]
    script = (ROOT / "scripts" / "set_up.sh").read_text()
    assert f'supported="{" ".join(named)}"' in script
    assert f"Python {' or '.join(named)}" in script
    assert f"Python {' or '.join(named)} and make" in (ROOT / "README.md").read_text()
    past = int(named[-1].partition(".")[2]) + 1
    assert project["requires-python"] == f">={named[0]},<3.{past}"
