"""MLflow's pages on the runs in mlruns/: make ui (PORT=5000)."""

from __future__ import annotations

import argparse
import fcntl
import os
import socket
import sys
import tempfile
from pathlib import Path

from seglab.errors import TrackingError, run_script

_PORTS_TRIED = 100


def check_free(port: int) -> None:
    """See that nothing listens on a port, nor is about to; MLflow would say so by a traceback after the address."""
    if _free(port):
        return
    other = next((other for other in range(port + 1, min(port + _PORTS_TRIED, 65536)) if _free(other)), 0)
    raise TrackingError(
        "a port that is taken",
        where=f"http://127.0.0.1:{port}",
        found="another program, perhaps another make ui",
        remedy=f"take another: make ui PORT={other}" if other else "end that program, or choose another port",
    )


def _free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a server that has just ended holds nobody up
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return _alone(port)


def _alone(port: int) -> bool:
    """Be the only one of these on a port, until this process and the server that it becomes are over.

    The server listens only seconds after it was started, when another may have begun, too.
    """
    try:
        file = os.open(Path(tempfile.gettempdir()) / f"seglab-ui-{port}.lock", os.O_RDONLY | os.O_CREAT, 0o644)
    except OSError:  # somebody else's
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    os.set_inheritable(file, True)
    return True


def main() -> None:
    """Open the store as every command does, which never changes one of another MLflow; then become MLflow's server."""
    parser = argparse.ArgumentParser(prog="ui", description="Show the runs in a browser, with MLflow's own pages.")
    parser.add_argument("--runs", type=Path, default=Path("mlruns"), help="folder of runs (default: mlruns)")
    parser.add_argument("--port", type=int, default=5000, help="of http://127.0.0.1 (default: 5000)")
    parser.add_argument("--uri", help="a database, as tracking.uri (default: the one in the folder of runs)")
    given = parser.parse_args()

    from seglab.tracking.store import open_store

    store = open_store(given.uri, given.runs)
    check_free(given.port)
    words = ["--workers", "1", "--host", "127.0.0.1", "--port", str(given.port), "--backend-store-uri", store.uri]
    words += ["--default-artifact-root", (store.directory / "artifacts").as_uri()]
    os.environ["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] = "false"
    print(f"http://127.0.0.1:{given.port}", flush=True)
    os.execv(sys.executable, [sys.executable, "-m", "mlflow", "ui", *words])


if __name__ == "__main__":
    run_script(main)
