"""Batches that memory does not hold as a whole: computed in parts whose gradients are added up for one update.

The update is that of the whole batch where the loss is a mean over images: the parts' losses and gradients are weighted
by their images. Batch normalisation sees the statistics of each part.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from seglab.errors import TrainingError
from seglab.models.summary import ProcessMemory
from seglab.runtime.memory import available_bytes
from seglab.runtime.precision import find_device
from seglab.runtime.several_devices import Devices, chosen_devices
from seglab.training.step_trials import take, undone

_Batch = tuple[np.ndarray, np.ndarray]

_SPARE = 1.5


def compiled_step(
    model: keras.Model, training: bool, devices: Devices = 1, part: int | None = None, xla: bool = False
) -> Callable[..., Any]:
    """A step of Keras, compiled by its backend.

    Args:
        model: compiled.
        training: learn from a batch, or score it.
        devices: that share each batch, on JAX.
        part: images that are computed at once; None for whole batches.
        xla: compile it with XLA, on TensorFlow; JAX does so always.
    """
    if keras.backend.backend() == "jax":
        from seglab.training import jax_steps

        return jax_steps.compiled_step(model, training, devices, part)
    from seglab.training import tensorflow_steps

    return tensorflow_steps.compiled_step(model, training, part, xla)


def chosen_part(model: keras.Model, batch: _Batch, devices: Devices) -> int | None:
    """How many images of each batch to compute at once: None where memory holds the whole batch, else even parts.

    Raises:
        TrainingError: memory does not hold the smallest part.
    """
    count, fits = len(batch[0]), fitting_part(model, batch, devices)
    if fits == count:
        return None
    if fits == 0:
        raise _not_held(count, None, 0, "no room for a step of the smallest part of a batch")
    least = _devices_of(devices)
    even = -(-count // -(-count // fits))
    return -(-even // least) * least


def fitting_part(model: keras.Model, batch: _Batch, devices: Devices) -> int:
    """How many images of a batch a training step has room for, found by steps that are undone again.

    Parts of 1, 2, 4, … images are tried, until there is an error, on a CPU until what is left would not hold what the
    last one took once more with half of it to spare: there a larger one could end the process.

    Args:
        model: compiled, with its optimizer built.
        batch: of the size in question.
        devices: that share each batch.

    Returns:
        The images of the largest part that fits, at most the batch's; 0 where not even the smallest does.
    """
    on_cpu, memory = find_device().kind == "cpu", ProcessMemory()
    count, fits = len(batch[0]), 0
    part = min(_devices_of(devices), count)
    with undone(model, batch) as undo:
        before = memory.start()
        try:
            while fits < count:
                _try(model, batch, devices, part)
                fits = part
                if on_cpu and available_bytes() < _SPARE * (memory.peak() - before):
                    break
                part = min(2 * part, count)
                undo()
        except Exception as error:
            if not is_out_of_memory(error):
                raise
    return fits


def is_out_of_memory(error: BaseException) -> bool:
    """Whether TensorFlow, JAX or Python says that there is no memory left."""
    text = str(error)
    known = isinstance(error, MemoryError) or type(error).__name__ == "ResourceExhaustedError"
    return known or "RESOURCE_EXHAUSTED" in text or "Out of memory" in text


def out_of_memory(
    model: keras.Model, batch: _Batch, devices: Devices, part: int | None, error: BaseException
) -> TrainingError:
    """The error of a step that memory did not hold, with the batch that it holds. The model is of no use any more."""
    for variable in (*model.variables, *model.optimizer.variables, *model.metrics_variables):
        variable.assign(keras.ops.zeros(variable.shape, variable.dtype))  # JAX has taken what they held
    size = part or len(batch[0])
    fits = fitting_part(model, tuple(values[: max(size // 2, 1)] for values in batch), devices)  # type: ignore[arg-type]
    return _not_held(len(batch[0]), part, fits, str(error).strip().partition("\n")[0][:300])


def _not_held(count: int, part: int | None, fits: int, found: str) -> TrainingError:
    if not fits:
        remedy = "a smaller data.size or model.width, or another precision.policy"
    elif part is not None:
        remedy = f"free memory and resume, or a new run with data.batch_size={fits}"
    else:
        remedy = f"data.batch_size={fits}; or trainer.fit_memory=true, which learns from batches of {count} in parts"
    return TrainingError(
        "a training step that memory does not hold",
        code="out-of-memory",
        where=f"data.batch_size={count}" + (f", in parts of {part}" if part else ""),
        found=found,
        expected=f"at most {fits} images at once: so many were tried, and fit" if fits else "memory for one image",
        remedy=remedy,
    )


def _try(model: keras.Model, batch: _Batch, devices: Devices, part: int) -> None:
    """One training step of a part, or of two in turn where the batch has more."""
    whole = part == len(batch[0])
    step = compiled_step(model, True, devices, None if whole else part)
    x, y = (values[: 2 * part] for values in batch)
    take(model, step, (x, y))


def _devices_of(devices: Devices) -> int:
    if devices in (1, None):
        return 1
    return len(chosen_devices(devices, 0))
