"""May a run go on, and what has it told already."""

from __future__ import annotations

from collections.abc import Mapping

from mlflow.entities import Run

from seglab.config.former_names import current_params
from seglab.errors import ConfigError, TrackingError
from seglab.run_record import Metric, Tag
from seglab.tracking.clockless_heartbeat import PeerSightings
from seglab.tracking.heartbeat import alive, patience
from seglab.tracking.mlflow_client import MlflowClient
from seglab.tracking.store import Store

NOT_SET = "not set"


def check_resumable(store: Store, run: Run, params: Mapping[str, str]) -> None:
    """See that a run has not finished, is not alive, and began with these params (as `flat_params` made them).

    Raises:
        TrackingError: it has finished or is alive.
        ConfigError: a param differs; names each with both values.
    """
    run_id, status = run.info.run_id, run.info.status
    if status == "FINISHED":
        raise finished(run)
    tags = run.data.tags
    if status == "RUNNING" and alive(tags, PeerSightings.kept_in(store.directory)) is not False:
        dead_after = f", or try again in {patience(tags):.0f} s if its machine is gone" if Tag.HEARTBEAT in tags else ""
        raise TrackingError(
            "a run that is still alive cannot be resumed",
            code="resume-alive",
            where=f"resume={run_id}",
            found=f"process {tags.get(Tag.PID, '?')} on {tags.get(Tag.HOST, '?')}",
            expected="a run whose process is gone",
            remedy=f"stop that process first, or wait for its end{dead_after}",
        )
    stored = current_params(run.data.params)
    changed = {
        key: (stored.get(key, NOT_SET), params.get(key, NOT_SET))
        for key in sorted({*stored, *params})
        if stored.get(key) != params.get(key)
    }
    if changed:
        raise other_config(run, changed)


def finished(run: Run) -> TrackingError:
    """What is said to who would resume a run that has finished."""
    epochs = str(current_params(run.data.params).get("trainer.epochs", ""))
    longer = 2 * int(epochs) if epochs.isdecimal() else "…"
    return TrackingError(
        "a finished run cannot be resumed",
        code="resume-finished",
        where=f"resume={run.info.run_id}",
        found=f"{run.info.run_name}, FINISHED" + (f" after trainer.epochs={epochs}" if epochs else ""),
        expected="a run that is FAILED or KILLED; or more epochs, for a new run that goes on from its end",
        remedy=f"to train for longer: resume={run.info.run_id} trainer.epochs={longer}",
    )


def other_config(run: Run, changed: Mapping[str, tuple[object, object]]) -> ConfigError:
    """What is said to who would resume a run with other settings, by key as they were and as they are."""
    return ConfigError(
        "a resumed run with another config",
        code="resume-other-config",
        where=f"resume={run.info.run_id} ({run.info.run_name})",
        found="\n            ".join(f"{key}: was {before}, is {now}" for key, (before, now) in changed.items()),
        expected="the settings that the run began with",
        remedy="remove the changed settings, or start a new run without resume",
    )


def recorded(client: MlflowClient, run: Run) -> frozenset[str]:
    """Paths of all artifacts of a run and names of its data sets: what need not be recorded again."""
    found = {one.dataset.name for one in run.inputs.dataset_inputs} if run.inputs else set()
    folders: list[str | None] = [None]
    while folders:
        for one in client.list_artifacts(run.info.run_id, folders.pop()):
            found.add(one.path)
            if one.is_dir:
                folders.append(one.path)
    return frozenset(found)


def known_steps(client: MlflowClient, run: Run) -> tuple[set[tuple[str, int]], int]:
    """Every (metric, step) that the store has of a run, and the number of the next sample of system metrics."""
    known: set[tuple[str, int]] = set()
    samples = 0
    for name in run.data.metrics:
        steps = {metric.step for metric in client.get_metric_history(run.info.run_id, name)}
        known |= {(name, step) for step in steps}
        if name.startswith(Metric.SYSTEM):
            samples = max(samples, max(steps) + 1)
    return known, samples
