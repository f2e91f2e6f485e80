"""Many runs read at once: from a database in a few queries however many they are, from a server page by page."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from mlflow.entities import Experiment, Metric, Param, Run, RunData, RunInfo, RunInputs, RunOutputs, RunTag
from mlflow.store.tracking.dbmodels.models import SqlLatestMetric, SqlParam, SqlRun, SqlTag
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore, _get_sqlalchemy_filter_clauses
from mlflow.utils.search_utils import SearchUtils
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from seglab.gc_pause import collector_at_rest
from seglab.run_record import Tag
from seglab.tracking.mlflow_client import MlflowClient

AT_ONCE = 1000
_ACTIVE = "active"


def database_of(client: MlflowClient) -> SqlAlchemyStore | None:
    """The database where this process reads it itself; None behind a server."""
    backend = client._tracking_client.store
    return backend if isinstance(backend, SqlAlchemyStore) else None


def experiments_of(client: MlflowClient) -> Iterator[Experiment]:
    """Every experiment that was not deleted."""
    token = None
    while True:
        page = client.search_experiments(max_results=AT_ONCE, page_token=token)
        yield from page
        token = page.token
        if not token:
            return


def read_runs(client: MlflowClient, filter_string: str = "", experiments: Sequence[str] | None = None) -> list[Run]:
    """Every run that the filter lets through, newest first, as MLflow's own search returns them.

    That search makes several objects of each param, tag and metric: of a thousand runs, seconds.

    Args:
        client: of the store.
        filter_string: in MLflow's language.
        experiments: ids; all when None.

    Raises:
        MlflowException: the store does not answer, or does not understand the filter.
    """
    ids = [one.experiment_id for one in experiments_of(client)] if experiments is None else list(experiments)
    if not ids:
        return []
    database = database_of(client)
    with collector_at_rest():
        if database is None:
            return list(_pages(client, filter_string, ids))
        with database.ManagedSessionMaker() as session:
            rows = session.execute(_chosen(database, session, filter_string, ids)).all()
            return [run for part in _parts(rows) for run in _whole(database, session, part)]


def count_by_status(client: MlflowClient) -> dict[str, int]:
    """How many runs are FINISHED, FAILED and so on.

    Raises:
        MlflowException: the store does not answer.
    """
    database = database_of(client)
    if database is None:
        return dict(Counter(run.info.status for run in read_runs(client)))
    ids = [int(one.experiment_id) for one in experiments_of(client)]
    counted: Any = select(SqlRun.status, func.count()).group_by(SqlRun.status)
    counted = counted.where(SqlRun.experiment_id.in_(ids), SqlRun.lifecycle_stage == _ACTIVE)
    with database.ManagedSessionMaker() as session:
        return {row[0]: row[1] for row in session.execute(counted)}


def _pages(client: MlflowClient, filter_string: str, experiments: list[str]) -> Iterator[Run]:
    token = None
    while True:
        page = client.search_runs(experiments, filter_string, max_results=AT_ONCE, page_token=token)
        yield from page
        token = page.token
        if not token:
            return


def _chosen(database: SqlAlchemyStore, session: Session, filter_string: str, experiments: list[str]) -> Any:
    """What MLflow's search asks for the rows of its runs, by its own reading of the filter."""
    parsed = SearchUtils.parse_search_filter(filter_string)
    own, joined, of_data = _get_sqlalchemy_filter_clauses(parsed, session, database._get_dialect())
    chosen = select(*SqlRun.__table__.columns).select_from(SqlRun)
    for one in joined:
        chosen = chosen.join(one)
    for one in of_data:
        chosen = chosen.join(one, SqlRun.run_uuid == one.c.destination_id)
    ids = [int(experiment) for experiment in experiments]
    chosen = chosen.where(SqlRun.experiment_id.in_(ids), SqlRun.lifecycle_stage == _ACTIVE, *own)
    return chosen.distinct().order_by(SqlRun.start_time.desc(), SqlRun.run_uuid)


def _whole(database: SqlAlchemyStore, session: Session, rows: Sequence[Any]) -> Iterator[Run]:
    ids = [row.run_uuid for row in rows]
    same: dict[str, str] = {}  # most keys and values are those of the other runs, too

    def of_each(table: Any, *columns: Any) -> dict[str, list[Any]]:
        found: dict[str, list[Any]] = defaultdict(list)
        for run, key, *rest in session.execute(
            select(table.run_uuid, table.key, *columns).where(table.run_uuid.in_(ids))
        ):
            found[run].append((same.setdefault(key, key), *rest))
        return found

    params, tags = of_each(SqlParam, SqlParam.value), of_each(SqlTag, SqlTag.value)
    last = SqlLatestMetric
    metrics = of_each(last, last.value, last.timestamp, last.step, last.is_nan)
    inputs = database._get_run_inputs(session=session, run_uuids=ids)
    outputs = database._get_model_outputs_bulk(run_ids=ids, session=session)
    for row, datasets in zip(rows, inputs, strict=True):
        run = row.run_uuid
        data = RunData(
            [Metric(key, float("nan") if nan else value, at, step) for key, value, at, step, nan in metrics[run]],
            [Param(key, same.setdefault(value, value)) for key, value in params[run]],
            [RunTag(key, same.setdefault(value, value)) for key, value in tags[run]],
        )
        info = RunInfo(
            run,
            str(row.experiment_id),
            row.user_id,
            row.status,
            row.start_time,
            row.end_time,
            row.lifecycle_stage,
            row.artifact_uri,
            row.name or data.tags.get(Tag.RUN_NAME),
        )
        yield Run(info, data, RunInputs(datasets), RunOutputs(outputs[run]))


def _parts(rows: Sequence[Any]) -> Iterable[Sequence[Any]]:
    return (rows[start : start + AT_ONCE] for start in range(0, len(rows), AT_ONCE))
