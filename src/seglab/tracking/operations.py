"""What can be told to the store, as plain records: made now, kept on disk, carried out when the store answers."""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from mlflow.entities import Dataset, DatasetInput, InputTag, LoggedModelOutput, Metric, Param, RunTag
from mlflow.models import Model

from seglab.metric_names import metric_name
from seglab.run_record import Tag
from seglab.safety.secrets import STARS, is_secret_name, redacted
from seglab.tracking.carried_code import CODE_FOLDER, write_code
from seglab.tracking.mlflow_client import MlflowClient

MODEL_NAME = "model"
# Limits of MLflow.
_DIGEST_LENGTH = 36
_PARAM_LENGTH = 6000
_TAG_LENGTH = 8000
_REASON_LENGTH = 500  # in JSON, each character may take six bytes of the room that an outbox reserves
_PER_BATCH = 100
_METRICS_PER_BATCH = 1000

Operation = dict[str, Any]


def now() -> int:
    """Milliseconds since 1970, MLflow's time."""
    return time.time_ns() // 1_000_000


def metrics(values: Mapping[str, float], step: int) -> Operation:
    """Metrics of one step; sent in one call. The time is taken now, so that sending twice stores once."""
    return {
        "kind": "metrics",
        "values": {metric_name(name): float(value) for name, value in values.items()},
        "step": step,
        "timestamp": now(),
    }


def tags(values: Mapping[str, Any]) -> Operation:
    """Tags; a value longer than MLflow takes is cut."""
    return {"kind": "tags", "values": {name: str(value)[:_TAG_LENGTH] for name, value in values.items()}}


def artifact(folder: str) -> Operation:
    """What lies in the operation's attachment, to go into a folder of the run's artifacts (empty for the top)."""
    return {"kind": "artifact", "folder": folder}


def dataset(name: str, digest: str, context: str, source: str, profile: Mapping[str, Any]) -> Operation:
    """A data set that went into the run; MLflow keeps 36 characters of the digest.

    Name and digest together must differ between the parts of a split: of two that agree MLflow drops the second.
    """
    return {
        "kind": "dataset",
        "name": name,
        "digest": digest[:_DIGEST_LENGTH],
        "context": context,
        "source": redacted(source),
        "profile": dict(profile),
    }


def model() -> Operation:
    """The pyfunc model in the operation's attachment."""
    return {"kind": "model", "model_id": None}


def end(status: str, reason: str | None = None) -> Operation:
    """The run is over: FINISHED, FAILED or KILLED; with the reason in the place of what others took for it."""
    cut = None if reason is None else reason[:_REASON_LENGTH]
    return {"kind": "end", "status": status, "timestamp": now(), "reason": cut}


def apply(client: MlflowClient, run_id: str, operation: Operation, attachment: Path | None) -> None:
    """Carry an operation out. Doing so twice leaves the same as doing it once.

    An operation that makes something with an id notes that id in the record, for the next try.

    Raises:
        MlflowException, OSError: the store does not answer, or refuses (see `client.refused`).
    """
    match operation["kind"]:
        case "metrics":
            found = [
                Metric(name, value, operation["timestamp"], operation["step"])
                for name, value in operation["values"].items()
            ]
            for start in range(0, len(found), _METRICS_PER_BATCH):
                client.log_batch(run_id, metrics=found[start : start + _METRICS_PER_BATCH])
        case "tags":
            set_tags(client, run_id, operation["values"])
        case "artifact":
            client.log_artifacts(run_id, str(attachment), operation["folder"] or None)
        case "dataset":
            client.log_inputs(run_id, datasets=[_dataset_input(operation)])
        case "model":
            _log_model(client, run_id, operation, attachment)
        case "end":
            if operation.get("reason") is not None:
                client.set_tag(run_id, Tag.END_REASON, operation["reason"])
            client.set_terminated(run_id, operation["status"], operation["timestamp"])
        case kind:
            raise ValueError(f"unknown operation {kind!r}")


def set_tags(client: MlflowClient, run_id: str, values: Mapping[str, str]) -> None:
    """Set tags, as many at once as MLflow takes."""
    found = [RunTag(name, value) for name, value in values.items()]
    for start in range(0, len(found), _PER_BATCH):
        client.log_batch(run_id, tags=found[start : start + _PER_BATCH])


def log_params(client: MlflowClient, run_id: str, values: Mapping[str, str]) -> None:
    """Log params as `flat_params` made them, as many at once as MLflow takes."""
    found = [Param(name, value) for name, value in values.items()]
    for start in range(0, len(found), _PER_BATCH):
        client.log_batch(run_id, params=found[start : start + _PER_BATCH])


def flat_params(values: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Nested settings as dotted keys and texts of JSON (strings as they are), cut at what MLflow takes.

    Passwords and keys are left out.
    """
    flat: dict[str, str] = {}
    for key, value in values.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping) and value:
            flat |= flat_params(value, f"{name}.")
        else:
            text = value if isinstance(value, str) else json.dumps(value, default=str)
            flat[name] = (STARS if text and is_secret_name(str(key)) else redacted(text))[:_PARAM_LENGTH]
    return flat


def _dataset_input(operation: Operation) -> DatasetInput:
    found = Dataset(
        name=operation["name"],
        digest=operation["digest"],
        source_type="local",
        source=json.dumps({"uri": operation["source"]}),
        profile=json.dumps(operation["profile"]),
    )
    return DatasetInput(found, [InputTag(Tag.DATA_CONTEXT, operation["context"])])


def log_model_folder(client: MlflowClient, run_id: str, folder: Path) -> None:
    """Attach a pyfunc model that lies in a folder to a run, under ids of its own; the folder stays as it is.

    The code that the folder carries is left behind, as anybody may have written it; this package's own takes its place.
    """
    with tempfile.TemporaryDirectory(prefix="model") as name:
        copy = Path(shutil.copytree(folder, Path(name) / MODEL_NAME))
        if (copy / CODE_FOLDER).exists():
            shutil.rmtree(copy / CODE_FOLDER)
            write_code(copy / CODE_FOLDER)
        _log_model(client, run_id, model(), copy)


def _log_model(client: MlflowClient, run_id: str, operation: Operation, attachment: Path | None) -> None:
    if attachment is None:
        raise ValueError("a model operation needs its folder")
    if operation["model_id"] is None:
        run = client.get_run(run_id)
        made = client.create_logged_model(run.info.experiment_id, name=MODEL_NAME, source_run_id=run_id)
        operation["model_id"] = made.model_id
    model_id = operation["model_id"]
    # Model.load would take the folder's name for an address, and decode %20 in it.
    described = Model.from_dict(yaml.safe_load((attachment / "MLmodel").read_text(encoding="utf-8")))
    described.model_id = described.model_uuid = model_id
    described.run_id = run_id
    described.artifact_path = client.get_logged_model(model_id).artifact_location
    described.save(str(attachment / "MLmodel"))
    client.log_model_artifacts(model_id, str(attachment))
    client.finalize_logged_model(model_id, "READY")
    client.log_outputs(run_id, models=[LoggedModelOutput(model_id, step=0)])
