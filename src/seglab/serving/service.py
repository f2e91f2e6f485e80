"""The running service: a model, its queue and its counters; a request waits here for its answer."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Mapping
from concurrent.futures import Future, wait
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from starlette.requests import Request

from seglab.serving.champion_watch import Watch
from seglab.serving.claimed_size import claimed_pixels
from seglab.serving.keeping_rows import Rows
from seglab.serving.limits import Limits
from seglab.serving.no_model import NoModel
from seglab.serving.problems import Problem, queue_full
from seglab.serving.queueing import Abandoned, InferenceThread, QueueFull, Work
from seglab.serving.running_models import Models
from seglab.serving.served import ServedModel
from seglab.serving.telemetry import Telemetry

if TYPE_CHECKING:
    from seglab.serving.dataset_routes import Images

# An image may take so many windows of the network, or where it is resized have so many pixels, and still be served in
# the middle of a larger one; of more pixels than the last it is decoded beside them.
_SMALL_WINDOWS, _SMALL_PIXELS, _LONG_PIXELS = 4, 1 << 18, 1 << 22
_BYTES_PER_PIXEL = 4
_PATIENCE = 5.0  # seconds for what is measured of the last answers


class ClientLeft(Exception):
    """Nobody is there to be answered."""


@dataclass(frozen=True)
class Computed:
    """What the model told.

    Attributes:
        body: of the answer.
        headers: of the answer.
        model: that told it.
        stages: seconds of each.
    """

    body: bytes
    headers: dict[str, str]
    model: ServedModel
    stages: dict[str, float]

    @property
    def server_timing(self) -> str:
        """`Server-Timing`, in milliseconds."""
        return ", ".join(f"{stage};dur={took * 1000:.1f}" for stage, took in self.stages.items())


class Service:
    """What the routes share.

    Args:
        models: that answer; or what stands in their place.
        limits: of requests.
        rows: place of the rows that are kept; empty for none.

    Attributes:
        ends: what ends with it, of parts that stand above this one.
        followers: called when another model answers.
    """

    def __init__(self, models: Models | NoModel, limits: Limits, rows: str = ""):
        self.models, self.limits = models, limits
        self.worker = InferenceThread(limits.queue)
        self.telemetry = Telemetry(self.worker)
        self.rows = Rows(rows, self.telemetry)
        self.watch: Watch | None = None
        self.images: Images | None = None
        self.draining = False
        self.ends = ExitStack()
        self.followers: list[Callable[[], None]] = []
        self._owed: set[Future[dict[str, Any]]] = set()  # of what is measured of answers that were given
        self._revived: Future[Any] = Future()
        self._revived.set_result(None)
        self._small = 0
        if self.bundle:
            self._small = math.prod(models.served.size) * _SMALL_WINDOWS
            if models.served.resize_mode in ("resize", "letterbox"):
                self._small = max(self._small, _SMALL_PIXELS)
            self.telemetry.begun(models.served)
            self.rows.model(models.served, models.watched)
        models.restarted = self.telemetry.restarts.inc
        self.telemetry.ready.set_function(lambda: self.ready)

    @property
    def model(self) -> ServedModel:
        """That is asked now; raises `Problem` where none is served."""
        return self.models.served

    @property
    def bundle(self) -> str:
        """`X-Bundle`; empty where no model is served."""
        return self.models.label

    @property
    def ready(self) -> bool:
        """Whether new requests are welcome."""
        return not self.draining and self.models.alive

    def health(self) -> dict[str, Any]:
        """What it says of itself. A model that has ended begins anew: whoever waits until it is ready sends nothing."""
        if not self.models.alive and self._revived.done() and not self.draining:
            with suppress(QueueFull):  # of requests, the first of which does the same
                self._revived = self.worker.put(Work(lambda _: self.models.revive(), small=False))
        model = self.model if self.bundle else None
        fields = {"ready": self.ready, "live": True, "model": model and model.name, "bundle": self.bundle or None}
        fields |= {"version": (model and model.version) or None, "draining": self.draining}
        refusal = self.watch.refusal if self.watch else None
        return {**fields, "refused": refusal.to_dict() if refusal else None}

    def taken_over(self) -> None:
        """Another model answers from now on."""
        self.rows.model(self.model, self.models.watched)
        for follower in self.followers:
            follower()

    def drain(self) -> None:
        """Not ready from now on; requests that come all the same are served."""
        self.draining = True

    def close(self) -> None:
        """End what it started."""
        self.worker.close()
        wait(self._owed, _PATIENCE)
        if self.watch:
            self.watch.close()
        if self.images:
            self.images.close()
        self.ends.close()
        self.models.close()
        self.rows.close()

    async def computed(
        self,
        request: Request,
        asked: Mapping[str, Any],
        body: bytes,
        check: Callable[[ServedModel], None] = lambda model: None,
    ) -> Computed:
        """What the model makes of an image, in its turn.

        Args:
            request: whose client may leave.
            asked: of the process of the model.
            body: the image; its size tells a small one, and one that takes long.
            check: given the model in its turn, raises `Problem` where it is not to be asked.

        Raises:
            Problem: no place in the queue, too late, or what the model says.
            ClientLeft: it has.
        """
        measured: Future[dict[str, Any]] = Future()
        pixels = max(claimed_pixels(body), len(body) // _BYTES_PER_PIXEL)
        asked = {**asked, "long": pixels > max(self._small, _LONG_PIXELS)}
        work = Work(lambda one: self._ask(asked, body, one, measured, check), small=pixels <= self._small)
        noted = request.state.log_fields
        try:
            answer = asyncio.wrap_future(self.worker.put(work))
        except QueueFull as error:
            raise queue_full(f"{self.limits.queue} requests wait", self.worker.seconds_to_wait()) from error
        leaving = asyncio.ensure_future(_left(request))
        try:
            await asyncio.wait(
                {answer, leaving}, timeout=self.limits.deadline_seconds, return_when=asyncio.FIRST_COMPLETED
            )
            if answer.done():
                fields, content, model = await answer
                request.state.bundle = noted["bundle"] = model.label
                request.state.model, request.state.measured = model, measured
                self._owed.add(measured)
                measured.add_done_callback(self._owed.discard)
                stages = {"queue": work.began - work.put, **fields["stages"]}
                noted["stages_ms"] = {stage: round(took * 1000, 2) for stage, took in stages.items()}
                if request.state.watched:
                    self.telemetry.predicted(stages, fields)
                return Computed(content, fields["headers"], model, stages)
            self.worker.leave(work)
            answer.add_done_callback(_retrieve_exception)
            asyncio.get_running_loop().call_later(self.limits.deadline_seconds, self._end_standstill, work)
            if leaving.done():
                raise ClientLeft
            raise Problem(
                504,
                "deadline-exceeded",
                "an answer that took too long",
                f"expected: {self.limits.deadline_seconds:g} s",
                remedy="send a smaller image, or ask for another limit",
            )
        except Abandoned as error:
            raise ClientLeft from error
        finally:
            leaving.cancel()

    def _ask(
        self,
        asked: Mapping[str, Any],
        body: bytes,
        work: Work,
        measured: Future[dict[str, Any]],
        check: Callable[[ServedModel], None],
    ) -> None:
        """Sets the answer of the work, and then what is told later, empty where it could not be."""
        later: dict[str, Any] = {}
        try:
            later = self.models.ask_twice(asked, body, work.between, work.answer.set_result, check)
            if asked["watched"]:
                self.telemetry.measured(later)
        finally:
            measured.set_result(later)

    def _end_standstill(self, work: Work) -> None:
        """What nobody waits for ends between two windows; where it still goes on, its process stands still."""
        if work.began and not work.answer.done():
            self.models.kill()


async def _left(request: Request) -> None:
    """Until the client hangs up; its body was taken already."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _retrieve_exception(answer: asyncio.Future[object]) -> None:
    """So that nobody is told of an exception that nobody waits for."""
    if not answer.cancelled():
        answer.exception()
