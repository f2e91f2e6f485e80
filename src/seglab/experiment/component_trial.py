"""A user's own part is tried once, on next to nothing, before a run begins: what it returns must be what is wanted.

The parts of this package have their own tests and are not tried.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from seglab.config.constructors import EXAMPLES
from seglab.config.run_config import Component
from seglab.config.transforms import TARGET as ALBUMENTATIONS
from seglab.errors import ConfigError
from seglab.task import Task

if TYPE_CHECKING:
    import keras

_PACKAGE = Path(__file__).resolve().parents[1]
_TRIALS = 8


def prove_augmentation(augmentation: Any, component: Component, task: Task, size: Sequence[int]) -> None:
    """Refuse an augmentation that does not hand back an image and a mask of the shapes that it got.

    Raises:
        ConfigError: shows what came back.
    """
    if _ours(component) and component.target != ALBUMENTATIONS:
        return
    rng = np.random.default_rng(0)
    image = rng.normal(size=(*size, task.channels)).astype("float32")
    mask = rng.integers(0, task.classes, size)
    wanted = f"a pair: image {image.shape} float32 and mask {mask.shape} of class ids"
    if not callable(augmentation):
        raise _refused("augment", component, _kind(augmentation), "an object to call with (image, mask, rng, spacing)")
    if component.target == ALBUMENTATIONS:
        for _ in range(_TRIALS):  # each of its transforms is drawn with a probability
            augmentation(image.copy(), mask, rng)
        return
    back = _tried("augment", component, lambda: augmentation(image.copy(), mask.copy(), rng, [1.0] * task.rank), wanted)
    if not isinstance(back, (tuple, list)) or len(back) != 2:
        raise _refused("augment", component, _kind(back), wanted)
    shapes = [np.shape(part) for part in back]
    if shapes != [image.shape, mask.shape] or not np.issubdtype(np.asarray(back[1]).dtype, np.integer):
        found = f"shapes {shapes[0]} and {shapes[1]}, the mask of {np.asarray(back[1]).dtype}"
        raise _refused("augment", component, found, wanted)


def prove_model(model: Any, component: Component, task: Task, size: Sequence[int]) -> None:
    """Refuse what is no Keras model from `(B, *size, C)` to logits `(B, *size, task.logit_channels)`.

    Raises:
        ConfigError: shows its type, or the shape that it gives.
    """
    import keras

    if _ours(component):
        return
    wanted = (
        f"a keras.Model from (B, {_sides(size)}, {task.channels}) to logits (B, {_sides(size)}, {task.logit_channels})"
    )
    if not isinstance(model, keras.Model):
        raise _refused("model", component, _kind(model), wanted)
    if not model.built or len(model.inputs) != 1:
        raise _refused("model", component, "a model without one known input", f"{wanted}, made with keras.Input")
    outputs = model.outputs[0].shape
    if tuple(model.inputs[0].shape[1:]) != (*size, task.channels) or tuple(outputs[1:]) != (*size, task.logit_channels):
        raise _refused("model", component, f"from {model.inputs[0].shape} to {outputs}", wanted)


def prove_loss(loss: Any, component: Component, task: Task, size: Sequence[int]) -> None:
    """Refuse a loss that gives no single number, or none whose gradient reaches the logits.

    Raises:
        ConfigError: shows what it gave.
    """
    if _ours(component):
        return
    import keras

    if not callable(loss):
        raise _refused("loss", component, _kind(loss), "a keras.losses.Loss, or a function of (y_true, y_pred)")
    ids = (np.arange(2 * int(np.prod(size))).reshape(2, *size) % task.classes).astype("int32")
    logits = np.random.default_rng(0).normal(size=(2, *size, task.logit_channels)).astype("float32")
    differentiated = _with_jax if keras.backend.backend() == "jax" else _with_tensorflow
    wanted = "one number for the batch, of shape ()"
    value, gradient = _tried("loss", component, lambda: differentiated(loss, ids, logits), wanted)
    given = "y_true (2, {0}) class ids and y_pred (2, {0}, {1}) logits".format(_sides(size), task.logit_channels)
    if value is None or not hasattr(value, "shape") or len(value.shape):
        found = _kind(value) if value is None or not hasattr(value, "shape") else f"shape {tuple(value.shape)}"
        raise _refused("loss", component, f"{found}, for {given}", wanted)
    if gradient is None:
        found = f"{float(value):.4g} without a gradient, for {given}"
        expected = (
            "a number that is computed from y_pred by keras.ops alone: NumPy, argmax and casts to integers end it"
        )
        raise _refused("loss", component, found, expected)


def _with_tensorflow(loss: Any, ids: np.ndarray, logits: np.ndarray) -> tuple[Any, Any]:
    """The value of a loss and its gradient, None without one; within a graph, as in training."""
    import tensorflow as tf

    def tried(truth: Any, prediction: Any) -> tuple[Any, Any]:
        with tf.GradientTape() as tape:
            tape.watch(prediction)
            value = loss(truth, prediction)
        return value, None if value is None else tape.gradient(value, prediction)

    return tf.function(tried, autograph=False)(tf.constant(ids), tf.constant(logits))


def _with_jax(loss: Any, ids: np.ndarray, logits: np.ndarray) -> tuple[Any, Any]:
    """The same; what does not depend on the logits has a gradient of zeros there."""
    import jax

    value = jax.jit(loss)(ids, logits)
    if value is None or not hasattr(value, "shape") or value.shape:
        return value, None
    gradient = jax.grad(loss, argnums=1)(ids, logits)
    return value, gradient if np.any(gradient) else None


def prove_schedule(schedule: Any, component: Component) -> None:
    """Refuse what is no `seglab.schedules.Schedule`, or gives no learning rate.

    Raises:
        ConfigError: shows its type, or what it gave.
    """
    from seglab.schedules import Schedule

    if _ours(component):
        return
    if not isinstance(schedule, Schedule):
        raise _refused("schedule", component, _kind(schedule), "a seglab.schedules.Schedule, or a subclass")
    rate = schedule(0)
    if rate is None or np.shape(rate) != () or not np.isfinite(float(rate)):
        raise _refused("schedule", component, f"{rate} at step 0", "one finite number for a step")


def prove_optimizer(optimizer: keras.optimizers.Optimizer, component: Component) -> None:
    """Refuse what is no Keras optimizer.

    Raises:
        ConfigError: shows its type.
    """
    import keras

    if not _ours(component) and not isinstance(optimizer, keras.optimizers.Optimizer):
        raise _refused("optimizer", component, _kind(optimizer), "a keras.optimizers.Optimizer")


def _tried(group: str, component: Component, call: Callable[[], Any], wanted: str) -> Any:
    """What a trial gives; one that fails is told with the line of the user's file where it did."""
    try:
        return call()
    except Exception as error:
        frames = [frame for frame in traceback.extract_tb(error.__traceback__) if _is_users(frame.filename)]
        place = f" in {frames[-1].filename}, line {frames[-1].lineno}: {frames[-1].line}" if frames else ""
        message = f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error).strip() else ''}"
        if "None values not supported" in message:
            message = f"None: is its return missing? ({message})"
        raise _refused(group, component, f"{message}{place}", wanted) from error


def _is_users(file: str) -> bool:
    return not file.startswith("<") and "site-packages" not in file and not Path(file).is_relative_to(_PACKAGE)


def _ours(component: Component) -> bool:
    return component.target.startswith("seglab.")


def _kind(value: Any) -> str:
    return "None: is its return missing?" if value is None else f"a {type(value).__name__}"


def _sides(size: Sequence[int]) -> str:
    return ", ".join(map(str, size))


def _refused(group: str, component: Component, found: str, expected: str) -> ConfigError:
    return ConfigError(
        f"a {group} that gives something else than is wanted",
        code="component-result",
        where=f"{group}._target_={component.target}",
        found=found,
        expected=expected,
        remedy=EXAMPLES,
    )
