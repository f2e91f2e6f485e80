"""The process of the promptable model, as the service sees it: asked in turn, begun anew when it has ended."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from seglab.errors import SeglabError
from seglab.serving.errands import Errands, ProcessDied
from seglab.serving.limits import Limits
from seglab.serving.problems import Problem, queue_full
from seglab.serving.queueing import Abandoned, InferenceThread, QueueFull, Work

MODULE = "seglab.interactive.prompt_process"
RESTARTING = "prompts-restarting"


@dataclass(frozen=True)
class PromptSettings:
    """The settings that the process begins with.

    Attributes:
        model: a row of `seglab.interactive.prompt_models.MODELS`.
        checkpoint: file of its weights; None for its own.
        embeddings: folder of those that are kept.
        accepted: folder of the masks that users accept.
    """

    model: str
    checkpoint: str | None
    embeddings: str
    accepted: str


class Prompting:
    """A process that holds a promptable model and all sessions. They are lost with it.

    Args:
        settings: of the process.
        limits: of an image, and of how many requests wait for it.
    """

    def __init__(self, settings: PromptSettings, limits: Limits):
        self._word = json.dumps({**asdict(settings), "limits": limits.shown()})
        self._process = Errands(MODULE, [self._word])
        self._worker = InferenceThread(limits.queue)
        self._begun = False
        self.model = settings.model
        self.sessions = 0  # that were open at its last reply

    def begin(self) -> None:
        """Wait until it can be asked; raises `SeglabError` where it cannot."""
        self._process.begun()
        self._begun = True

    async def ask(self, asked: Mapping[str, Any], body: bytes, seconds: float) -> tuple[dict[str, Any], bytes]:
        """Its reply.

        Args:
            asked: the errand, see `Answering.errands`.
            body: for it.
            seconds: until an answer. A process that stands still for as long again is ended, unless it is beginning.

        Raises:
            Problem: as the client gets it.
        """
        work = Work(lambda one: self._asked(one, asked, body))
        try:
            answer = asyncio.wrap_future(self._worker.put(work))
        except QueueFull as error:
            raise queue_full(f"{self._worker.places} prompts wait", self._worker.seconds_to_wait()) from error
        if (await asyncio.wait({answer}, timeout=seconds))[0]:
            fields, content = await answer
            self.sessions = fields.pop("sessions")
            return fields, content
        self._worker.leave(work)
        answer.add_done_callback(lambda one: one.cancelled() or one.exception())  # nobody waits for it
        asyncio.get_running_loop().call_later(seconds, self._end_standstill, work)
        raise Problem(504, "deadline-exceeded", "an answer that took too long", f"expected: {seconds:g} s")

    def close(self) -> None:
        """End the process."""
        self._worker.close()
        self._process.end()

    def _asked(self, work: Work, asked: Mapping[str, Any], body: bytes) -> tuple[dict[str, Any], bytes]:
        try:
            if self._process.died:
                self._renew()
            if not self._begun:
                self.begin()
            if not work.wanted:  # any more, for that took its time
                raise Abandoned
            return self._process.ask(asked, body, work.between)
        except ProcessDied as error:
            self._renew()  # and load while the client waits
            raise _restarting(str(error)) from error
        except SeglabError as error:  # of its beginning; what it tells of a request is a `Problem`
            raise _restarting(error.what) from error

    def _renew(self) -> None:
        self._process = Errands(MODULE, [self._word])
        self._begun, self.sessions = False, 0

    def _end_standstill(self, work: Work) -> None:
        if self._begun and work.began and not work.answer.done():
            self._process.kill()


def _restarting(found: str) -> Problem:
    return Problem(
        503,
        RESTARTING,
        "the process that answers prompts has ended and begins anew, without the sessions that it had",
        found.splitlines()[0][:200],
        remedy="try again: POST /sessions with the image; if it happens again with this image, report it",
        headers={"Retry-After": "5"},
    )
