"""A session: one image, the prompts on it so far, and the way back."""

from __future__ import annotations

import math
import time
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from seglab.errors import DataError
from seglab.interactive.click_guard import Verdict, best_guarded, guarded
from seglab.interactive.prompt import Bools, Floats, Logits, Prompt
from seglab.interactive.prompt_models import Embedding, PromptModel
from seglab.interactive.steps import Steps

STEPS_SHARE = 2
"""What the steps of a session may take, in sizes of its embedding or of its picture, whichever is larger."""
_STEPS = 8  # of a kept logit, which is a whole number of eighths between -127 and 127

Kept = npt.NDArray[np.int8]


@dataclass(frozen=True)
class Reply:
    """An answer to a prompt.

    Attributes:
        logits: `(3, H, W)` float32, the model's three candidates as they are.
        scores: `(3,)` float32, its own estimate of each.
        chosen: which of them the mask is made from.
        mask: `(H, W)` bool, the chosen candidate after the guard.
        verdict: what the guard did to it.
        notes: what was corrected in the prompt.
        milliseconds: that the model and the guard took.
    """

    logits: Logits
    scores: Logits
    chosen: int
    mask: Bools
    verdict: Verdict
    notes: tuple[str, ...]
    milliseconds: float


@dataclass(frozen=True)
class State:
    """What is kept of a prompt: the prompt without its mask, the result, and what was said of it (see `Reply`); `taken`
    prompts led to the mask, this one included."""

    prompt: Prompt
    logits: bytes
    score: float
    scores: tuple[float, ...]
    chosen: int
    verdict: Verdict
    taken: int


class Session:
    """One image with a model.

    Args:
        model: that answers.
        embedding: of the image, by that model.
        guard: keep what was right from getting worse; off only to measure what it does.
    """

    def __init__(self, model: PromptModel, embedding: Embedding, *, guard: bool = True):
        self.model, self.embedding = model, embedding
        self._guard = guard
        most = STEPS_SHARE * max(embedding.bytes, 3 * math.prod(embedding.shape))
        self._steps: Steps[State] = Steps(lambda state: len(state.logits), most)

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the masks."""
        return self.embedding.shape

    @property
    def state(self) -> State | None:
        """The newest prompt that was not undone."""
        return self._steps.newest

    @property
    def steps(self) -> tuple[int, int]:
        """How many steps can be undone, and done again."""
        return self._steps.counts

    @property
    def mask(self) -> Bools:
        """The mask as it is now; empty before the first prompt."""
        return np.zeros(self.shape, bool) if self.state is None else kept_logits(self.state.logits, self.shape) > 0

    @property
    def bytes(self) -> int:
        """Memory that the session holds."""
        return self.embedding.bytes + self._steps.bytes

    def predict(
        self,
        points: Sequence[Sequence[float]] = (),
        labels: Sequence[int] = (),
        box: Any = None,
        mask: Any = None,
        candidate: int | None = None,
        *,
        anew: bool = False,
    ) -> Reply:
        """The mask of a whole prompt: all points so far, not the new ones alone.

        A prompt that goes on from the one before (the same box, its points and more) begins with the mask of that one,
        and the guard sees that this mask gets no worse where it was right. The same prompt once more, for another
        candidate, begins with what that one began with. Any other begins anew, or with `mask`.

        Args:
            points: `(N, D)` in pixels of the image, see `Prompt`.
            labels: 1 on the object, 0 beside it.
            box: `x0, y0, x1, y1` or None.
            mask: logits or true and false, in the place of the previous mask.
            candidate: which of the three is wanted; None for the one of the highest score, unless it makes the mask
                several times as large as it was (`seglab.interactive.click_guard.best_guarded`).
            anew: it is another object, whatever was said before.

        Raises:
            DataError: a prompt that cannot be meant.
        """
        began = time.perf_counter()
        _check_candidate(candidate)
        former = None if anew else self.state
        before = None if former is None or mask is not None else self._before(points, labels, box)
        prompt = Prompt.of(self.shape, points, labels, box, before if mask is None else mask)
        found = self.model.candidates(self.embedding, prompt)
        chosen = found.best if candidate is None else candidate
        logits, verdict = found.logits[chosen], Verdict("accepted", "the guard is off")
        if self._guard and candidate is None:
            chosen, logits, verdict = best_guarded(prompt, prompt.mask, found)
        elif self._guard:
            logits, verdict = guarded(prompt, prompt.mask, logits)
        kept = whole_logits(logits)
        scores = tuple(float(score) for score in found.scores)
        asked = Prompt(prompt.shape, prompt.points, prompt.labels, prompt.box, None, prompt.notes)
        taken = 1 if former is None else former.taken + 1
        self._steps.add(State(asked, zlib.compress(kept.tobytes(), 1), scores[chosen], scores, chosen, verdict, taken))
        took = (time.perf_counter() - began) * 1000
        return Reply(found.logits, found.scores, chosen, kept > 0, verdict, prompt.notes, took)

    def undo(self) -> bool:
        """One step back; False where there is none."""
        return self._steps.undo()

    def redo(self) -> bool:
        """One step forward again; False where there is none."""
        return self._steps.redo()

    def goes_on(self, points: Sequence[Sequence[float]], labels: Sequence[int], box: Any) -> bool:
        """Whether a prompt says what the newest one said, and more; raises `DataError` as `predict`."""
        new = Prompt.of(self.shape, points, labels, box, np.zeros(self.shape, bool))
        return self.state is not None and goes_on(new, self.state.prompt)

    def _before(self, points: Sequence[Sequence[float]], labels: Sequence[int], box: Any) -> Logits | None:
        """Logits of the mask that a prompt goes on from."""
        new = Prompt.of(self.shape, points, labels, box, np.zeros(self.shape, bool))
        others = (state for state in self._steps.backwards() if not same_prompt(state.prompt, new))
        state = next(others, None)
        return logits_of(state.logits, self.shape) if state is not None and goes_on(new, state.prompt) else None


def same_prompt(one: Prompt, other: Prompt) -> bool:
    """Whether a user said the same twice."""
    return (
        np.array_equal(one.points, other.points)
        and np.array_equal(one.labels, other.labels)
        and _same_box(one.box, other.box)
    )


def _same_box(one: Floats | None, other: Floats | None) -> bool:
    return np.array_equal(one, other) if one is not None and other is not None else one is other


def goes_on(new: Prompt, old: Prompt) -> bool:
    """Whether a prompt says what another one said, and more."""
    return _same_box(new.box, old.box) and len(new.points) >= len(old.points) and _has_every_click(new, old)


def _has_every_click(new: Prompt, old: Prompt) -> bool:
    """Whether a prompt has every click of another; one in the same pixel may have replaced it."""
    pixels = {tuple(at) for at in np.stack(new.pixels, -1).tolist()}
    return all(tuple(at) in pixels for at in np.stack(old.pixels, -1).tolist())


def whole_logits(logits: Logits) -> Kept:
    """Logits as they are kept, in eighths; above 0 exactly where they are."""
    kept = np.empty(logits.shape, np.int8)
    for part, result in zip(logits, kept, strict=True):  # a row or a slice at once: memory stays small and near
        eighths = np.clip(np.rint(part * np.float32(_STEPS)), -127, 127).astype(np.int8)
        result[...] = np.where(part > 0, np.maximum(eighths, 1), np.minimum(eighths, 0))
    return kept


def kept_logits(content: bytes, shape: tuple[int, ...]) -> Kept:
    """Logits of a `State` in eighths."""
    return np.frombuffer(zlib.decompress(content), np.int8).reshape(shape)


def logits_of(content: bytes, shape: tuple[int, ...]) -> Logits:
    """Logits of a `State`."""
    return kept_logits(content, shape).astype(np.float32) / np.float32(_STEPS)


def _check_candidate(candidate: int | None) -> None:
    if candidate is not None and candidate not in (0, 1, 2):
        raise DataError(
            "a candidate that does not exist",
            code="prompt-form",
            where="candidate",
            found=candidate,
            expected="0, 1, 2, or none for the best",
            remedy="leave it out",
        )
