"""Promotion: a run through the gate, its model in the register under the alias `champion`, and a log of who and why."""

from __future__ import annotations

import shutil
import tempfile
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from mlflow.entities import Run

from seglab.comparison.case_tables import read_table
from seglab.config.former_names import current_params
from seglab.errors import DataError, TrackingError
from seglab.inference.bundle import Bundle, read_bundle
from seglab.metric_names import TEST, MetricName, of_class
from seglab.registry.gate import Contender, Gate, RuleResult, check
from seglab.registry.model_card import model_card
from seglab.registry.promotion_log import note
from seglab.run_record import Artifact, Tag
from seglab.safety.file_names import file_name
from seglab.safety.shown_text import from_cell
from seglab.tracking import operations
from seglab.tracking.bundles import latest_model, resolve_bundle, run_file
from seglab.tracking.imports import former_id
from seglab.tracking.locks import waited_for
from seglab.tracking.mlflow_client import MlflowException, first_line
from seglab.tracking.store import Store

CHAMPION, PREVIOUS = "champion", "previous"
_LOCK_SECONDS = 60.0
_UNKNOWN = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")  # name, or alias
_DESCRIPTION_LENGTH = 5000  # of a version, as MLflow takes it
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
    checks: list[RuleResult]
    version: str | None = None
    former: str | None = None


def promote(store: Store, run: Run, name: str, gate: Gate, *, reason: str = "", licence: str = "") -> Promotion:
    """Let a run through the gate and make its model the champion of `name`.

    The run gets the tag `promotion` (VALIDATED or REJECTED) with the reasons. On success its model is registered, with
    a model card beside the weights; the alias `champion` moves to it, `previous` to the former champion. Either way an
    entry is added to the promotion log. The alias moves last: what fails before it leaves the champion where it was,
    and the promotion can be asked for again.

    Promotions on one machine wait for one another. A champion that another machine has set since the run was held
    against the former one is noticed just before the alias moves, and left in its place. MLflow has no way to look and
    move at once: of two that come within those milliseconds the later one wins, and the log shows both.

    Args:
        store: with the run and the register.
        run: to promote.
        name: to register it under.
        gate: the rules.
        reason: for the log.
        licence: of the data that the model was trained on, for the model card; kept as a tag of the run. Empty for
            what the run says already.

    Raises:
        TrackingError: the run did not finish or has no model or no scores of its cases, the register cannot be
            written to, or another machine has changed the champion meanwhile.
    """
    store.check_writable(run)
    if run.info.status != "FINISHED":
        raise TrackingError(
            "only a finished run can be promoted",
            code="promotion-unfinished",
            where=f"run {run.info.run_id} ({run.info.run_name})",
            found=run.info.status,
            expected="FINISHED",
            remedy="choose another; seglab ui shows them",
        )
    bundle = read_bundle(resolve_bundle(run.info.run_id, store.uri, store.directory).folder)
    licence = licence or run.data.tags.get(Tag.DATA_LICENCE, "")
    with _alone(store, name):
        former = _aliased(store, name, CHAMPION)
        before = None if former is None else str(former.version)
        champion = store.run(former.run_id) if former is not None and former.run_id != run.info.run_id else None
        against = None if champion is None else _contender(store, champion, gate)
        checks = check(gate, _contender(store, run, gate), against)
        if champion is not None:
            checks.append(_same_classes(store, bundle, champion))
        if elsewhere := former_id(run):
            checks.append(RuleResult("trained in this store, or imported", f"imported, formerly run {elsewhere}", True))
        passed = all(each.passed for each in checks)
        verdict = {
            Tag.PROMOTION: "VALIDATED" if passed else "REJECTED",
            Tag.PROMOTION_REASONS: "; ".join(map(str, checks)),
            **({Tag.DATA_LICENCE: licence} if licence else {}),
        }
        version = None
        try:
            operations.set_tags(store.client, run.info.run_id, verdict)
            if passed:
                with tempfile.TemporaryDirectory(prefix="card") as place:
                    text = _write_card(store, run, name, bundle, checks, licence, Path(place))
                    version = _register(store, run, name)
                    store.client.log_model_artifacts(latest_model(store, run).model_id, place)
                store.client.update_model_version(name, version, text[:_DESCRIPTION_LENGTH])
                _check_unchanged(store, name, before)
                if before is not None and before != version:
                    store.client.set_registered_model_alias(name, PREVIOUS, before)
                store.client.set_registered_model_alias(name, CHAMPION, version)
        except (MlflowException, OSError) as error:
            raise TrackingError(
                "the promotion failed before its end",
                code="promotion-failed",
                where=f"{name} in {store.place}",
                found=first_line(error),
                expected=f"a register that can be written to; champion is version {before or 'none'} as before",
                remedy="see that the store works and has room, seglab doctor; then promote again",
            ) from error
        note(
            store,
            name,
            action="promote" if passed else "reject",
            registered=passed or before is not None,
            run=run.info.run_id,
            version=version,
            former=before,
            reason=reason,
            checks=[str(each) for each in checks],
            scores={key: value for key, value in run.data.metrics.items() if MetricName.parse(key).stage == TEST},
        )
    return Promotion(passed, checks, version, before)


def rollback(store: Store, name: str, *, reason: str = "") -> tuple[str, str]:
    """Swap `champion` and `previous`; returns the versions that are now champion and previous.

    Raises:
        TrackingError: the name has no champion or no previous one.
    """
    store.check_writable()
    with _alone(store, name):
        versions = {alias: _aliased(store, name, alias) for alias in (CHAMPION, PREVIOUS)}
        lacking = [alias for alias, version in versions.items() if version is None]
        if lacking:
            raise TrackingError(
                "nothing to roll back to",
                code="promotion-rollback",
                where=f"registered model {name}",
                found=f"no alias {' and no alias '.join(lacking)}",
                expected="a champion and the one before it",
                remedy="promote a second run first: seglab promote run=<id> name=" + name,
            )
        now, before = str(versions[PREVIOUS].version), str(versions[CHAMPION].version)
        store.client.set_registered_model_alias(name, CHAMPION, now)
        store.client.set_registered_model_alias(name, PREVIOUS, before)
        note(
            store,
            name,
            action="rollback",
            registered=True,
            run=versions[PREVIOUS].run_id,
            version=now,
            former=before,
            reason=reason,
        )
    return now, before


def _alone(store: Store, name: str) -> AbstractContextManager[None]:
    file = store.directory / f".promotion-{file_name(name)}.lock"
    return waited_for(file, _LOCK_SECONDS, f"another promotion of {name} is under way")


def _aliased(store: Store, name: str, alias: str) -> Any:
    """The version under an alias, None when name or alias is not there."""
    try:
        return store.client.get_model_version_by_alias(name, alias)
    except MlflowException as error:
        if error.error_code in _UNKNOWN:
            return None
        raise TrackingError(
            "the model registry does not answer",
            code="register-unreadable",
            where=f"{name}@{alias} in {store.place}",
            found=first_line(error),
            remedy="see that the store works: seglab doctor; then start again",
        ) from error


def _check_unchanged(store: Store, name: str, before: str | None) -> None:
    """See that the champion is still the version that the run was held against."""
    now = _aliased(store, name, CHAMPION)
    if (None if now is None else str(now.version)) != before:
        raise TrackingError(
            "the champion was changed from another machine meanwhile",
            code="promotion-raced",
            where=f"{name}@{CHAMPION} in {store.place}",
            found="none" if now is None else f"version {now.version}, of run {now.run_id}",
            expected=f"version {before}, which this run was compared with" if before else "none, as before",
            remedy="promote again: the run is then compared with the new champion",
        )


def _contender(store: Store, run: Run, gate: Gate) -> Contender:
    cases = {}
    for file in gate.tables:
        with suppress(TrackingError):
            cases[file] = read_table(run_file(store, run, file))
    return Contender(run.data.metrics, run.data.tags, cases)


def _same_classes(store: Store, bundle: Bundle, champion: Run) -> RuleResult:
    """Who asks for `models:/<name>@champion` counts on its classes: what is 1 must not come to mean something else."""
    words = "channels and classes are the champion's"
    try:
        before = read_bundle(resolve_bundle(champion.info.run_id, store.uri, store.directory).folder).task
    except (TrackingError, DataError) as error:
        return RuleResult(words, f"not known, for the champion has {error.what}", True)
    mine = bundle.task
    regions = map(mine.region_sentence, mine.regions)
    return RuleResult(
        words,
        f"{mine.rank}D, {mine.channels} channel(s), {', '.join((*mine.class_names, *regions))}",
        (mine.rank, mine.channels, mine.class_names, mine.regions)
        == (before.rank, before.channels, before.class_names, before.regions),
    )


def _register(store: Store, run: Run, name: str) -> str:
    """The version of the run's model under `name`, made when there is none yet."""
    client, model = store.client, latest_model(store, run)
    if not client.search_registered_models(f"name = '{name}'"):
        client.create_registered_model(name)
    # Its place, not models:/<id>, which MLflow would look for in another store: that of its global setting.
    place = model.artifact_location
    same = [each for each in client.search_model_versions(f"name = '{name}'") if each.source == place]
    if same:
        return str(same[0].version)
    return str(client.create_model_version(name, place, run.info.run_id, model_id=model.model_id).version)


def _write_card(
    store: Store, run: Run, name: str, bundle: Bundle, checks: list[RuleResult], licence: str, folder: Path
) -> str:
    """Write the model card and its pictures into a folder; returns its text."""
    cases = pd.read_csv(run_file(store, run, Artifact.TEST_CASES), converters={"id": str})  # an id may read NA
    cases["id"] = cases["id"].map(from_cell)
    lacking = [column for name in bundle.task.score_names if (column := of_class("dice", name)) not in cases]
    if lacking:
        raise TrackingError(
            "a table of test cases that does not fit its model",
            code="case-table-mismatch",
            where=f"{Artifact.TEST_CASES} of run {run.info.run_id} ({run.info.run_name})",
            found=f"no {', no '.join(lacking)}",
            expected=f"scores of {', '.join(bundle.task.score_names)}",
            remedy="restore the run's own table from a copy, or choose another run",
        )
    for picture in _PICTURES:
        with suppress(TrackingError):
            shutil.copyfile(run_file(store, run, f"{Artifact.PICTURES}/{picture}"), folder / picture)
    text = model_card(
        name=name,
        run_id=run.info.run_id,
        run_name=run.info.run_name,
        tags=dict(run.data.tags),
        params=current_params(run.data.params),
        bundle=bundle,
        cases=cases,
        checks=checks,
        licence=licence,
        pictures=sorted(path.name for path in folder.iterdir()),
    )
    (folder / Artifact.MODEL_CARD).write_text(text, encoding="utf-8")
    return text
