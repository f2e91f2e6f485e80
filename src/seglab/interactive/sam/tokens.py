"""What a prompt becomes for the network: places in the square, and what is at each."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from seglab.interactive.prompt import Prompt
from seglab.interactive.sam.frame import Frame

# What a token can be: nothing (it fills up where there is no box), a background or a foreground point, a corner.
NOTHING, BACKGROUND, FOREGROUND, UPPER_LEFT, LOWER_RIGHT = -1, 0, 1, 2, 3


def tokens(prompt: Prompt, frame: Frame) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int32]]:
    """A prompt's points and the corners of its box as places `(1, N, 2)` in the square and kinds `(1, N)`.

    Points without a box are followed by one that is nothing, as the network was trained.
    """
    places, kinds = [frame.places(prompt.points)], [prompt.labels]
    if prompt.box is not None:
        places.append(frame.places(prompt.box.reshape(2, 2)))
        kinds.append(np.array([UPPER_LEFT, LOWER_RIGHT]))
    elif len(prompt.labels):
        places.append(np.zeros((1, 2), np.float32))
        kinds.append(np.array([NOTHING]))
    return np.concatenate(places)[None], np.concatenate(kinds)[None].astype(np.int32)
