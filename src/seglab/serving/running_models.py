"""The model that answers now, in its process, and how another takes its place while requests go on."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import psutil

from seglab.errors import DataError, SeglabError
from seglab.runtime.memory import available_bytes
from seglab.serving.errands import Errands, ProcessDied
from seglab.serving.limits import Limits
from seglab.serving.origin import Found
from seglab.serving.problems import Problem
from seglab.serving.served import ServedModel

MODULE = "seglab.serving.model_process"
_Answer = TypeVar("_Answer")


@dataclass(frozen=True)
class Loading:
    """How models are loaded, whichever.

    Attributes:
        limits: of what they decode.
        name: in addresses.
        runtime: of a folder with several targets; OpenVINO first when None.
        precision: likewise.
        threads: to compute with; as many as this process has cores when None.
        measures: whether each answer is measured for its row.
        flips: and how far the masks of its mirror images agree.
        keep_images: folder that images and masks are kept in; empty where none are.
        keep_bytes: of all together.
    """

    limits: Limits
    name: str
    runtime: str | None = None
    precision: str = "float32"
    threads: int | None = None
    measures: bool = False
    flips: bool = False
    keep_images: str = ""
    keep_bytes: int = 0

    def start(self, found: Found) -> Errands:
        """A process that loads an exported model from now on."""
        settings: dict[str, Any] = {"folder": str(found.folder), "run": found.run, "version": found.version}
        settings |= {"name": self.name, "runtime": self.runtime, "precision": self.precision, "threads": self.threads}
        settings |= {"measures": self.measures, "flips": self.flips}
        settings |= {"keep_images": self.keep_images, "keep_bytes": self.keep_bytes}
        return Errands(MODULE, [json.dumps({**settings, "limits": self.limits.shown()})])


class RunningModel:
    """A model that has begun in its process; raises as `Errands.begun`.

    Args:
        process: that loads it.
        found: what it loads.
    """

    def __init__(self, process: Errands, found: Found):
        self.process, self.found = process, found
        try:
            fields = process.begun()
            self.served = ServedModel.from_dict(fields["model"])
        except BaseException:
            process.kill()
            raise
        self.watched: dict[str, Any] = fields["watched"]
        self.users, self.retired = 0, False


class Models:
    """The model that is asked, which can be replaced at any time. One whose process ends is begun anew.

    Args:
        first: that is asked at first.
        loading: how another is loaded.

    Attributes:
        restarted: called when one was begun anew.
    """

    def __init__(self, first: RunningModel, loading: Loading):
        self._current, self._loading, self._lock = first, loading, threading.Lock()
        self.restarted: Callable[[], None] = lambda: None

    @property
    def served(self) -> ServedModel:
        """The model that is asked now."""
        return self._current.served

    @property
    def label(self) -> str:
        """Of the model that is asked now."""
        return self.served.label

    @property
    def watched(self) -> dict[str, Any]:
        """What its answers are held against, see `seglab.inference.reference_data.watched_facts`."""
        return self._current.watched

    @property
    def alive(self) -> bool:
        """Whether it can be asked at once."""
        return not self._current.process.died

    def ask(
        self, asked: Mapping[str, Any], body: bytes, between: Callable[[], None]
    ) -> tuple[dict[str, Any], bytes, ServedModel]:
        """What the current model tells, with a body, and which one that was.

        Raises:
            Problem: what the client is to be told; its process may have ended.
            SeglabError, Abandoned: as `Errands.ask`.
        """
        return self._asked(lambda model: (*model.process.ask(asked, body, between), model.served))

    def ask_twice(
        self,
        asked: Mapping[str, Any],
        body: bytes,
        between: Callable[[], None],
        answered: Callable[[tuple[dict[str, Any], bytes, ServedModel]], None],
        check: Callable[[ServedModel], None] = lambda model: None,
    ) -> dict[str, Any]:
        """As `ask`, of an errand that has something to tell later: returns that, once `answered` was called. `check` is
        given the model before it is asked, and may raise `Problem`."""

        def ask(model: RunningModel) -> dict[str, Any]:
            check(model.served)
            return model.process.ask_twice(
                asked, body, between, lambda fields, content: answered((fields, content, model.served))
            )

        return self._asked(ask)

    def _asked(self, call: Callable[[RunningModel], _Answer]) -> _Answer:
        self.revive()
        with self._using() as model:
            try:
                return call(model)
            except ProcessDied as error:
                died = error
        self._restart(model)
        raise _restarting(str(died))

    def revive(self) -> None:
        """Begin the current model anew where its process has ended; raises `Problem` where that fails."""
        if self._current.process.died:
            self._restart(self._current)

    def load(self, found: Found) -> RunningModel:
        """Another model, beside the current one.

        Raises:
            SeglabError: it cannot be served, or not in the place of this one.
            ProcessDied: it ends while it is loaded.
        """
        _check_memory(self._current)
        model = RunningModel(self._loading.start(found), found)
        if not model.served.same_answers(self.served):
            model.process.kill()
            raise _other_classes(model.served, self.served)
        return model

    def take_over(self, model: RunningModel) -> None:
        """Ask this one from now on; the former ends once it has answered what it is at."""
        with self._lock:
            former, self._current = self._current, model
            former.retired = True
            idle = not former.users
        if idle:
            former.process.close()

    def kill(self) -> None:
        """End its process, which stands still; it begins anew when it is asked again."""
        self._current.process.kill()

    def close(self) -> None:
        """End it."""
        self._current.process.end()

    def _restart(self, model: RunningModel) -> None:
        """Begin a model anew whose process has ended, unless another has taken its place."""
        if self._current is not model:
            return
        try:
            again = RunningModel(self._loading.start(model.found), model.found)
        except (SeglabError, ProcessDied) as error:
            raise _restarting(str(error)) from error
        self.restarted()
        self.take_over(again)

    @contextmanager
    def _using(self) -> Iterator[RunningModel]:
        with self._lock:
            model = self._current
            model.users += 1
        try:
            yield model
        finally:
            with self._lock:
                model.users -= 1
                over = model.retired and not model.users
            if over:
                model.process.close()


def _restarting(found: str) -> Problem:
    return Problem(
        503,
        "model-restarting",
        "the process of the model has ended and begins anew",
        found.splitlines()[0][:200],
        remedy="try again; if it happens again with this image, report it",
        headers={"Retry-After": "5"},
    )


def _check_memory(current: RunningModel) -> None:
    """See that a second model of the size of this one has room."""
    try:
        needed = int(1.1 * psutil.Process(current.process.process.pid).memory_info().rss)
    except psutil.Error:  # it has just ended, and takes none
        return
    free = available_bytes()
    if free < needed:
        raise DataError(
            "too little memory for another model beside the one that is served",
            code="serve-swap-memory",
            where="a new version of the model",
            found=f"{free >> 20:,} MiB are free",
            expected=f"{needed >> 20:,} MiB, as much as the present one takes and a tenth",
            remedy="free some memory; it is tried again",
        )


def _other_classes(found: ServedModel, expected: ServedModel) -> DataError:
    def classes_of(model: ServedModel) -> str:
        task = model.task
        return f"{task.rank}D, {task.channels} channels, {', '.join(task.class_names)}, values {model.values}"

    return DataError(
        "a model of other images or classes, in the place of the one that is served",
        code="serve-swap-classes",
        where=found.label,
        found=classes_of(found),
        expected=classes_of(expected),
        remedy="end the service and start it with the new model, and inform its users",
    )
