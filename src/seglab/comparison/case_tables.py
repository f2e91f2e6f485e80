"""The scores of the cases, which each run keeps among its artifacts."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from pyarrow import csv

from seglab.comparison.runs import StoredRun
from seglab.errors import ConfigError
from seglab.metric_names import EVAL, TEST, Column, MetricName, metric_name
from seglab.metrics.shape_scores import ASSD, HD95, LESION_COUNTS
from seglab.run_record import Artifact
from seglab.safety.shown_text import from_cell
from seglab.tracking.bundles import local_path
from seglab.tracking.mlflow_client import MlflowException
from seglab.tracking.store import Store

# A volume error has a sign, for too much and too little; how wrong a volume is, is its size.
_SIGNED, _SIZE = "volume_error", "volume_error_abs"
# Scores of which less is better; everything else grows with quality, but for the counts, which are no scores.
_LOWER_IS_BETTER = (HD95, ASSD, _SIZE, "seconds", *(f"noc_{percent}" for percent in (80, 85, 90, 95)), "fall_share")
_COUNTS = ("true", "predicted", *LESION_COUNTS)
_THREADS = 8


class Score(NamedTuple):
    """Where a metric's values for each case are kept.

    Attributes:
        prefix: of the metric's name, such as `test_`.
        column: of the table: the rest of the name.
        file: the table, among the run's artifacts.
    """

    prefix: str
    column: str
    file: str


def locate(metric: str) -> Score:
    """`test_<score>` of the end of a training, `eval_<split>_<score>` or `eval_<data>-<split>_<score>` of a later one.

    Raises:
        ConfigError: neither of both.
    """
    name = MetricName.parse(metric)
    if name.stage == EVAL:
        return Score(name.prefix, str(name.column), Artifact.evaluated_cases(name.evaluated))
    if name.stage == TEST:
        return Score(name.prefix, str(name.column), Artifact.TEST_CASES)
    raise ConfigError(
        "a score that is not kept for each case",
        code="score-not-per-case",
        where="metric",
        found=metric,
        expected="test_<score>, such as test_dice, or eval_<split>_<score> after seglab evaluate",
        remedy="metric=test_dice",
    )


def ranking_metric(metric: str) -> str:
    """The metric that a comparison ranks by: of the volume error, which has a sign, `volume_error_abs`, its size."""
    score = locate(metric)
    column = Column.parse(score.column)
    return score.prefix + str(column._replace(score=_SIZE) if column.score == _SIGNED else column)


def lower_is_better(metric: str) -> bool:
    """Whether less of this score is better, by its name."""
    return Column.parse(locate(metric).column).score in _LOWER_IS_BETTER


def unit_range(column: str) -> tuple[float, float] | None:
    """Least and greatest value of a score that is a share; None for distances and the like."""
    kind = Column.parse(column).score
    return None if kind in _LOWER_IS_BETTER or kind == _SIGNED else (0.0, 1.0)


@dataclass(frozen=True)
class CaseTable:
    """Scores of the test cases of one run.

    Attributes:
        ids: of the cases.
        groups: the group of each.
        scores: by the column's name, NaN where the case has none; of the volume error its size; counts are none.
        true, predicted: by class, how many pixels truth and prediction hold; empty for a table without them.
    """

    ids: list[str]
    groups: list[str]
    scores: Mapping[str, np.ndarray]
    true: Mapping[str, np.ndarray] = field(default_factory=dict)
    predicted: Mapping[str, np.ndarray] = field(default_factory=dict)

    def one_sided(self, column: str) -> tuple[np.ndarray, np.ndarray]:
        """In how many classes of a score truth alone holds something (missed) and prediction alone (false alarm).

        Args:
            column: the score; of a mean over classes each of them counts.

        Returns:
            Two arrays, one number a case; zeros where the table has no counts.
        """
        of = Column.parse(column).of
        names = [name for name in self.true if name in self.predicted and of in (None, name)]
        missed, alarms = np.zeros(len(self.ids), int), np.zeros(len(self.ids), int)
        for name in names:
            there, found = self.true[name] > 0, self.predicted[name] > 0
            missed += there & ~found
            alarms += found & ~there
        return missed, alarms


def column_of(table: CaseTable, column: str) -> str:
    """The table's own name of a column, which may be asked for as the store spells it: `dice/_5mm` for `dice/<5mm`."""
    stored = {metric_name(name): name for name in table.scores}
    return column if column in table.scores else stored.get(metric_name(column), column)


def read_tables(store: Store, runs: Sequence[StoredRun], file: str) -> tuple[dict[str, CaseTable], dict[str, str]]:
    """Tables by run id, and for each run without one the reason.

    Files of an embedded store are read where they lie, also when the folder was moved; a server is asked for them.
    """

    def read(run: StoredRun) -> CaseTable | str:
        try:
            folder = local_path(store, run.artifacts)
            if folder is not None:
                return read_table(folder / file)
            with tempfile.TemporaryDirectory() as target:
                return read_table(Path(store.client.download_artifacts(run.id, file, target)))
        except (OSError, MlflowException):
            return f"its {file} is not there: it was deleted, or the run had no such cases"
        except (pa.ArrowInvalid, KeyError) as error:
            return f"its {file} cannot be read: {error}"

    with ThreadPoolExecutor(_THREADS) as pool:
        results = dict(zip([run.id for run in runs], pool.map(read, runs), strict=True))
    return (
        {run_id: found for run_id, found in results.items() if isinstance(found, CaseTable)},
        {run_id: found for run_id, found in results.items() if isinstance(found, str)},
    )


def read_table(path: Path) -> CaseTable:
    """A table as a run has logged it; raises OSError, `pyarrow.ArrowInvalid` or KeyError for what is none."""
    options = csv.ConvertOptions(column_types={"id": pa.string(), "group": pa.string()})
    table = csv.read_csv(path, read_options=csv.ReadOptions(use_threads=False), convert_options=options)
    columns = {name: table.column(name) for name in table.column_names}
    ids = _names(columns.pop("id"))
    groups = _names(columns.pop("group")) if "group" in columns else ids
    scores: dict[str, np.ndarray] = {}
    counts: dict[str, dict[str, np.ndarray]] = {count: {} for count in ("true", "predicted")}
    for name, column in columns.items():
        kind, of = Column.parse(name)
        number = pa.types.is_integer(column.type) or pa.types.is_floating(column.type) or pa.types.is_null(column.type)
        if number and kind in counts and of is not None:
            counts[kind][of] = column.cast(pa.float64()).to_numpy()
        elif number and kind not in _COUNTS:
            values = column.cast(pa.float64()).to_numpy()
            scores |= {str(Column(_SIZE, of)): np.abs(values)} if kind == _SIGNED else {name: values}
    return CaseTable(ids, groups, scores, counts["true"], counts["predicted"])


def _names(column: Any) -> list[Any]:
    return [name if name is None else from_cell(name) for name in column.to_pylist()]
