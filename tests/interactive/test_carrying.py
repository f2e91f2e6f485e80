"""A mask that is carried to the next slice: taken where it looks like the object, and ended where it does not."""

from __future__ import annotations

import numpy as np
import pytest

from seglab.interactive.carrying import Appearance, carried
from seglab.interactive.prompt import CERTAIN, Prompt
from seglab.interactive.prompt_models import Candidates, Embedding

SIDE = 40
ROWS, COLUMNS = np.ogrid[:SIDE, :SIDE]


def disk(radius: float) -> np.ndarray:
    return np.asarray(np.hypot(ROWS - 20, COLUMNS - 20) <= radius)


class Answers:
    """A model that answers with one mask, whatever it is asked."""

    name, digest, rank, device = "answers", "0", 2, "CPU"

    def __init__(self, mask: np.ndarray):
        self._mask = mask

    def embed(self, image: np.ndarray) -> Embedding:
        return Embedding(image.shape[:2], {"image": image})

    def candidates(self, embedding: Embedding, prompt: Prompt) -> Candidates:
        logits = np.where(self._mask, CERTAIN, -CERTAIN).astype(np.float32)
        return Candidates(np.stack([logits] * 3), np.ones(3, np.float32))


def slice_of(bright: np.ndarray) -> np.ndarray:
    return np.where(bright[..., None], 200, 50).astype(np.uint8).repeat(3, axis=2)


@pytest.mark.parametrize(
    ("bright", "answer", "ended"),
    [
        (disk(5), disk(5), False),
        (disk(9), disk(9), False),  # 3.1 times as large: it grows
        (disk(13), disk(13), True),  # 6.6 times as large is another thing
        (disk(5), disk(6.5), False),  # a rim of surroundings
        (disk(3), disk(7), True),  # more of the answer looks like the surroundings than like the object
        (disk(-1), disk(5), True),  # nothing on the slice looks like it
        (disk(5), disk(-1), True),  # nor is anything found
        (disk(5) | disk(19) & ~disk(15), disk(5) | disk(19) & ~disk(15), False),  # a part beside it is left away
    ],
)
def test_an_object_ends_where_the_answer_is_none_of_it(bright: np.ndarray, answer: np.ndarray, ended: bool) -> None:
    before = disk(5)
    appearance = Appearance.of(slice_of(before), before)
    assert (appearance.object, appearance.around) == (200, 50)
    found = carried(Answers(answer), slice_of(bright), before, appearance)
    assert bool(found.any()) is not ended
    assert not (found & ~answer).any()
    assert not (found & disk(19) & ~disk(14)).any()
