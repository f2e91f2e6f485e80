"""The runs to compare, read from the store in a few bulk queries however many they are."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import accumulate, product
from typing import Any

import numpy as np
import pandas as pd
from mlflow.entities import Run as MlflowRun
from mlflow.store.tracking.dbmodels.models import SqlMetric
from sqlalchemy import select

from seglab.comparison.settings import CompareSettings
from seglab.config.former_names import current_params
from seglab.errors import TrackingError
from seglab.metric_names import VAL_DICE, VAL_IOU, metric_name
from seglab.run_record import Metric, RunRecord, Tag
from seglab.tracking.reading import AT_ONCE, database_of
from seglab.tracking.selection import plain, runs_of_study, search
from seglab.tracking.store import Store

_THREADS = 8
# A run that seglab trained has this tag; a sweep's parent and the runs of other programs have not.


@dataclass(frozen=True)
class StoredRun:
    """One training run as the store holds it.

    Attributes:
        id, name, status: of the run.
        params, tags, metrics: as logged; of each metric the last value.
        artifacts: address of its artifacts.
        started: milliseconds since 1970.
        seconds: from start to end; None while it has no end.
        history: for a metric its epochs and values.
    """

    id: str
    name: str
    status: str
    params: Mapping[str, str]
    tags: Mapping[str, str]
    metrics: Mapping[str, float]
    artifacts: str
    started: int
    seconds: float | None
    history: dict[str, tuple[np.ndarray, np.ndarray]] = field(default_factory=dict)

    @property
    def seed(self) -> str:
        """The seed as logged, "?" when it was not."""
        return RunRecord.of(self).seed

    @property
    def short(self) -> str:
        """How it is called in a message."""
        return f"{self.id[:8]} ({self.name}, seed {self.seed})"

    def curve(self, metric: str) -> tuple[np.ndarray, np.ndarray]:
        """Epochs and values of a metric, both empty when it was not logged."""
        return self.history.get(metric, (np.zeros(0), np.zeros(0)))


@dataclass(frozen=True)
class FoundRuns:
    """What the choice of runs gave.

    Attributes:
        runs: finished training runs, oldest first.
        unfinished: training runs that failed, were killed, or still go on.
        parents: ids of the sweeps' runs that they are children of: of a study all, of a whole store the one that holds
            every run, if there is one, and none where some runs were chosen.
        foreign: how many runs were not made by seglab's training.
    """

    runs: list[StoredRun]
    unfinished: list[StoredRun]
    parents: list[str]
    foreign: int

    @property
    def together(self) -> int:
        """See `ran_together`."""
        return ran_together([*self.runs, *self.unfinished])


def find_runs(store: Store, settings: CompareSettings, watched: str = VAL_DICE) -> FoundRuns:
    """The runs that `settings` choose, with the histories a comparison needs.

    Args:
        store: where they are.
        settings: which.
        watched: the metric of the epochs that stands for the score.

    Raises:
        ConfigError: an unknown study or a filter that the store does not understand.
        TrackingError: an unknown run id, or nothing finished.
    """
    stored = _chosen(store, settings)
    parents = {run.data.tags[Tag.PARENT_RUN_ID] for run in stored if Tag.PARENT_RUN_ID in run.data.tags}
    children = [run for run in stored if run.info.run_id not in parents]
    ours = sorted((run for run in children if RunRecord.of(run).trained_here), key=lambda run: run.info.start_time)
    finished = [run for run in ours if run.info.status == "FINISHED"]
    if not finished:
        states = pd.Series([run.info.status for run in ours]).value_counts().to_dict()
        raise TrackingError(
            "no finished run to compare",
            code="too-few-runs",
            where=_choice(settings),
            found=", ".join(f"{count} {state}" for state, count in states.items()) or "no run at all",
            expected="two finished runs or more",
            remedy="train some: seglab train -m model=unet,unet_mini seed=0,1,2",
        )
    ids = [run.info.run_id for run in finished]
    keys = dict.fromkeys([VAL_DICE, VAL_IOU, watched, Metric.EPOCH_SECONDS, Metric.IMAGES_PER_SECOND])
    curves = histories(store, ids, list(keys))
    child_of = {run.data.tags.get(Tag.PARENT_RUN_ID) for run in ours}
    whole = settings.study or not (settings.runs or settings.filter or len(child_of) > 1)
    return FoundRuns(
        [_run(run, curves.get(run.info.run_id, {})) for run in finished],
        [_run(run, {}) for run in ours if run.info.status != "FINISHED"],
        sorted(parent for parent in child_of if parent) if whole else [],
        len(children) - len(ours),
    )


def histories(
    store: Store, run_ids: Sequence[str], keys: Sequence[str]
) -> dict[str, dict[str, tuple[np.ndarray, np.ndarray]]]:
    """For each run and metric its steps and values in the order of the steps.

    A database answers for a thousand runs at once; a server is asked for each run and metric, several at a time.
    """
    asked = {metric_name(key): key for key in keys}
    points: dict[tuple[str, str], tuple[list[int], list[float]]] = defaultdict(lambda: ([], []))
    database = database_of(store.client)
    if database is not None:
        columns = (SqlMetric.run_uuid, SqlMetric.key, SqlMetric.step, SqlMetric.value, SqlMetric.is_nan)
        with database.ManagedSessionMaker() as session:
            for ids in _parts(run_ids):
                wanted: Any = select(*columns).where(SqlMetric.run_uuid.in_(ids), SqlMetric.key.in_(list(asked)))
                for run, key, step, value, nan in session.execute(wanted):
                    steps, values = points[run, key]
                    steps.append(step)
                    values.append(np.nan if nan else value)
    else:
        with ThreadPoolExecutor(_THREADS) as pool:
            pairs = list(product(run_ids, asked))
            found_histories = pool.map(lambda pair: store.client.get_metric_history(*pair), pairs)
            for pair, found in zip(pairs, found_histories, strict=True):
                points[pair] = [point.step for point in found], [point.value for point in found]
    curves: dict[str, dict[str, tuple[np.ndarray, np.ndarray]]] = {}
    for (run, key), (steps, values) in points.items():
        if steps:
            order = np.argsort(steps, kind="stable")
            curves.setdefault(run, {})[asked[key]] = np.array(steps, float)[order], np.array(values, float)[order]
    return curves


def ran_together(runs: Iterable[StoredRun]) -> int:
    """The most of these runs that went on at one time on one machine, as their tag `host` names it.

    Of a run that was resumed it is not known when it stood still, and one without an end is not counted.
    """
    most = 0
    by_host: dict[str, list[StoredRun]] = {}
    for run in runs:
        if run.seconds is not None and not RunRecord.of(run).resumed:
            by_host.setdefault(run.tags.get(Tag.HOST, ""), []).append(run)
    for members in by_host.values():
        # An end comes before a beginning of the same millisecond.
        steps = [step for r in members for step in ((r.started, 1), (r.started + 1000 * (r.seconds or 0), -1))]
        most = max(most, *accumulate(change for _, change in sorted(steps)))
    return most


def _chosen(store: Store, settings: CompareSettings) -> list[MlflowRun]:
    if settings.runs:
        listed = ", ".join(f"'{plain(run, 'runs')}'" for run in settings.runs)
        by_id = {run.info.run_id: run for run in search(store, f"attributes.run_id IN ({listed})")}
        return [by_id[run] if run in by_id else store.run(run) for run in dict.fromkeys(settings.runs)]
    return runs_of_study(store, settings.study) if settings.study else search(store, settings.filter or "")


def _choice(settings: CompareSettings) -> str:
    for key in ("study", "runs", "filter"):
        if getattr(settings, key):
            return f"{key}={getattr(settings, key)}"
    return "every run of the store"


def _parts(run_ids: Sequence[str]) -> list[list[str]]:
    return [list(run_ids[start : start + AT_ONCE]) for start in range(0, len(run_ids), AT_ONCE)]


def _run(run: MlflowRun, history: dict[str, tuple[np.ndarray, np.ndarray]]) -> StoredRun:
    info = run.info
    return StoredRun(
        info.run_id,
        info.run_name,
        info.status,
        current_params(run.data.params),
        run.data.tags,
        run.data.metrics,
        info.artifact_uri,
        info.start_time,
        (info.end_time - info.start_time) / 1000 if info.end_time else None,
        history,
    )
