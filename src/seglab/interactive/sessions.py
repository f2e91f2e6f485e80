"""The sessions of a service: few, small, forgotten after a while, and none that sees another. One thread asks."""

from __future__ import annotations

import math
import secrets
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from seglab.errors import DataError
from seglab.interactive.prompt_models import PromptModel
from seglab.interactive.session import STEPS_SHARE, Session
from seglab.interactive.volume_prompts import VolumeSession
from seglab.interactive.whole_volume import WholeVolumeSession

_ID_BYTES = 16
# Bytes a voxel by the rank of the model: the volume, its steps, the prompted slices that these share; an embedding.
_OF_VOLUME = {2: 2 + STEPS_SHARE, 3: 6 + STEPS_SHARE}
Opened = TypeVar("Opened", bound="OpenSession")


@dataclass(frozen=True)
class SessionLimits:
    """Bounds of all sessions together.

    Attributes:
        count: sessions at a time.
        of_client: where there is no room, a client that has more than so many loses the one it used longest ago.
        bytes: of all of them, by what each may grow to.
        idle_seconds: after which one that nobody asks for is forgotten.
    """

    count: int = 32
    of_client: int = 8
    bytes: int = 2 * 2**30
    idle_seconds: float = 1800.0


@dataclass
class OpenSession:
    """A session that is open, on whatever.

    Attributes:
        id: unguessable; whoever has it has the session.
        client: who began it.
        used: when it was asked for last.
        busy: a prompt on it is being answered.
        judged: the step whose mask was accepted or rejected last.
    """

    id: str
    client: str
    used: float = field(default=0.0, init=False)
    busy: bool = field(default=False, init=False)
    judged: object = field(default=None, init=False)

    @property
    def bytes(self) -> int:
        """What it may grow to."""
        raise NotImplementedError


@dataclass
class OpenImage(OpenSession):
    """One on an image.

    Attributes:
        session: the prompts.
        picture: `(H, W, 3)` uint8.
    """

    session: Session
    picture: npt.NDArray[np.uint8]

    @property
    def bytes(self) -> int:
        """What it may grow to."""
        return (1 + STEPS_SHARE) * max(self.session.embedding.bytes, self.picture.nbytes)


@dataclass
class OpenVolume(OpenSession):
    """One on a volume.

    Attributes:
        session: the prompts.
        content: of its NIfTI file, as it came.
        affine: from its voxels to mm.
    """

    session: VolumeSession
    content: bytes
    affine: npt.NDArray[np.float64]

    @property
    def bytes(self) -> int:
        """What it may grow to."""
        return len(self.content) + _OF_VOLUME[self.session.model.rank] * math.prod(self.session.shape)


class Sessions:
    """All that are open.

    Args:
        model: that answers in each of them.
        limits: of all together.
        clock: seconds that only grow.
    """

    def __init__(
        self,
        model: PromptModel,
        limits: SessionLimits = SessionLimits(),
        clock: Callable[[], float] = time.monotonic,
    ):
        self.model, self.limits, self._clock = model, limits, clock
        self._open: dict[str, OpenSession] = {}

    def __len__(self) -> int:
        return len(self._open)

    def begin(self, picture: npt.NDArray[np.uint8], client: str = "") -> OpenImage:
        """A session on an image; raises `DataError` where there is no room for it (and computes nothing then)."""
        if self.model.rank != 2:
            raise DataError(
                "an image for a model of volumes",
                code="image-rank",
                where="image",
                found="an image",
                expected=f"a volume (NIfTI), for {self.model.name}",
                remedy="send a volume, or serve with prompt_model=grabcut",
            )
        self._check_room((1 + STEPS_SHARE) * picture.nbytes)
        session = Session(self.model, self.model.embed(picture))
        return self._added(OpenImage(_new_id(), client, session, picture))

    def begin_volume(
        self, volume: npt.NDArray[Any], content: bytes, affine: npt.NDArray[np.float64], client: str = ""
    ) -> OpenVolume:
        """A session on a volume `(X, Y, Z)` in the order of its file; raises as `begin`."""
        self._check_room(len(content) + _OF_VOLUME[self.model.rank] * volume.size)
        whole = self.model.rank == 3
        session = WholeVolumeSession(self.model, volume, affine) if whole else VolumeSession(self.model, volume)
        return self._added(OpenVolume(_new_id(), client, session, content, affine))

    def find(self, session_id: str) -> OpenSession:
        """An open session, which is used thereby; raises `DataError` for one that is not, or not any more."""
        self._forget_idle()
        found = self._open.get(session_id)
        if found is None:
            raise DataError(
                "a session that is not open",
                code="session-missing",
                where="the session's id",
                found="an id that none has, or one that was idle too long, or whose process has ended",
                expected=f"a session that was used within {self.limits.idle_seconds:g} s",
                remedy="begin it anew: POST /sessions with the image",
            )
        found.used = self._clock()
        return found

    def end(self, session_id: str) -> None:
        """Forget a session; raises as `find`."""
        self.find(session_id)
        del self._open[session_id]

    def _added(self, found: Opened) -> Opened:
        self._check_room(found.bytes)
        found.used = self._clock()
        self._open[found.id] = found
        return found

    def _forget_idle(self) -> None:
        last = self._clock() - self.limits.idle_seconds
        for one in [one for one in self._open.values() if one.used < last]:
            del self._open[one.id]

    def _check_room(self, more: int) -> None:
        self._forget_idle()
        held = sum(one.bytes for one in self._open.values())
        while len(self._open) >= self.limits.count or held + more > self.limits.bytes:
            spare = self._spare() if more <= self.limits.bytes else None
            if spare is None:
                raise self._full(held, more)
            held -= spare.bytes
            del self._open[spare.id]

    def _spare(self) -> OpenSession | None:
        """Of the client that has the most sessions, if they are too many, the one that it used longest ago."""
        (client, many), *_ = Counter(one.client for one in self._open.values()).most_common(1) or [("", 0)]
        if many <= self.limits.of_client:
            return None
        return min((one for one in self._open.values() if one.client == client), key=lambda one: one.used)

    def _full(self, held: int, more: int) -> DataError:
        return DataError(
            "no room for another session",
            code="sessions-full",
            where="the service",
            found=f"{len(self._open)} sessions of {held / 2**20:.0f} MiB, and one of {more / 2**20:.0f} MiB",
            expected=f"at most {self.limits.count}, of {self.limits.bytes / 2**20:.0f} MiB together",
            remedy="end one (DELETE), wait until one is forgotten, or send a smaller image",
        )


def _new_id() -> str:
    return secrets.token_urlsafe(_ID_BYTES)
