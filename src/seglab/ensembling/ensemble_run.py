"""The chosen ensemble as a run of the store: bundle, scores of cases that its networks never saw, and why it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from seglab.comparison.runs import StoredRun
from seglab.config.sections import TrackingSettings
from seglab.data.previous_stage import PreviousStage
from seglab.ensembling.changes import Change
from seglab.ensembling.ensembling import Chosen, EnsembleRequest
from seglab.inference.bundle import read_bundle
from seglab.inference.ensembles import predictor_of, save_ensemble
from seglab.inference.model_usage import readme, usage
from seglab.inference.pyfunc import input_example
from seglab.metric_names import TEST_DICE
from seglab.number_format import difference, interval, p_value, score
from seglab.run_record import Artifact, RunRecord, Tag, WorkFile
from seglab.runtime.code_version import code_version
from seglab.safety.shown_text import in_table
from seglab.safety.untrusted_files import read_yaml
from seglab.tracking.bundles import find_bundle, run_file
from seglab.tracking.store import Store
from seglab.tracking.tracker import Tracker

_HEARTBEAT_SECONDS = 30.0
_SAME = (Tag.DATA_DIGEST, Tag.DATA_LICENCE, Tag.PRECISION)
_OF_ONE_RUN = ("data.fold", "run_name")


@dataclass(frozen=True)
class EnsembleRun:
    """The run that was made.

    Attributes:
        run_id, run_name: of it.
        bundle: where its bundle lies.
    """

    run_id: str
    run_name: str
    bundle: Path


def record(chosen: Chosen, request: EnsembleRequest, store: Store) -> EnsembleRun:
    """Write the bundle and its run.

    Raises:
        DataError: members that cannot be averaged, or are damaged.
        TrackingError: the store cannot be written to.
    """
    runs = [
        run
        for number in chosen.candidate.configurations
        for run in chosen.validation.configurations[number].runs.values()
    ]
    name = f"{request.study or 'ensemble'}_of_{len(chosen.members)}"
    with Tracker(
        _settings(store, runs[0]),
        store.directory,
        run_name=name,
        params=_shared(runs),
        tags=_tags(chosen, request, runs),
    ) as tracker:
        folder = save_ensemble(
            tracker.work_dir / WorkFile.BUNDLE,
            chosen.members,
            split_digest=chosen.split.digest(),
            flips=chosen.axes,
            postprocessing=chosen.tried.steps,
            first_stage=_first_stage(chosen),
        )
        bundle = read_bundle(folder)
        predictor, example = predictor_of(folder, bundle), input_example(bundle)
        tracker.log_bundle(
            folder,
            example=example,
            prediction=predictor.predict(example[0], predictor.example_spacing)[None],
            usage=usage(bundle),
            readme=readme(bundle),
        )
        tracker.log_text(chosen.split.to_json(), Artifact.SPLIT)
        tracker.log_text(_config(store, runs[0]), Artifact.CONFIG)
        tracker.log_table(chosen.cases, Artifact.TEST_CASES)
        tracker.log_table(_members(chosen), f"{Artifact.ENSEMBLE}/members.csv")
        for file, rows in (("candidates", candidate_rows(chosen)), ("changes", change_rows(chosen))):
            tracker.log_table(pd.DataFrame(rows), f"{Artifact.ENSEMBLE}/{file}.csv")
        page = ensemble_page(chosen, name)
        tracker.log_text(page, f"{Artifact.ENSEMBLE}/ensemble.md")
        tracker.describe(page)
        tracker.emit(chosen.metrics, 0)
    return EnsembleRun(tracker.run_id, name, find_bundle(tracker.run_id, store.uri, store.directory))


def _first_stage(chosen: Chosen) -> Path | None:
    """The bundle of the first stage, where the members are the second stage of a cascade.

    Raises:
        DataError: it is not the one that its masks came with.
    """
    previous: PreviousStage | None = getattr(chosen.subjects.of[0, chosen.subjects.places[0]].source, "previous", None)
    return None if previous is None else previous.checked_bundle()


def candidate_rows(chosen: Chosen) -> list[dict[str, Any]]:
    """A row for each configuration and ensemble, the simplest first."""
    rows = []
    for number, (one, standing) in enumerate(zip(chosen.selection.candidates, chosen.selection.ranking, strict=True)):
        rows.append(
            {
                "candidate": one.label,
                "networks a case": len(one.configurations),
                "parameters": one.parameters,
                "dice": float(chosen.selection.ranking.means[number]),
                "difference": standing.difference,
                "low": standing.low,
                "high": standing.high,
                "p": standing.p,
                "cases": standing.cases,
                "verdict": standing.verdict,
                "chosen": number == chosen.selection.chosen,
            }
        )
    return rows


def changes_of(chosen: Chosen) -> list[Change]:
    """Flips, if they were tried, and the steps."""
    return [*([chosen.flips] if chosen.flips else []), *chosen.tried.changes]


def change_rows(chosen: Chosen) -> list[dict[str, Any]]:
    """A row for each change that was tried."""
    return [
        {
            "change": one.label,
            "score": one.score,
            "gain": one.gain.difference,
            "low": one.gain.low,
            "high": one.gain.high,
            "p": one.gain.p,
            "cost": one.cost,
            "taken": one.taken,
        }
        for one in changes_of(chosen)
    ]


def ensemble_page(chosen: Chosen, name: str) -> str:
    """The same as a page of Markdown."""
    rows = [
        (
            in_table(row["candidate"]),
            str(row["networks a case"]),
            f"{row['parameters']:,}",
            score(row["dice"]),
            "–" if standing.verdict == "best" else f"{difference(standing)} {interval(standing)}",
            standing.verdict,
            "chosen" if row["chosen"] else "",
        )
        for row, standing in zip(candidate_rows(chosen), chosen.selection.ranking, strict=True)
    ]
    head = ("candidate", "networks a case", "weights", "Dice", "less the best", "verdict", "")
    lines = [f"# {name}", "", *_opening(chosen), "", "## Candidates", "", *_table(head, rows)]
    changes = [
        (
            in_table(one.label),
            in_table(one.score),
            f"{difference(one.gain)} {interval(one.gain)}",
            p_value(one.gain.p),
            f"{one.cost:.1f} ×",
            "taken" if one.taken else "",
        )
        for one in changes_of(chosen)
    ]
    if changes:
        lines += ["", "## Changes", "", *_table(("change", "score", "gain", "p", "time", ""), changes)]
    if chosen.notes:
        lines += ["", "## To know", "", *(f"- {note}" for note in chosen.notes)]
    return "\n".join([*lines, ""])


def _opening(chosen: Chosen) -> list[str]:
    count, cases = len(chosen.members), len(chosen.subjects.cases)
    dice = score(chosen.metrics.get(TEST_DICE, float("nan")))
    return [
        f"The mean of {count} networks: {in_table(chosen.candidate.label)}, {chosen.validation.folds} folds. Chosen on "
        f"{cases} cases, each by networks that never saw it: the simplest that is not shown to be worse.",
        "",
        f"Dice by cross-validation {dice}: each case by the networks of its fold alone. "
        f"All {count} together were not scored, for no case is unseen by all of them.",
    ]


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    return [f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows)]


def _members(chosen: Chosen) -> pd.DataFrame:
    rows = []
    for number in chosen.candidate.configurations:
        one = chosen.validation.configurations[number]
        for (fold, seed), run in one.runs.items():
            rows.append({"configuration": one.label, "fold": fold, "seed": seed, "run": run.id, "name": run.name})
    return pd.DataFrame(rows)


def _settings(store: Store, run: StoredRun) -> TrackingSettings:
    experiment = store.client.get_experiment(store.run(run.id).info.experiment_id).name
    return TrackingSettings(
        uri=store.uri, experiment=experiment, system_metrics=False, heartbeat_seconds=_HEARTBEAT_SECONDS
    )


def _shared(runs: Sequence[StoredRun]) -> dict[str, str]:
    """The params that all members have alike."""
    first, *others = (run.params for run in runs)
    return {
        key: value
        for key, value in first.items()
        if key not in _OF_ONE_RUN and all(other.get(key) == value for other in others)
    }


def _tags(chosen: Chosen, request: EnsembleRequest, runs: Sequence[StoredRun]) -> dict[str, Any]:
    code = code_version(Path(__file__).parent)
    tags: dict[str, Any] = {
        Tag.ENSEMBLE_OF: request.study or ", ".join(request.runs),
        Tag.SPLIT_DIGEST: chosen.split.digest(),
        Tag.SEED: ", ".join(sorted({run.seed for run in runs})),
        Tag.PARAMETERS: sum(RunRecord.of(run).number(Tag.PARAMETERS) for run in runs),
        Tag.GIT_DIRTY: code.dirty,
        Tag.PROCESSOR_SECONDS: round(chosen.seconds, 1),
    }
    if code.commit:
        tags[Tag.GIT_COMMIT] = code.commit
    for tag in _SAME:
        values = {run.tags.get(tag, "") for run in runs}
        if len(values) == 1 and values != {""}:
            tags[tag] = values.pop()
    allowed = {RunRecord.of(run).data_allowed for run in runs} - {""}
    if allowed:
        tags[Tag.DATA_ALLOWED] = ", ".join(sorted({one for some in allowed for one in some.split(", ")}))
    return tags


def _config(store: Store, run: StoredRun) -> str:
    """Where the data lie, for whoever scores the ensemble on others: the config of a member, of no fold."""
    config = read_yaml(run_file(store, store.run(run.id), Artifact.CONFIG))
    if isinstance(config, Mapping) and isinstance(config.get("data"), dict):
        config["data"]["fold"] = None
    return yaml.safe_dump(config, sort_keys=False, allow_unicode=True)
