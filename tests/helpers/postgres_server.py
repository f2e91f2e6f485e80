"""A PostgreSQL of a test's own, which starts empty and is gone afterwards."""

from __future__ import annotations

import os
import shlex
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType

import pytest

PROGRAMS = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
DRIVER = next((name for name in ("psycopg", "psycopg2") if find_spec(name)), None)
needs_postgres = pytest.mark.skipif(
    not (PROGRAMS and DRIVER and (os.geteuid() or shutil.which("runuser"))), reason="no PostgreSQL, or no driver of it"
)


class Postgres:
    """A server with an empty database, for user postgres with the password `secret`; it begins with `with`."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="postgres"))
        (self._folder / "password").write_text("secret")
        self._person = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []  # it refuses to run as root
        if self._person:
            for path in (self._folder, self._folder / "password"):
                shutil.chown(path, "postgres")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._port = probe.getsockname()[1]
        self._bin, data = PROGRAMS[-1].parent, self._folder / "data"
        made = ["-D", data, "-U", "postgres", "-A", "scram-sha-256", f"--pwfile={self._folder}/password"]
        subprocess.run([*self._person, self._bin / "initdb", *made], check=True, capture_output=True)
        self._control = [*self._person, self._bin / "pg_ctl", "-D", data, "-w", "-l", self._folder / "log"]
        self.address = f"postgresql+{DRIVER}://postgres:secret@127.0.0.1:{self._port}/postgres"

    def start(self) -> None:
        options = shlex.join(["-p", str(self._port), "-k", str(self._folder)])
        subprocess.run([*self._control, "-o", options, "start"], check=True, stdout=subprocess.DEVNULL)

    def stop(self) -> None:
        subprocess.run([*self._control, "-m", "immediate", "stop"], check=True, capture_output=True)

    def __enter__(self) -> Postgres:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()
        shutil.rmtree(self._folder, ignore_errors=True)


@contextmanager
def postgres() -> Iterator[str]:
    """The address of a server with an empty database, for user postgres with the password `secret`."""
    with Postgres() as server:
        yield server.address
