"""Where several processes start from: what the first one has read or drawn, brought to the others."""

from __future__ import annotations

import jax
import keras
import numpy as np
from jax.experimental import multihost_utils

from seglab.runtime.process_meeting import publish, receive
from seglab.training.checkpoint import TrainingState, assign, random_streams, restore_streams, values

_TOPIC = "start"
_WORDS = ("epoch", "scale", "rules", "history", "finished", "streams")


def shared_start(state: TrainingState | None, model: keras.Model) -> TrainingState | None:
    """The state that this process goes on from, the same in each: that of the first one.

    The global random streams of Python and NumPy are the first one's too. seglab draws nothing from them while it
    trains; a loss or an augmentation of a user's own may.

    Args:
        state: of the first process; of the others it does not count. None where training begins anew: then the
            weights of the first one are given to all.
        model: compiled, with its optimizer built.

    Raises:
        TrainingError: the state does not fit the model.
    """
    if jax.process_count() == 1:
        return state
    variables = [*model.variables, *model.optimizer.variables]
    if jax.process_index() == 0:
        if state is not None:
            assign(variables, [*state.model, *state.optimizer], "model and optimizer")
        words = None if state is None else {name: getattr(state, name) for name in _WORDS}
        publish(_TOPIC, [random_streams(), words])
        _first_of(values(variables))
        return state
    streams, words = receive(_TOPIC)
    restore_streams(streams)
    arrays = _first_of(values(variables))
    assign(variables, arrays, "model and optimizer")
    if words is None:
        return None
    count = len(model.variables)
    return TrainingState(model=arrays[:count], optimizer=arrays[count:], best=[], **words)


def _first_of(arrays: list[np.ndarray]) -> list[np.ndarray]:
    """The arrays of the first process."""
    return [np.asarray(array) for array in multihost_utils.broadcast_one_to_all(arrays)]
