"""Runs as one plain folder: from a cluster's store to a laptop's, whole, with their artifacts and their former ids.

<folder>/archive.json               what it is and which runs it holds
<folder>/<run id>/run.json          name, status, times, params, tags, data sets, every value of every metric
<folder>/<run id>/artifacts/        pictures, tables, config
<folder>/<run id>/model/            the bundle as an MLflow model, the latest where the run has several

An export may be anybody's: all of it is checked before anything of it is in the store (`seglab.tracking.imports`), and
the tag `imported_run_id` stays on the run. Registered names and their aliases stay where they are: another store has
champions of its own, and an imported run passes its gate there (`seglab promote`).
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Run

from seglab.errors import TrackingError
from seglab.run_record import Tag
from seglab.runtime import atomic_files
from seglab.tracking import operations
from seglab.tracking.bundles import download_artifact, latest_model
from seglab.tracking.imports import CARD_FILE, RUN_FILE, ExportedRun, read_export
from seglab.tracking.mlflow_client import MlflowClient, MlflowException, first_line
from seglab.tracking.selection import search
from seglab.tracking.store import Store

FORMAT = 1
# On an imported run: whether all of it has arrived.
_METRICS_AT_ONCE = 1000
_ENDED = ("FINISHED", "FAILED", "KILLED")

Progress = Callable[[str], None]
"""Told the name of each run when it is done."""


def export_runs(store: Store, runs: Sequence[Run], folder: Path, progress: Progress | None = None) -> Path:
    """Write runs with everything that the store has of them into a new folder.

    The folder appears under its name when it is whole; what an interruption leaves is a hidden folder beside it, which
    the next export replaces.

    Args:
        store: where the runs are.
        runs: which, at least one.
        folder: to make.
        progress: called with the name of each run.

    Returns:
        `folder`.

    Raises:
        TrackingError: the folder is there already, an artifact is gone, or there is no room.
    """
    if folder.exists():
        raise TrackingError(
            "a folder that is there already",
            code="export-place-taken",
            where=str(folder),
            remedy="name a new one, or remove it first",
        )
    try:
        with atomic_files.folder(folder, replace=False) as part:
            for run in runs:
                _write_run(store, run, part / run.info.run_id)
                if progress:
                    progress(run.info.run_name)
            card = {"format": FORMAT, "runs": [run.info.run_id for run in runs]}
            (part / CARD_FILE).write_text(json.dumps(card, indent=1), encoding="utf-8")
    except OSError as error:
        raise TrackingError(
            "the runs cannot be written",
            code="export-unwritable",
            where=str(folder),
            found=str(error),
            expected="room and permission for all their artifacts",
            remedy="free some space, or export to another disk; nothing half-written is left",
        ) from error
    return folder


def import_runs(store: Store, folder: Path, progress: Progress | None = None) -> dict[str, str]:
    """Bring an exported folder's runs into a store; those that it has already are left as they are.

    Runs get new ids, and the tag `imported_run_id` says the former one; a child's parent is the imported parent.
    A run that an interrupted import left unfinished is made anew.

    Returns:
        The id in this store of each former id.

    Raises:
        TrackingError: no such folder, one that is not as seglab writes it, one of a later seglab, or a store that
            cannot be written to.
    """
    store.check_writable()
    if not (folder / CARD_FILE).is_file():
        raise TrackingError(
            "no exported runs here",
            code="export-missing",
            where=str(folder),
            found=f"no {CARD_FILE}",
            expected="a folder that seglab runs export wrote",
            remedy="export them first: seglab runs export <folder> study=<name>",
        )
    stored = read_export(folder, FORMAT, None if store.served else store.directory)
    stored.sort(key=lambda pair: Tag.PARENT_RUN_ID in pair[0].tags)  # parents first: children get their new ids
    arrived: dict[str, str] = {}
    for record, place in stored:
        former = record.run_id
        try:
            arrived[former] = _present(store, former) or _read_run(store, record, place, arrived)
        except (MlflowException, OSError) as error:
            raise TrackingError(
                "a run that cannot be imported into the store",
                code="import-failed",
                where=f"run {former} ({record.name}) into {store.place}",
                found=first_line(error),
                expected="a store that works, with room for all artifacts",
                remedy=f"correct that and import again: {len(arrived)} runs are there, this one is made anew",
            ) from error
        if progress:
            progress(record.name)
    return arrived


def _write_run(store: Store, run: Run, place: Path) -> None:
    client = store.client
    place.mkdir(parents=True)
    _copy(store, run.info.artifact_uri, place / "artifacts", run)
    if run.outputs and run.outputs.model_outputs:
        _copy(store, latest_model(store, run).artifact_location, place / "model", run)
    history = {
        name: [[point.step, point.timestamp, point.value] for point in client.get_metric_history(run.info.run_id, name)]
        for name in run.data.metrics
    }
    record = {
        "run_id": run.info.run_id,
        "name": run.info.run_name,
        "experiment": client.get_experiment(run.info.experiment_id).name,
        "status": run.info.status,
        "start_time": run.info.start_time,
        "end_time": run.info.end_time,
        "params": dict(run.data.params),
        "tags": dict(run.data.tags),
        "metrics": history,
        "datasets": [_dataset_record(one) for one in run.inputs.dataset_inputs] if run.inputs else [],
    }
    (place / RUN_FILE).write_text(json.dumps(record), encoding="utf-8")


def _copy(store: Store, address: str, target: Path, run: Run) -> None:
    """Copy a folder of artifacts; only a run that did not come to its end may have logged none."""
    try:
        shutil.copytree(download_artifact(store, address), target)
    except (FileNotFoundError, MlflowException) as error:
        if run.info.status != "FINISHED":
            return
        raise TrackingError(
            "artifacts that are gone",
            code="artifact-missing",
            where=f"run {run.info.run_id} ({run.info.run_name})",
            found=str(error).splitlines()[0],
            expected="pictures, tables and model of a finished run",
            remedy="restore them from a copy of the folder of runs, or export the other runs",
        ) from error


def _dataset_record(one: DatasetInput) -> dict[str, Any]:
    found = one.dataset
    keys = ("name", "digest", "source_type", "source", "profile")
    return {**{key: getattr(found, key) for key in keys}, "tags": {tag.key: tag.value for tag in one.tags}}


def _present(store: Store, former: str) -> str | None:
    """The id under which the store has this run whole; an unfinished import of it is removed."""
    same = search(store, f"attributes.run_id = '{former}'")
    if same:
        return former
    whole = None
    for run in search(store, f"tags.{Tag.IMPORTED_RUN_ID} = '{former}'"):
        if run.data.tags.get(Tag.IMPORT_COMPLETE) == "true":
            whole = run.info.run_id
        else:
            store.client.delete_run(run.info.run_id)
    return whole


def _read_run(store: Store, record: ExportedRun, place: Path, arrived: Mapping[str, str]) -> str:
    client = store.client
    experiment = store.experiment_id(record.experiment)
    tags = {**record.tags, Tag.IMPORTED_RUN_ID: record.run_id, Tag.IMPORT_COMPLETE: "false"}
    if Tag.PARENT_RUN_ID in tags:
        tags[Tag.PARENT_RUN_ID] = arrived.get(tags[Tag.PARENT_RUN_ID], tags[Tag.PARENT_RUN_ID])
    made = client.create_run(experiment, start_time=record.start_time, run_name=record.name, tags=tags)
    run_id = made.info.run_id
    operations.log_params(client, run_id, record.params)
    _log_history(client, run_id, record.metrics)
    inputs = [
        DatasetInput(
            Dataset(**one.model_dump(exclude={"tags"})), [InputTag(key, value) for key, value in one.tags.items()]
        )
        for one in record.datasets
    ]
    if inputs:
        client.log_inputs(run_id, datasets=inputs)
    if (place / "artifacts").is_dir():
        client.log_artifacts(run_id, str(place / "artifacts"))
    if (place / "model").is_dir():
        operations.log_model_folder(client, run_id, place / "model")
    # A run that was under way when it was exported has no one here who could end it.
    status = record.status if record.status in _ENDED else "KILLED"
    client.set_terminated(run_id, status, record.end_time or record.start_time)
    client.set_tag(run_id, Tag.IMPORT_COMPLETE, "true")
    return run_id


def _log_history(client: MlflowClient, run_id: str, history: Mapping[str, Sequence[Sequence[float]]]) -> None:
    points = [
        Metric(name, value, int(timestamp), int(step))
        for name, values in history.items()
        for step, timestamp, value in values
    ]
    for start in range(0, len(points), _METRICS_AT_ONCE):
        client.log_batch(run_id, metrics=points[start : start + _METRICS_AT_ONCE])
