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

import pytest

PROGRAMS = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
DRIVER = next((name for name in ("psycopg", "psycopg2") if find_spec(name)), None)
needs_postgres = pytest.mark.skipif(
    not (PROGRAMS and DRIVER and (os.geteuid() or shutil.which("runuser"))), reason="no PostgreSQL, or no driver of it"
)


@contextmanager
def postgres() -> Iterator[str]:
    """The address of a server with an empty database, for user postgres with the password `secret`."""
    folder = Path(tempfile.mkdtemp(prefix="postgres"))
    (folder / "password").write_text("secret")
    person = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
    if person:
        for path in (folder, folder / "password"):
            shutil.chown(path, "postgres")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    bin_folder, data = PROGRAMS[-1].parent, folder / "data"
    made = [bin_folder / "initdb", "-D", data, "-U", "postgres", "-A", "scram-sha-256", f"--pwfile={folder}/password"]
    subprocess.run([*person, *made], check=True, capture_output=True)
    control = [*person, bin_folder / "pg_ctl", "-D", data, "-w", "-l", folder / "log"]
    subprocess.run([*control, "-o", shlex.join(["-p", str(port), "-k", str(folder)]), "start"], check=True)
    yield f"postgresql+{DRIVER}://postgres:secret@127.0.0.1:{port}/postgres"
    subprocess.run([*control, "-m", "immediate", "stop"], check=True, capture_output=True)
    shutil.rmtree(folder, ignore_errors=True)
