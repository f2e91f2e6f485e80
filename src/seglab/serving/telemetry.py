"""What the service counts, as Prometheus reads it, and one line of JSON in the log for each request."""

from __future__ import annotations

import json
import sys
import time
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from seglab.safety.shown_text import shown
from seglab.serving.model import ServedModel
from seglab.serving.queueing import Worker

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class Telemetry:
    """Counters of one service.

    Args:
        model: that is served.
        worker: whose queue is looked at when somebody asks.
    """

    def __init__(self, model: ServedModel, worker: Worker):
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
        self.refused = Counter("seglab_refused", "Requests that were refused, by code.", ["code"], registry=registry)
        self.abandoned = Counter("seglab_abandoned", "Requests whose client had left.", registry=registry)
        waiting = Gauge("seglab_queue_length", "Requests that wait for the model.", registry=registry)
        waiting.set_function(lambda: worker.waiting)
        busy = Gauge("seglab_in_flight", "Requests that are being computed.", registry=registry)
        busy.set_function(lambda: worker.busy)
        self.ready = Gauge("seglab_ready", "1 while new requests are welcome.", registry=registry)
        told = Gauge("seglab_model_info", "The model.", ["name", "digest", "runtime", "precision"], registry=registry)
        told.labels(model.name, model.digest[:12], model.runtime, model.precision).set(1)
        started = Gauge("seglab_start_time_seconds", "When the service began, since 1970.", registry=registry)
        started.set(time.time())
        self._names = model.bundle.task.class_names

    def predicted(self, seconds: dict[str, float], windows: int, pixels: list[int]) -> None:
        """Count a prediction."""
        for stage, took in seconds.items():
            self.stages.labels(stage).observe(took)
        self.windows.inc(windows)
        for name, count in zip(self._names, pixels, strict=True):
            self.pixels.labels(name).inc(count)
        self.empty.inc(sum(1 for count in pixels if count) == 1)

    def page(self) -> bytes:
        """What `/metrics` answers."""
        return generate_latest(self.registry)


def log_line(**told: Any) -> None:
    """A line for one request; neither bodies nor keys are among what is told."""
    line = json.dumps({"time": round(time.time(), 3), **told}, ensure_ascii=True)
    print(shown(line), file=sys.stderr, flush=True)
