"""Rows on their way into the database: one thread writes them in batches, and no request waits for it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from seglab.errors import DataError
from seglab.monitoring.database import Database, opened
from seglab.monitoring.schema import TABLES, insertion

_HELD = 10_000  # rows that wait at most; what comes then is lost, and counted
_GATHERED_SECONDS = 0.5
_AGAIN_SECONDS = 30.0  # after a failure
_NEEDED = "models"  # rows that others are read by: they wait until there is a database


class RowWriter:
    """The thread and what waits for it.

    Args:
        place: as of `opened`.
        lost: called with how many rows could not be kept, and why; from any thread.
        written: called with how many were.

    Raises:
        DataError: rows of a later seglab are there. Whatever else is wrong goes to `lost`, and is tried again.
    """

    def __init__(self, place: str, lost: Callable[[int, str], None], written: Callable[[int], None]):
        self.place, self._lost, self._written = place, lost, written
        self._waiting: list[tuple[str, dict[str, Any]]] = []
        self._changed = threading.Condition()
        self._closed = threading.Event()
        self._database: Database | None = None
        self._not_before = 0.0
        self._open()
        self._thread = threading.Thread(target=self._loop, name="rows", daemon=True)
        self._thread.start()

    def add(self, table: str, row: Mapping[str, Any]) -> None:
        """Keep a row; at once, whatever becomes of it.

        Args:
            table: of `TABLES`.
            row: values of its columns; None where one is missing.
        """
        whole = {column: row.get(column) for column in TABLES[table]}
        with self._changed:
            full = len(self._waiting) >= _HELD or self._closed.is_set()
            if not full:
                self._waiting.append((table, whole))
                if len(self._waiting) == 1:
                    self._changed.notify()
        if full:
            self._lost(1, f"{_HELD:,} rows wait")

    def close(self, patience: float = 5.0) -> None:
        """Write what waits, and end; nobody waits longer than `patience` seconds."""
        with self._changed:
            self._closed.set()
            self._changed.notify()
        self._thread.join(patience)

    def _loop(self) -> None:
        while True:
            with self._changed:
                while not self._waiting and not self._closed.is_set():
                    self._changed.wait()
            self._closed.wait(_GATHERED_SECONDS)  # for more of them
            with self._changed:
                rows, self._waiting = self._waiting, []
                over = self._closed.is_set() and not rows
            if rows:
                self._write(rows)
            if over:
                break
        if self._database:
            self._database.close()

    def _write(self, rows: list[tuple[str, dict[str, Any]]]) -> None:
        if self._database is None and time.monotonic() >= self._not_before:
            try:
                self._open()
            except DataError as error:
                self._failed(error)
        if self._database is None:
            self._give_up(rows)
            return
        tables = dict.fromkeys(table for table, _ in rows)
        try:
            self._database.write([(insertion(table), [row for its, row in rows if its == table]) for table in tables])
        except Exception as error:
            self._failed(error)
            self._give_up(rows)
        else:
            self._written(len(rows))

    def _give_up(self, rows: list[tuple[str, dict[str, Any]]]) -> None:
        """Of rows that could not be written, forget those that nothing else depends on."""
        needed = [] if self._closed.is_set() else [row for row in rows if row[0] == _NEEDED]
        with self._changed:
            self._waiting = needed + self._waiting
        self._lost(len(rows) - len(needed), "")

    def _open(self) -> None:
        try:
            self._database = opened(self.place, write=True)
        except DataError:
            raise
        except Exception as error:
            self._failed(error)

    def _failed(self, error: Exception) -> None:
        """Go without a database for a while."""
        if self._database is not None:
            try:
                self._database.close()
            except Exception as second:  # of a database that is broken; what it says adds nothing
                del second
        self._database, self._not_before = None, time.monotonic() + _AGAIN_SECONDS
        self._lost(0, f"{type(error).__name__}: {error}".splitlines()[0][:300])
