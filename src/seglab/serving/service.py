"""The running service: a model, its queue and its counters; a request waits here for its answer."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from typing import TypeVar

from starlette.requests import Request

from seglab.serving.limits import Limits
from seglab.serving.model import ServedModel
from seglab.serving.prediction import Stages
from seglab.serving.problems import Problem
from seglab.serving.queueing import Abandoned, QueueFull, Work, Worker
from seglab.serving.telemetry import Telemetry

Found = TypeVar("Found")
# Windows of the network that an image may take and still be served in the middle of a larger one.
_SMALL_WINDOWS = 4
_SMALL_BYTES_PER_PIXEL = 4


class ClientLeft(Exception):
    """Nobody is there to be answered."""


class Service:
    """What the routes share.

    Args:
        model: that is served.
        limits: of requests.
    """

    def __init__(self, model: ServedModel, limits: Limits):
        self.model, self.limits = model, limits
        self.worker = Worker(limits.queue)
        self.telemetry = Telemetry(model, self.worker)
        self._small = math.prod(model.bundle.size) * _SMALL_WINDOWS * _SMALL_BYTES_PER_PIXEL
        self.draining = False
        self.telemetry.ready.set(1)

    def drain(self) -> None:
        """Not ready from now on; requests that come all the same are served."""
        self.draining = True
        self.telemetry.ready.set(0)

    async def computed(self, request: Request, size: int, call: Callable[[Work, Stages], Found]) -> Found:
        """What `call` gives in the thread of the model.

        Args:
            request: whose client may leave.
            size: of its body in bytes, by which a small image is told.
            call: is given its work and stages.

        Raises:
            Problem: no place in the queue, too late, or what the call raised.
            ClientLeft: it has.
        """
        stages = Stages()
        work = Work(lambda one: call(one, stages), small=size <= self._small)
        told = request.state.told
        try:
            answer = asyncio.wrap_future(self.worker.put(work))
        except QueueFull as error:
            raise Problem(
                503,
                "service-busy",
                "a queue that is full",
                f"{self.limits.queue} requests wait",
                remedy="try again",
                headers={"Retry-After": str(self.worker.seconds_to_wait())},
            ) from error
        leaving = asyncio.ensure_future(_left(request))
        try:
            await asyncio.wait(
                {answer, leaving}, timeout=self.limits.deadline_seconds, return_when=asyncio.FIRST_COMPLETED
            )
            if answer.done():
                stages.seconds = {"queue": work.began - work.put, **stages.seconds}
                told["stages_ms"] = {stage: round(took * 1000, 2) for stage, took in stages.seconds.items()}
                request.state.stages = stages
                return await answer
            self.worker.leave(work)
            answer.add_done_callback(_looked_at)
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


async def _left(request: Request) -> None:
    """Until the client hangs up; its body was taken already."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _looked_at(answer: asyncio.Future[object]) -> None:
    """So that nobody is told of an exception that nobody waits for."""
    if not answer.cancelled():
        answer.exception()
