"""Looks whether there is another model, and lets it take over once it was tried; a broken one changes nothing."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from seglab.errors import SeglabError
from seglab.serving.origin import Found, Origin
from seglab.serving.running_models import Models
from seglab.serving.service_log import log_line
from seglab.serving.telemetry import Telemetry

_AGAIN_SECONDS = 60.0  # a model that was refused for a reason that may pass is tried again


@dataclass(frozen=True)
class Refusal:
    """Why the last model that was found does not answer.

    Attributes:
        code: of the kind of mistake.
        title: what is wrong.
        detail: what was found.
        at: seconds since 1970.
    """

    code: str
    title: str
    detail: str
    at: float

    def to_dict(self) -> dict[str, Any]:
        """As `/health` tells it."""
        return {"code": self.code, "title": self.title, "detail": self.detail, "time": round(self.at, 3)}


class Watch:
    """A thread that looks.

    Args:
        origin: where the model comes from.
        models: in which another one takes over.
        seconds: between two looks.
        telemetry: that counts what came of it.
        taken: called when another one has taken over.
    """

    def __init__(self, origin: Origin, models: Models, seconds: float, telemetry: Telemetry, taken: Callable[[], None]):
        self.refusal: Refusal | None = None
        self._origin, self._models, self._seconds, self._telemetry = origin, models, seconds, telemetry
        self._taken = taken
        self._refused: tuple[Found, float] | None = None
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="watch", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Look no more."""
        self._over.set()
        self._origin.close()

    def _loop(self) -> None:
        while not self._over.wait(self._seconds):
            try:
                found = self._origin.newer()
            except Exception as error:  # whatever it is, the present model goes on
                self._refuse(error)
                continue
            if found is None and self._refused is None:
                self.refusal = None  # what was amiss with the origin is no more
            elif found is None and self._refused and time.monotonic() > self._refused[1]:
                found = self._refused[0]
            if found is not None:
                self._take(found)

    def _take(self, found: Found) -> None:
        former = self._models.served
        began = time.monotonic()
        try:
            model = self._models.load(found)
        except Exception as error:
            self._refused = (found, time.monotonic() + _AGAIN_SECONDS)
            self._refuse(error, str(found.folder))
            return
        self.refusal = self._refused = None
        if model.served == former:  # touched, or copied over itself
            model.process.close()
            return
        self._models.take_over(model)
        self._telemetry.swapped(model.served, former)
        self._taken()
        log_line(event="model-swapped", former=former.label, bundle=model.served.label,
                 seconds=round(time.monotonic() - began, 3))  # fmt: skip

    def _refuse(self, error: Exception, place: str = "") -> None:
        if self._over.is_set():
            return
        code, title, where, detail = "model-died", "the process of a model that ends", place, str(error)
        if isinstance(error, SeglabError):
            code, title, where, detail = error.code, error.what, error.where or place, str(error.found or "")
        same = self.refusal is not None and (self.refusal.code, self.refusal.detail) == (code, detail[:300])
        self.refusal = Refusal(code, title, detail[:300], time.time())
        self._telemetry.swaps.labels("refused").inc()
        if not same:
            fields = {"code": code, "title": title, "where": where, "detail": detail[:300]}
            log_line(event="model-refused", **fields, bundle=self._models.served.label)
