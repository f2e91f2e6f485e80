"""MLflow's pages on the runs in mlruns/: make ui (PORT=5000)."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from seglab.errors import run_script


def main() -> None:
    """Open the store as every command does, which never changes one of another MLflow; then become MLflow's server."""
    parser = argparse.ArgumentParser(prog="ui", description="Show the runs in a browser, with MLflow's own pages.")
    parser.add_argument("--runs", type=Path, default=Path("mlruns"), help="folder of runs (default: mlruns)")
    parser.add_argument("--port", type=int, default=5000, help="of http://127.0.0.1 (default: 5000)")
    parser.add_argument("--uri", help="a database, as tracking.uri (default: the one in the folder of runs)")
    given = parser.parse_args()

    from seglab.tracking.port import check_free
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
