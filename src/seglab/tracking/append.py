"""Adding to a run that is over: what was found out about it later."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

from mlflow.entities import Run

from seglab.errors import TrackingError
from seglab.tracking import operations
from seglab.tracking.bundles import local_path
from seglab.tracking.mlflow_client import MlflowException, first_line
from seglab.tracking.store import Store


def add_to_run(store: Store, run: Run, metrics: Mapping[str, float], files: Path, folder: str) -> str:
    """Record metrics at step 0 and all files of a folder of a run that has ended; its status stays.

    Doing so again replaces the files; of the metrics MLflow shows the latest.

    Args:
        store: where the run is recorded.
        run: the run.
        metrics: by name; NaN must have been left out.
        files: folder whose contents are recorded.
        folder: where among the run's artifacts.

    Returns:
        Where the files lie now.

    Raises:
        TrackingError: the store or the folder of its artifacts cannot be written to.
    """
    run_id = run.info.run_id
    try:
        where = add_files(store, run, files, folder)
        operations.apply(store.client, run_id, operations.metrics(metrics, step=0), None)
    except (MlflowException, OSError) as error:
        raise TrackingError(
            "results that cannot be added to the run",
            code="results-unwritable",
            where=f"run {run_id} in {store.place}",
            found=first_line(error),
            expected="a store that can be written to",
            remedy=f"check permissions and free space; the results themselves are in {files}",
        ) from error
    return where


def add_files(store: Store, run: Run, files: Path, folder: str) -> str:
    """Put all files of a folder among a run's artifacts, also of a store that was moved; returns where they lie now.

    Raises:
        MlflowException, OSError: the store or the folder of its artifacts cannot be written to.
    """
    target = local_path(store, run.info.artifact_uri)
    if target is None:
        operations.apply(store.client, run.info.run_id, operations.artifact(folder), files)
        return f"{run.info.artifact_uri}/{folder}"
    shutil.copytree(files, target / folder, dirs_exist_ok=True)
    return str(target / folder)
