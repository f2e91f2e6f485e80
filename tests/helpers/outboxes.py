"""Shared by the tests of the outbox: a box, and a store that can be away."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import (
    INVALID_PARAMETER_VALUE,
    TEMPORARILY_UNAVAILABLE,
)

from seglab.tracking.outbox import Outbox

GONE = MlflowException("API request failed: connection refused", TEMPORARILY_UNAVAILABLE)


WRONG = MlflowException("Invalid metric name", INVALID_PARAMETER_VALUE)


class FakeClient:
    """Remembers what it is told; raises what it is told to raise, by the step of a metric."""

    def __init__(self) -> None:
        self.seen: list[Any] = []
        self.errors: dict[int, Exception] = {}
        self.away = False

    def log_batch(self, run_id: str, metrics: Any = (), tags: Any = ()) -> None:
        if self.away:
            raise GONE
        for metric in metrics:
            if metric.step in self.errors:
                raise self.errors[metric.step]
            self.seen.append((metric.key, metric.step, metric.value))
        self.seen += [(tag.key, tag.value) for tag in tags]

    def log_artifacts(self, run_id: str, folder: str, path: str | None) -> None:
        self.seen.append((path, sorted(one.name for one in Path(folder).iterdir())))

    def set_terminated(self, run_id: str, status: str, end_time: int) -> None:
        if self.away:
            raise GONE
        self.seen.append(status)


@pytest.fixture
def box(tmp_path: Path) -> Outbox:
    return Outbox(tmp_path / "runs" / "r1" / "outbox", "r1", "http://host:1")
