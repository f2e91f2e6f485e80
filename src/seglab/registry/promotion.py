"""Promotion: a run through the gate, its model in the register under the alias `champion`, and a log of who and why."""

from __future__ import annotations

import getpass
import json
import os
import shutil
import socket
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import filelock
import pandas as pd
from mlflow.entities import Run

from seglab.comparison.tables import read_table
from seglab.errors import TrackingError
from seglab.inference.bundle import read_bundle
from seglab.registry.gate import Check, Contender, Gate, check
from seglab.registry.model_card import model_card
from seglab.tracking import operations
from seglab.tracking.bundles import resolve_bundle, run_file
from seglab.tracking.client import MlflowException
from seglab.tracking.store import Store

CHAMPION, PREVIOUS = "champion", "previous"
LOG_FILE = "promotions.jsonl"
CARD = "MODEL_CARD.md"
CASES_FILE = "test_cases.csv"
_LOCK_SECONDS = 60.0
_PICTURES = ("test_cases.png", "test_worst.png")


@dataclass(frozen=True)
class Promotion:
    """What became of it.

    Attributes:
        passed: whether the gate was passed and the alias moved.
        checks: rule by rule.
        version: the registered version, None when rejected.
        former: version that was the champion before, None when there was none.
    """

    passed: bool
    checks: list[Check]
    version: str | None = None
    former: str | None = None


def promote(store: Store, run: Run, name: str, gate: Gate, *, reason: str = "") -> Promotion:
    """Let a run through the gate and make its model the champion of `name`.

    The run gets the tag `promotion` (VALIDATED or REJECTED) with the reasons. On success its model is registered, with
    a model card beside the weights; the alias `champion` moves to it, `previous` to the former champion. Either way a
    line is added to `promotions.jsonl` in the folder of runs. Promotions on one machine wait for one another.

    Raises:
        TrackingError: the run did not finish or has no model, or the register cannot be written to.
    """
    if run.info.status != "FINISHED":
        raise TrackingError(
            "only a finished run can be promoted",
            where=f"run {run.info.run_id} ({run.info.run_name})",
            found=run.info.status,
            expected="FINISHED",
            remedy="choose another; make ui shows them",
        )
    found = resolve_bundle(run.info.run_id, store.uri, store.directory)
    with _alone(store, name):
        former = _aliased(store, name, CHAMPION)
        before = None if former is None else str(former.version)
        champion = store.run(former.run_id) if former is not None and former.run_id != run.info.run_id else None
        checks = check(gate, _contender(store, run), None if champion is None else _contender(store, champion))
        passed = all(each.passed for each in checks)
        verdict = {
            "promotion": "VALIDATED" if passed else "REJECTED",
            "promotion_reasons": "; ".join(map(str, checks)),
        }
        operations.set_tags(store.client, run.info.run_id, verdict)
        version = None
        if passed:
            version = _register(store, run, name)
            _add_card(store, run, name, found.folder, checks, version)
            if before is not None and before != version:
                store.client.set_registered_model_alias(name, PREVIOUS, before)
            store.client.set_registered_model_alias(name, CHAMPION, version)
        _note(
            store,
            action="promote" if passed else "reject",
            name=name,
            run=run.info.run_id,
            version=version,
            former=before,
            reason=reason,
            checks=[str(each) for each in checks],
            scores={key: value for key, value in run.data.metrics.items() if key.startswith("test_")},
        )
    return Promotion(passed, checks, version, before)


def rollback(store: Store, name: str, *, reason: str = "") -> tuple[str, str]:
    """Swap `champion` and `previous`; returns the versions that are now champion and previous.

    Raises:
        TrackingError: the name has no champion or no previous one.
    """
    with _alone(store, name):
        versions = {alias: _aliased(store, name, alias) for alias in (CHAMPION, PREVIOUS)}
        lacking = [alias for alias, version in versions.items() if version is None]
        if lacking:
            raise TrackingError(
                "nothing to roll back to",
                where=f"registered model {name}",
                found=f"no alias {' and no alias '.join(lacking)}",
                expected="a champion and the one before it",
                remedy="promote a second run first: python scripts/promote.py run=<id> name=" + name,
            )
        now, before = str(versions[PREVIOUS].version), str(versions[CHAMPION].version)
        store.client.set_registered_model_alias(name, CHAMPION, now)
        store.client.set_registered_model_alias(name, PREVIOUS, before)
        _note(
            store,
            action="rollback",
            name=name,
            run=versions[PREVIOUS].run_id,
            version=now,
            former=before,
            reason=reason,
        )
    return now, before


def _alone(store: Store, name: str) -> filelock.BaseFileLock:
    plain = "".join(c if c.isalnum() or c in "._-" else "_" for c in name)
    return filelock.FileLock(store.directory / f".promotion-{plain}.lock", timeout=_LOCK_SECONDS)


def _aliased(store: Store, name: str, alias: str) -> Any:
    """The version under an alias, None when name or alias is not there."""
    with suppress(MlflowException):
        return store.client.get_model_version_by_alias(name, alias)
    return None


def _contender(store: Store, run: Run) -> Contender:
    try:
        cases = read_table(run_file(store, run, CASES_FILE))
    except TrackingError:
        cases = None
    return Contender(run.data.metrics, run.data.tags, cases)


def _register(store: Store, run: Run, name: str) -> str:
    """The version of the run's model under `name`, made when there is none yet."""
    client, model_id = store.client, _model_id(run)
    try:
        if not client.search_registered_models(f"name = '{name}'"):
            client.create_registered_model(name)
        same = [
            version for version in client.search_model_versions(f"name = '{name}'") if version.run_id == run.info.run_id
        ]
        if same:
            return str(same[0].version)
        # Its place, not models:/<id>, which MLflow would look for in another store: that of its global setting.
        place = client.get_logged_model(model_id).artifact_location
        made = client.create_model_version(name, place, run.info.run_id, model_id=model_id)
    except MlflowException as error:
        raise TrackingError(
            "the model cannot be registered",
            where=f"{name} in {store.uri}",
            found=str(error.message).splitlines()[0],
            remedy="see that the store can be written to: make doctor",
        ) from error
    return str(made.version)


def _add_card(store: Store, run: Run, name: str, bundle: Path, checks: list[Check], version: str) -> None:
    """Write the model card with its pictures beside the weights, and as the version's description."""
    with tempfile.TemporaryDirectory(prefix="card") as place:
        folder = Path(place)
        for picture in _PICTURES:
            with suppress(TrackingError):
                shutil.copyfile(run_file(store, run, f"pictures/{picture}"), folder / picture)
        text = model_card(
            name=name,
            run_id=run.info.run_id,
            run_name=run.info.run_name,
            tags=dict(run.data.tags),
            params=dict(run.data.params),
            bundle=read_bundle(bundle),
            cases=pd.read_csv(run_file(store, run, CASES_FILE), dtype={"id": str}),
            checks=checks,
            pictures=sorted(path.name for path in folder.iterdir()),
        )
        (folder / CARD).write_text(text, encoding="utf-8")
        store.client.log_model_artifacts(_model_id(run), str(folder))
    store.client.update_model_version(name, version, text[:5000])


def _model_id(run: Run) -> str:
    """Id of the run's model; `resolve_bundle` has refused a run without one."""
    assert run.outputs is not None
    return str(run.outputs.model_outputs[-1].model_id)


def _note(store: Store, **facts: Any) -> None:
    """Add a line to the log; a whole line or none, whoever else writes."""
    line: Mapping[str, Any] = {
        "when": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "who": f"{getpass.getuser()}@{socket.gethostname()}",
        **facts,
    }
    handle = os.open(store.directory / LOG_FILE, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(handle, (json.dumps(line, ensure_ascii=False) + "\n").encode())
        os.fsync(handle)
    finally:
        os.close(handle)
