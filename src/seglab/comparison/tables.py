"""The scores of the cases, which each run keeps among its artifacts."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

import numpy as np
import pyarrow as pa
from pyarrow import csv

from seglab.comparison.runs import Run
from seglab.tracking.client import MlflowException
from seglab.tracking.store import Store

FILE = "test_cases.csv"
_THREADS = 8


@dataclass(frozen=True)
class CaseTable:
    """Scores of the test cases of one run.

    Attributes:
        ids: of the cases.
        groups: the group of each.
        scores: by the column's name, NaN where the case has none.
    """

    ids: list[str]
    groups: list[str]
    scores: Mapping[str, np.ndarray]


def read_tables(store: Store, runs: Sequence[Run]) -> tuple[dict[str, CaseTable], dict[str, str]]:
    """Tables by run id, and for each run without one the reason.

    Files of an embedded store are read where they lie, also when the folder was moved; a server is asked for them.
    """

    def read(run: Run) -> CaseTable | str:
        try:
            folder = local_artifacts(store, run.artifacts)
            if folder is not None:
                return read_table(folder / FILE)
            with tempfile.TemporaryDirectory() as target:
                return read_table(Path(store.client.download_artifacts(run.id, FILE, target)))
        except (OSError, MlflowException):
            return f"its {FILE} is not there: it was deleted, or the run had no test cases"
        except (pa.ArrowInvalid, KeyError) as error:
            return f"its {FILE} cannot be read: {error}"

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
    ids = columns.pop("id").to_pylist()
    groups = columns.pop("group").to_pylist() if "group" in columns else ids
    scores = {
        name: column.cast(pa.float64()).to_numpy()
        for name, column in columns.items()
        if pa.types.is_integer(column.type) or pa.types.is_floating(column.type) or pa.types.is_null(column.type)
    }
    return CaseTable(ids, groups, scores)


def local_artifacts(store: Store, address: str) -> Path | None:
    """The folder of a run's artifacts on this machine, None when a server or another service keeps them.

    Addresses in a store are absolute; when the folder of the store was moved, they are looked up beside its database.
    """
    parts = urlsplit(address)
    if parts.scheme not in ("", "file"):
        return None
    folder = Path(unquote(parts.path))
    beside = store.directory / "artifacts" / Path(*folder.parts[-3:])  # <experiment>/<run id>/artifacts
    return beside if not folder.exists() and beside.exists() else folder
