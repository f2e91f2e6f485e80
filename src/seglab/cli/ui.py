"""`seglab ui`: MLflow's pages on the runs in mlruns/."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import Field

from seglab.cli.words import read, setting, tracking_uri
from seglab.run_record import RUNS


@dataclass(frozen=True, kw_only=True)
class UiWords:
    """Show the runs in a browser, with MLflow's own pages. A store of another version of MLflow is not changed.
    This process becomes MLflow's server."""

    runs: str = setting("folder of runs", default=str(RUNS))
    port: Annotated[int, Field(ge=0, le=65535)] = setting("the port of http://127.0.0.1 to show them at", default=5000)
    tracking_uri: str | None = tracking_uri()


def run(words: Sequence[str]) -> None:
    """Become the server."""
    settings = read(UiWords, words, "ui")
    from seglab.tracking.port import check_free
    from seglab.tracking.store import open_store

    store = open_store(settings.tracking_uri, Path(settings.runs))
    check_free(settings.port)
    server = ["--workers", "1", "--host", "127.0.0.1", "--port", str(settings.port), "--backend-store-uri", store.uri]
    server += ["--default-artifact-root", (store.directory / "artifacts").as_uri()]
    os.environ["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] = "false"
    print(f"http://127.0.0.1:{settings.port}", flush=True)
    os.execv(sys.executable, [sys.executable, "-m", "mlflow", "ui", *server])
