"""The canary of a service: predicted when a model takes over and every so often, between the requests of clients."""

from __future__ import annotations

import json
import math
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from prometheus_client import Counter, Gauge

from seglab.errors import SeglabError
from seglab.monitoring.canary import CanaryCase, CanaryScores, canary_cases, has_fallen
from seglab.monitoring.canary_history import former_scores, subject_of
from seglab.serving.problems import Problem
from seglab.serving.queueing import QueueFull, Work
from seglab.serving.served import ServedModel
from seglab.serving.service import Service
from seglab.serving.service_log import log_line

_PATIENCE = 1.0  # seconds until a place in a full queue is asked for again


class ModelChanged(Exception):
    """Another model has taken over in the middle of a run."""


class CaseFailed(Exception):
    """There is no answer for a case: its name, and why."""


class Canary:
    """A thread that asks the model of a service.

    Args:
        folder: of labelled cases, see `canary_cases`.
        service: whose model is asked; the canary ends with it.
        seconds: between two runs; 0 for one after each change of the model alone.
    """

    def __init__(self, folder: Path, service: Service, seconds: float):
        self._cases, self._service, self._seconds = canary_cases(folder), service, seconds
        registry = service.telemetry.registry
        self._dice = Gauge("seglab_canary_dice", "Of each class, over the canary.", ["class_name"], registry=registry)
        self._iou = Gauge("seglab_canary_iou", "Of each class, over the canary.", ["class_name"], registry=registry)
        self._fallen = Gauge(
            "seglab_canary_fallen", "1 while Dice is below that of before, beyond its interval.", registry=registry
        )
        self._runs = Counter("seglab_canary_runs", "Times that it was predicted.", ["outcome"], registry=registry)
        for outcome in ("done", "failed"):
            self._runs.labels(outcome)
        self._last: tuple[str, Sequence[float]] | None = None  # digest of a model, and Dice of each case
        self._baseline: Sequence[float] | None = None
        self._subject = ""
        self._wanted, self._over = threading.Event(), False
        service.ends.callback(self.close)
        service.followers.append(self._wanted.set)
        self._thread = threading.Thread(target=self._loop, name="canary", daemon=True)
        self._wanted.set()
        self._thread.start()

    def close(self) -> None:
        """Predict it no more."""
        self._over = True
        self._wanted.set()

    def _loop(self) -> None:
        while not self._over:
            self._wanted.wait(self._seconds or None)
            self._wanted.clear()
            if self._over:
                return
            try:
                self._run()
            except ModelChanged:
                self._wanted.set()
            except Exception as error:  # the service goes on without it
                if not self._over:
                    self._fail(f"{type(error).__name__}: {error}"[:300])

    def _run(self) -> None:
        model = self._service.model
        subject = subject_of(model.name, self._cases)
        if subject != self._subject:  # the first time, or somebody has changed a file: scores of before are of others
            self._subject, self._last = subject, None
            self._baseline = self._remembered(model)
        scores = CanaryScores.of([self._confusion(case, model) for case in self._cases], model.task)
        if self._last and self._last[0] != model.digest:
            self._baseline = self._last[1]  # what the former model made of it
        elif self._baseline is None:
            self._baseline = scores.cases
        self._last = (model.digest, scores.cases)
        fallen = has_fallen(scores.cases, self._baseline)
        self._tell(scores, model, fallen)

    def _remembered(self, model: ServedModel) -> Sequence[float] | None:
        """What rows of before this service began tell; without them it is held against itself."""
        place = self._service.rows.place
        try:
            return former_scores(place, self._subject, model.digest) if place else None
        except SeglabError as error:
            log_line(event="canary-forgotten", detail=str(error).splitlines()[0][:300])
            return None

    def _fail(self, why: str) -> None:
        self._runs.labels("failed").inc()
        log_line(event="canary-failed", detail=why)
        self._keep(self._service.model, failed=why, cases=len(self._cases), fallen=0, case_dice=[], dice={}, iou={})

    def _confusion(self, case: CanaryCase, model: ServedModel) -> np.ndarray:
        body, asked = case.image.read_bytes(), {"do": "score", "mask": str(case.mask)}
        work = Work(lambda one: self._service.models.ask(asked, body, one.between), small=False)
        while True:
            if self._over:
                raise ModelChanged
            try:
                fields, _, answered = self._service.worker.put(work).result(self._service.limits.deadline_seconds)
                break
            except QueueFull:  # of clients, who come first
                time.sleep(_PATIENCE)
            except Problem as problem:
                raise CaseFailed(f"{case.name}: {problem.title}; {problem.detail}") from problem
        if answered.digest != model.digest:
            raise ModelChanged
        return np.array(fields["confusion"], np.int64)

    def _tell(self, scores: CanaryScores, model: ServedModel, fallen: bool) -> None:
        for number, name in enumerate(model.task.class_names):
            self._dice.labels(name).set(scores.dice[number])
            self._iou.labels(name).set(scores.iou[number])
        self._fallen.set(fallen)
        self._runs.labels("done").inc()
        mean = float(np.nanmean(scores.cases)) if not all(map(math.isnan, scores.cases)) else None
        log_line(event="canary", bundle=model.label, cases=len(scores.cases), dice=mean, fallen=fallen)
        each = {key: dict(enumerate(_known(getattr(scores, key)))) for key in ("dice", "iou")}
        self._keep(
            model, failed="", cases=len(scores.cases), fallen=int(fallen), case_dice=_known(scores.cases), **each
        )

    def _keep(self, model: ServedModel, **fields: Any) -> None:
        row: dict[str, Any] = {"at": round(time.time(), 3), "model": model.label, "digest": model.digest}
        listed = {key: json.dumps(fields.pop(key)) for key in ("dice", "iou", "case_dice")}
        self._service.rows.add("canary", {**row, "subject": self._subject, **fields, **listed})


def _known(values: Sequence[float]) -> list[float | None]:
    return [None if math.isnan(value) else round(value, 6) for value in values]
