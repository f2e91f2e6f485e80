"""Drift of the newest answers in the metrics: looked for every so often by a thread of its own, which no request waits
for."""

from __future__ import annotations

import threading

from prometheus_client import Gauge

from seglab.errors import SeglabError
from seglab.monitoring.drift import Drift, Feature
from seglab.monitoring.newest_answers import newest_drift
from seglab.serving.service import Service
from seglab.serving.service_log import log_line

ALPHA, WINDOW = 0.01, 200
NEWS = 20  # rows that have to have come since the last look


class Drifting:
    """A thread that looks at the rows of a service.

    Args:
        service: whose model is looked at; it ends with it.
        seconds: between two looks.
    """

    def __init__(self, service: Service, seconds: float):
        self._service, self._seconds = service, seconds
        registry, labels = service.telemetry.registry, ["kind", "feature"]
        self._units = Gauge("seglab_drift_units", "In the window that drift was last looked for in.", registry=registry)
        self._statistic = Gauge(
            "seglab_drift_statistic", "Largest difference of the shares below a value, now and in training.", labels,
            registry=registry,
        )  # fmt: skip
        self._p = Gauge("seglab_drift_p", "Probability of that where nothing has changed.", labels, registry=registry)
        self._changed = Gauge(
            "seglab_drift_changed", "1 where it has changed, at a false discovery rate of 0.01.", labels,
            registry=registry,
        )  # fmt: skip
        self._of, self._after, self._logged = "", 0, ""
        self._over = threading.Event()
        service.ends.callback(self._over.set)
        self._thread = threading.Thread(target=self._loop, name="drift", daemon=True)
        self._thread.start()

    def _loop(self) -> None:
        while not self._over.wait(self._seconds):
            digest = self._service.model.digest
            if digest != self._of:
                self._forget(digest)
            try:
                self._after, drift = newest_drift(self._service.rows.place, digest, self._after, NEWS, ALPHA, WINDOW)
            except SeglabError as error:  # what keeps rows from being written is told of where they are
                why = f"{error.what}; {error.found}"[:300]
                if self._logged != why:
                    log_line(event="drift-unknown", detail=why)
                self._logged = why
            else:
                if drift is not None:
                    self._tell(drift)

    def _forget(self, digest: str) -> None:
        """Another model answers: what is known is of the former one."""
        self._of, self._after = digest, 0
        self._units.set(0)
        for gauge in (self._statistic, self._p, self._changed):
            gauge.clear()

    def _tell(self, drift: Drift) -> None:
        self._units.set(drift.units)
        for one in drift.features:
            self._feature(one, one in drift.changed)
        if drift.quality:
            self._feature(drift.quality, drift.worse)

    def _feature(self, one: Feature, changed: bool) -> None:
        self._statistic.labels(one.kind, one.name).set(one.distance)
        self._p.labels(one.kind, one.name).set(one.p)
        self._changed.labels(one.kind, one.name).set(changed)
