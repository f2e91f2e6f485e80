"""What the runs of a study say of themselves: machine, time, settings, data."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from seglab.comparison.runs import FoundRuns, StoredRun
from seglab.number_format import duration
from seglab.reports.document import Cell, TableBlock
from seglab.run_record import Artifact, RunRecord, Tag
from seglab.tracking.bundles import download_artifact
from seglab.tracking.mlflow_client import MlflowException
from seglab.tracking.store import Store

_UNKNOWN = "not recorded"
# What a reader needs to know of the training, by its name in the note and its key in the params.
_SETTINGS = {
    "input size": "data.size",
    "brought to it by": "data.resize_mode",
    "intensities": "data.normalize",
    "augmentation": "augment.name",
    "batch size": "data.batch_size",
    "epochs, at most": "trainer.epochs",
    "stops after epochs without gain": "trainer.patience_epochs",
    "best epoch by": "trainer.monitor",
    "weights kept": "trainer.keep",
    "learning rate, peak": "optimizer.learning_rate",
    "learning rate over time": "schedule.name",
    "precision asked for": "precision.policy",
    "repeatable kernels": "trainer.deterministic",
    "seeds": "seed",
    "fold": "data.fold",
}


def artifact(store: Store, artifacts: str, path: str) -> Path | None:
    """A file among the artifacts of a run, by their address; None when it is not there."""
    try:
        return download_artifact(store, f"{artifacts.rstrip('/')}/{path}")
    except (MlflowException, OSError):
        return None


def read_json(store: Store, artifacts: str, path: str) -> Any:
    """What a JSON file among the artifacts of a run holds; None when it is not there."""
    found = artifact(store, artifacts, path)
    return None if found is None else json.loads(found.read_text(encoding="utf-8"))


def machine_and_time(store: Store, study: FoundRuns) -> TableBlock:
    """One row a fact; what the runs did not record is said to be so."""
    runs, unfinished = study.runs, study.unfinished
    found = [_environment(store, run) for run in runs]
    states = Counter(run.status.lower() for run in unfinished)
    others = "".join(f", {count} {state}" for state, count in sorted(states.items()))
    begin = min(run.started for run in runs) / 1000
    ends = [run.started / 1000 + run.seconds for run in runs if run.seconds is not None]
    span = duration(max(ends) - begin) if ends else _UNKNOWN
    wall = sum(run.seconds for run in runs if run.seconds is not None)
    launchers = dict.fromkeys(_launcher(store.run(parent).data.tags) for parent in study.parents)
    rows = [
        ("machine", _counted([_machine(one) for one in found])),
        *([("launcher", "; ".join(launchers))] if launchers else []),
        ("device, number format", _counted([_computed(run) for run in runs])),
        ("software", _counted([_software(one) for one in found])),
        ("code", _counted([_code(run) for run in runs])),
        ("runs", f"{len(runs)} finished{others}"),
        ("first start to last end", f"{span}, from {datetime.fromtimestamp(begin, UTC):%Y-%m-%d %H:%M} UTC"),
        *([("at one time", f"up to {study.together} runs on one machine")] if study.together > 1 else []),
        ("wall time of the finished runs", f"{duration(wall)} in all, {duration(wall / len(runs))} a run"),
        ("processor time of the finished runs", _processor(runs)),
    ]
    return TableBlock(["what", "of these runs"], [[Cell(name), Cell(value)] for name, value in rows])


def settings(runs: Sequence[StoredRun]) -> TableBlock:
    """How the runs were trained: each setting with every value that it had."""
    rows = []
    for name, key in _SETTINGS.items():
        values = list(dict.fromkeys(run.params[key] for run in runs if key in run.params))
        shown = [value for value in values if value not in ("None", "null")]
        if values:
            rows.append([Cell(name), Cell(key), Cell(", ".join(shown) or "none")])
    caption = f"More than one value: the runs differ in it. Each run keeps its whole configuration, {Artifact.CONFIG}."
    return TableBlock(["setting", "key", "value"], rows, caption)


def differing(runs: Sequence[StoredRun], tag: str) -> list[str]:
    """The values of a tag over the runs, each once."""
    return sorted({run.tags.get(tag, "") for run in runs} - {""})


def _environment(store: Store, run: StoredRun) -> dict[str, Any]:
    return read_json(store, run.artifacts, Artifact.ENVIRONMENT) or {}


def _machine(environment: dict[str, Any]) -> str:
    machine = environment.get("machine")
    if machine is None:
        return _UNKNOWN
    flags = [flag for flag in machine["cpu_flags"] if flag.startswith(("amx_bf16", "avx512_bf16"))]
    named = f"{machine['processor']}, {machine['usable_cores']} cores, {machine['memory_gb']:g} GB memory"
    return named + (f", {' '.join(flags)}" if flags else "")


def _launcher(tags: Mapping[str, str]) -> str:
    """`local, 2 jobs at once, 1 thread each`, as far as the sweep's run says it."""
    parts = [tags.get(Tag.LAUNCHER, _UNKNOWN)]
    for tag, what in ((Tag.LAUNCHER_JOBS, "job{} at once"), (Tag.LAUNCHER_THREADS, "thread{} each")):
        if tag in tags:
            parts.append(f"{tags[tag]} {what.format('' if tags[tag] == '1' else 's')}")
    return ", ".join(parts)


def _computed(run: StoredRun) -> str:
    record = RunRecord.of(run)
    return f"{record.device or 'device ' + _UNKNOWN}, {record.precision or _UNKNOWN}"


def _software(environment: dict[str, Any]) -> str:
    packages = environment.get("packages")
    if packages is None:
        return _UNKNOWN
    return f"Python {environment['python']}, TensorFlow {packages['tensorflow']}, Keras {packages['keras']}"


def _code(run: StoredRun) -> str:
    record = RunRecord.of(run)
    commit = record.git_commit[:12] or "commit " + _UNKNOWN
    return commit + (" with uncommitted changes" if record.git_dirty else "")


def _processor(runs: Sequence[StoredRun]) -> str:
    known = [float(run.tags[Tag.PROCESSOR_SECONDS]) for run in runs if Tag.PROCESSOR_SECONDS in run.tags]
    if not known:
        return _UNKNOWN
    missing = len(runs) - len(known)
    return f"{duration(sum(known))} in all" + (f", {missing} runs did not record it" if missing else "")


def _counted(values: Sequence[str]) -> str:
    """Each value once; with the number of runs where there are several."""
    counts = Counter(values)
    if len(counts) == 1:
        return values[0]
    return "; ".join(f"{value} ({count} runs)" for value, count in counts.most_common())
