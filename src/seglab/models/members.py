"""Several networks of one task as one: their probabilities averaged within the graph, so that logits come out again.

What is averaged are probabilities, which bounds what one member that is far off can do. The result is the logarithm of
that mean, so that whoever takes logits (activation, export, another runtime) takes these as they are.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from seglab.data.preprocessing.normalisation import Preprocessing


@keras.saving.register_keras_serializable(package="seglab")
class Renormalised(keras.layers.Layer):
    """From what one preprocessing gives to what another would have given: `clip(x · scale + shift, low, high)`.

    Args:
        scale, shift: a number for each channel.
        low, high: likewise; empty where nothing is clipped.
    """

    def __init__(
        self,
        scale: Sequence[float],
        shift: Sequence[float],
        low: Sequence[float] = (),
        high: Sequence[float] = (),
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.scale, self.shift, self.low, self.high = list(scale), list(shift), list(low), list(high)

    def call(self, inputs: Any) -> Any:
        def of(values: list[float]) -> Any:
            return ops.cast(ops.convert_to_tensor(np.asarray(values, np.float64)), self.compute_dtype)

        found = inputs * of(self.scale) + of(self.shift)
        return ops.minimum(ops.maximum(found, of(self.low)), of(self.high)) if self.low else found

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "scale": self.scale,
            "shift": self.shift,
            "low": self.low,
            "high": self.high,
        }


@keras.saving.register_keras_serializable(package="seglab")
class MeanOfMembers(keras.layers.Layer):
    """Logits of the mean probability: `log mean softmax(z / T)` of each class; of one logit, and of each of several
    that stand for regions, the log-odds of the mean.

    Args:
        temperatures: T of each member.
        regions: whether each logit is of a region of its own.
    """

    def __init__(self, temperatures: Sequence[float], regions: bool = False, **kwargs: Any):
        super().__init__(**kwargs)
        self.temperatures, self.regions = [float(one) for one in temperatures], regions

    def call(self, inputs: Sequence[Any]) -> Any:
        each = [ops.cast(z, self.compute_dtype) / t for z, t in zip(inputs, self.temperatures, strict=True)]
        if each[0].shape[-1] == 1 or self.regions:  # the number of members falls out of log-odds
            return _log_of_sum([_log_sigmoid(z) for z in each]) - _log_of_sum([_log_sigmoid(-z) for z in each])
        return _log_of_sum([_log_softmax(z) for z in each]) - float(np.log(len(each)))

    def compute_output_shape(self, input_shape: Any) -> Any:
        return input_shape[0]

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "temperatures": self.temperatures, "regions": self.regions}


# Of operations that every export format has; Keras's own `logsumexp` asks for infinities.
def _log_of_sum(logs: Sequence[Any]) -> Any:
    """`log Σ exp`, element by element."""
    most = functools.reduce(ops.maximum, logs)
    return most + ops.log(functools.reduce(ops.add, [ops.exp(one - most) for one in logs]))


def _log_sigmoid(z: Any) -> Any:
    return ops.minimum(z, 0.0) - ops.log(1.0 + ops.exp(-ops.abs(z)))


def _log_softmax(z: Any) -> Any:
    z = z - ops.max(z, axis=-1, keepdims=True)
    return z - ops.log(ops.sum(ops.exp(z), axis=-1, keepdims=True))


def combined(
    models: Sequence[keras.Model],
    own: Sequence[Preprocessing],
    common: Preprocessing,
    temperatures: Sequence[float],
    regions: bool = False,
) -> keras.Model:
    """One network of several that take and give the same; of a single one, itself.

    Args:
        models: each of one input and one output of logits.
        own: what each was trained behind.
        common: what the result stands behind, see `common_preprocessing`.
        temperatures: of each member's logits.
        regions: whether each logit is of a region, and not of a class.
    """
    if len(models) == 1 and own[0] == common and temperatures[0] == 1:
        return models[0]
    image = keras.Input(models[0].inputs[0].shape[1:], name="image")
    answers = []
    for number, (model, preprocessing) in enumerate(zip(models, own, strict=True)):
        member = keras.Model(model.inputs, model.outputs[0], name=f"member_{number}")
        seen = image
        if preprocessing != common:
            seen = Renormalised(**_between(common, preprocessing), dtype="float32", name=f"seen_by_{number}")(image)
        answers.append(member(seen))
    mean = MeanOfMembers(temperatures, regions, dtype="float32", name="mean_of_members")
    return keras.Model(image, mean(answers))


def _between(common: Preprocessing, own: Preprocessing) -> dict[str, list[float]]:
    """Of one mode and unit, the change from one normalisation to the other. A window is clipped to its own ends, which
    lie within the common ones."""
    more = own.previous  # channels of a first stage's mask, which stay
    mean, own_mean = (np.array([*one.mean, *[0.0] * more]) for one in (common, own))
    std, own_std = (np.array([*one.std, *[1.0] * more]) for one in (common, own))
    found = {"scale": (std / own_std).tolist(), "shift": ((mean - own_mean) / own_std).tolist()}
    if own.mode == "window":
        ends = {"low": [*own.low, *[0.0] * more], "high": [*own.high, *[1.0] * more]}
        found |= {name: ((np.array(values) - own_mean) / own_std).tolist() for name, values in ends.items()}
    return found
