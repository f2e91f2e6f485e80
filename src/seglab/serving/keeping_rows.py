"""What the service keeps of each request: a row, on its way while the answer is."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Mapping
from typing import Any

from seglab.monitoring.row_recording import KINDS, prediction_row, prompt_row, unit_of
from seglab.monitoring.writer import RowWriter
from seglab.safety.secrets import redacted
from seglab.serving.served import ServedModel
from seglab.serving.service_log import log_line
from seglab.serving.telemetry import Telemetry

_SILENT_SECONDS = 60.0  # between two lines that say the same


class Rows:
    """Rows of one service.

    Args:
        place: of the database; empty where none are kept.
        telemetry: that counts what was kept and what was lost.

    Attributes:
        place: as it was given.

    Raises:
        DataError: rows of a later seglab are there.
    """

    def __init__(self, place: str, telemetry: Telemetry):
        self.place, self._telemetry = place, telemetry
        self._model: ServedModel | None = None
        self._logged, self._logged_at, self._lock = "", 0.0, threading.Lock()
        self._writer = RowWriter(place, self._lost, self._telemetry.rows_written.inc) if place else None

    def model(self, served: ServedModel, watched: Mapping[str, Any]) -> None:
        """A model answers from now on."""
        self._model = served
        row = {"at": round(time.time(), 3), "digest": served.digest, "model": served.label}
        self.add("models", {**row, "description": json.dumps(watched)})

    def request(self, state: Mapping[str, Any], route: str, status: int, seconds: float) -> None:
        """A request is over.

        Args:
            state: of the request: `request_id`, `unit`, the `log_fields`, and where a model answered that
                `model` and what is `measured`, a future of what is told later; else the present model counts, and
                without any there is no row.
            route: whose kinds are in `KINDS`; of others there are no rows here.
            status: of the answer.
            seconds: it took.
        """
        model = state.get("model", self._model)
        if self._writer is None or route not in KINDS or model is None:
            return
        names = {"label": model.label, "version": model.version, "digest": model.digest}
        unit, request_id, log_fields = unit_of(state.get("unit", "")), state["request_id"], state["log_fields"]

        def keep(later: Mapping[str, Any]) -> None:
            noted = dict(log_fields)
            if later:
                noted["stages_ms"] = {**log_fields["stages_ms"], "measure": round(later["seconds"] * 1000, 2)}
            measured = later.get("measured", {})
            self.add(
                "predictions", prediction_row(KINDS[route], request_id, unit, names, status, seconds, noted, measured)
            )

        if "measured" in state:
            state["measured"].add_done_callback(lambda one: keep(one.result()))
        else:
            keep({})

    def prompt(self, event: str, request_id: str, model: str, seconds: float, fields: Mapping[str, Any]) -> None:
        """Something happened in a session; see `prompt_row`."""
        self.add("prompts", prompt_row(event, request_id, model, seconds, fields))

    def add(self, table: str, row: Mapping[str, Any]) -> None:
        """Keep a row of a table, where rows are kept."""
        if self._writer is not None:
            self._writer.add(table, row)

    def close(self) -> None:
        """Write what waits."""
        if self._writer is not None:
            self._writer.close()

    def _lost(self, count: int, why: str) -> None:
        self._telemetry.rows_lost.inc(count)
        with self._lock:
            now = time.monotonic()
            silent = not why or (why == self._logged and now < self._logged_at + _SILENT_SECONDS)
            if not silent:
                self._logged, self._logged_at = why, now
        if not silent:
            log_line(event="rows-unwritten", place=redacted(self.place), detail=redacted(why))
