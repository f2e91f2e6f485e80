"""What the service counts, as Prometheus reads it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from seglab.inference.plausibility import RULES
from seglab.serving.queueing import InferenceThread
from seglab.serving.served import ServedModel

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_INFO = ("name", "version", "digest", "runtime", "precision")
_SHARES = (0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.925, 0.95, 0.975, 0.99, 1)


class Telemetry:
    """Counters of one service.

    Args:
        worker: whose queue is looked at when somebody asks.
    """

    def __init__(self, worker: InferenceThread):
        registry = self.registry = CollectorRegistry()
        self.requests = Counter("seglab_requests", "Requests.", ["route", "status"], registry=registry)
        self.seconds = Histogram(
            "seglab_request_seconds", "From the first byte of a request to the last of its answer.", ["route"],
            buckets=_SECONDS, registry=registry,
        )  # fmt: skip
        self.stages = Histogram(
            "seglab_stage_seconds", "Of each stage of a prediction.", ["stage"], buckets=_SECONDS, registry=registry
        )
        self.windows = Counter("seglab_windows", "Windows that the network was given.", registry=registry)
        self.pixels = Counter("seglab_pixels", "Predicted pixels or voxels.", ["class_name"], registry=registry)
        self.empty = Counter("seglab_empty_masks", "Masks of one class alone.", registry=registry)
        self.confidence = Histogram(
            "seglab_confidence", "Mean probability of the classes that were chosen, of each mask.",
            buckets=_SHARES, registry=registry,
        )  # fmt: skip
        self.masks = Counter("seglab_masks", "Masks that were predicted.", registry=registry)
        self.refused = Counter("seglab_refused", "Requests that were refused, by code.", ["code"], registry=registry)
        self.abandoned = Counter("seglab_abandoned", "Requests whose client had left.", registry=registry)
        waiting = Gauge("seglab_queue_length", "Requests that wait for the model.", registry=registry)
        waiting.set_function(lambda: worker.waiting)
        busy = Gauge("seglab_in_flight", "Requests that are being computed.", registry=registry)
        busy.set_function(lambda: worker.busy)
        self.ready = Gauge("seglab_ready", "1 while new requests are welcome.", registry=registry)
        self._info = Gauge("seglab_model_info", "The model.", _INFO, registry=registry)
        self.swaps = Counter("seglab_swaps", "Models that were to take over.", ["outcome"], registry=registry)
        self.restarts = Counter(
            "seglab_model_restarts", "Processes of the model that ended and were begun anew.", registry=registry
        )
        for outcome in ("taken", "refused"):
            self.swaps.labels(outcome)
        self.rows_written = Counter("seglab_rows_written", "Rows of requests that were kept.", registry=registry)
        self.rows_lost = Counter(
            "seglab_rows_lost",
            "Rows of requests that could not be kept; the requests were answered.",
            registry=registry,
        )
        self.quality = Histogram(
            "seglab_predicted_dice", "Dice that each mask is likely to have, where the model predicts it.",
            buckets=_SHARES, registry=registry,
        )  # fmt: skip
        self.implausible = Counter(
            "seglab_implausible_masks", "Masks that break a rule: empty, full, area.", ["rule"], registry=registry
        )
        for rule in RULES:
            self.implausible.labels(rule)
        started = Gauge("seglab_start_time_seconds", "When the service began, since 1970.", registry=registry)
        started.set(time.time())
        self._pixels: list[Counter] = []

    def begun(self, model: ServedModel) -> None:
        """A model is served from the beginning."""
        self._info.labels(*_info(model)).set(1)
        self._pixels = [self.pixels.labels(name) for name in model.task.class_names]

    def predicted(self, stages: Mapping[str, float], fields: Mapping[str, Any]) -> None:
        """Count a prediction.

        Args:
            stages: seconds of each.
            fields: counts that the process of the model gives.
        """
        for stage, took in stages.items():
            self.stages.labels(stage).observe(took)
        self.windows.inc(fields["windows"])
        for counter, count in zip(self._pixels, fields["pixels"], strict=True):
            counter.inc(count)
        self.masks.inc()
        self.empty.inc(sum(1 for count in fields["pixels"] if count) == 1)
        self.confidence.observe(fields["confidence"])
        if fields["quality"] is not None:
            self.quality.observe(fields["quality"])

    def measured(self, later: Mapping[str, Any]) -> None:
        """Count what the process of the model told after an answer; empty where it measures nothing."""
        if not later:
            return
        self.stages.labels("measure").observe(later["seconds"])
        for rule in later["measured"]["implausible"]:
            self.implausible.labels(rule).inc()

    def swapped(self, model: ServedModel, former: ServedModel) -> None:
        """Another model has taken over."""
        self._info.remove(*_info(former))
        self._info.labels(*_info(model)).set(1)
        self.swaps.labels("taken").inc()

    def page(self) -> bytes:
        """What `/metrics` answers."""
        return generate_latest(self.registry)


def _info(model: ServedModel) -> tuple[str, ...]:
    return model.name, model.version, model.number, model.runtime, model.precision
