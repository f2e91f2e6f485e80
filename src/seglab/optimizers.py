"""Optimizers. Each can clip the gradient, keep a moving average of the weights and accumulate gradients.

What all of them take beside their own arguments:
    learning_rate: the peak as a number, or a schedule.
    clip_norm: the norm to which the gradient of all weights together is cut; null for no limit.
    ema_momentum: momentum of the moving average of the weights, which starts at those after the first update and moves
        once with each update; null for none.
    accumulate_steps: batches whose mean gradient makes one update.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any, TypeAlias

import keras
from keras import ops

from seglab.config.keras_targets import naming_keras
from seglab.config.types import DecayRate, NonNegativeFloat, PositiveDecayRate, PositiveFloat, PositiveInt
from seglab.schedules import Schedule

__all__ = ["Schedule", "adam", "adamw", "keras_optimizer", "lion", "muon", "rmsprop", "sgd"]

# Decay pulls weights towards 0, which is no natural place for an offset, a scale or a slope.
_NOT_DECAYED = ("bias", "beta", "gamma", "alpha")


Rate: TypeAlias = float | Schedule


def _shared(
    learning_rate: Rate, clip_norm: float | None, ema_momentum: float | None, accumulate_steps: int
) -> dict[str, Any]:
    """What all optimizers have in common, as Keras's arguments."""
    return {
        "learning_rate": learning_rate if isinstance(learning_rate, Schedule) else float(learning_rate),
        "global_clipnorm": clip_norm,
        "use_ema": ema_momentum is not None,
        "ema_momentum": 0.99 if ema_momentum is None else ema_momentum,
        "gradient_accumulation_steps": accumulate_steps if accumulate_steps > 1 else None,
    }


class AveragedUpdates:
    """A moving average of the weights that moves once with each update, to the weights after it.

    Keras moves it after every batch, also where the weights wait for more gradients to accumulate, so that the newest
    weights count too much; and it takes the weights of several updates for the first ones.
    """

    use_ema: bool
    ema_momentum: float
    gradient_accumulation_steps: int | None
    _iterations: Any
    _model_variables_moving_average: list[Any]

    def _update_model_variables_moving_average(self, trainable_variables: Any) -> None:
        if not self.use_ema:
            return
        # Keras counts the batch that has just been learned from only afterwards.
        batches, every = self._iterations + 1, self.gradient_accumulation_steps or 1
        updated = ops.equal(batches % every, 0)
        # Up to and with the first update the average is the weights themselves; between two updates it stays.
        kept = ops.where(updated, self.ema_momentum, 1.0)
        kept = ops.where(batches <= every, 0.0, kept)
        for variable, average in zip(trainable_variables, self._model_variables_moving_average, strict=True):
            if average is not None:  # Keras keeps none of variables that gradients overwrite
                momentum = ops.cast(kept, average.dtype)
                average.assign(momentum * average + (1.0 - momentum) * variable)


@keras.saving.register_keras_serializable(package="seglab")
class FusedAdam(AveragedUpdates, keras.optimizers.Adam):
    """Adam whose update is one TensorFlow kernel instead of a dozen: Keras's formula in half of its time.

    On other backends it is Keras's own.
    """

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        if keras.backend.backend() != "tensorflow":
            super().update_step(gradient, variable, learning_rate)
            return
        import tensorflow as tf

        i = self._get_variable_index(variable)
        step = tf.cast(self.iterations + 1, variable.dtype)
        beta_1, beta_2 = (tf.cast(beta, variable.dtype) for beta in (self.beta_1, self.beta_2))
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=self._momentums[i].value.handle,
            v=self._velocities[i].value.handle,
            beta1_power=beta_1**step,
            beta2_power=beta_2**step,
            lr=tf.cast(learning_rate, variable.dtype),
            beta1=beta_1,
            beta2=beta_2,
            epsilon=tf.cast(self.epsilon, variable.dtype),
            grad=tf.cast(gradient, variable.dtype),
        )


@keras.saving.register_keras_serializable(package="seglab")
class FusedAdamW(FusedAdam, keras.optimizers.AdamW):
    """AdamW with the update of `FusedAdam`."""


@keras.saving.register_keras_serializable(package="seglab")
class AveragedSGD(AveragedUpdates, keras.optimizers.SGD):
    """SGD with the average of `AveragedUpdates`."""


@keras.saving.register_keras_serializable(package="seglab")
class AveragedRMSprop(AveragedUpdates, keras.optimizers.RMSprop):
    """RMSprop with the average of `AveragedUpdates`."""


@keras.saving.register_keras_serializable(package="seglab")
class AveragedLion(AveragedUpdates, keras.optimizers.Lion):
    """Lion with the average of `AveragedUpdates`."""


@keras.saving.register_keras_serializable(package="seglab")
class ConvolutionalMuon(AveragedUpdates, keras.optimizers.Muon):
    """Muon for kernels of convolutions, which Keras's own leaves to AdamW.

    A kernel `(*window, in, out)` is taken as the matrix `(window * in, out)` (Jordan et al.: Muon, 2024). AdamW updates
    the rest: vectors, kernels that are a vector in this view (one output, depthwise), and the layers of
    `exclude_layers`.
    """

    def _should_use_adamw(self, variable: Any) -> bool:
        shape = tuple(variable.shape)
        if len(shape) < 2 or min(math.prod(shape[:-1]), shape[-1]) == 1:
            return True
        return any(re.search(keyword, variable.path) for keyword in self.exclude_layers)

    def _muon_update_step(self, gradient: Any, variable: Any, lr: Any, m: Any) -> None:
        self.assign_add(m, gradient + m * (self.momentum - 1))
        direction = gradient + self.momentum * m if self.nesterov else m
        matrix = ops.reshape(direction, (-1, variable.shape[-1]))
        update = self.lr_adjust(lr * self.zeropower_via_newtonschulz5(matrix, self.ns_steps))
        self.assign_sub(variable, ops.reshape(update, variable.shape))


def adam(
    learning_rate: Rate,
    *,
    beta_1: DecayRate = 0.9,
    beta_2: DecayRate = 0.999,
    epsilon: PositiveFloat = 1e-7,
    clip_norm: PositiveFloat | None = None,
    ema_momentum: DecayRate | None = None,
    accumulate_steps: PositiveInt = 1,
) -> keras.optimizers.Optimizer:
    """Adam (Kingma, Ba 2015)."""
    shared = _shared(learning_rate, clip_norm, ema_momentum, accumulate_steps)
    return FusedAdam(beta_1=beta_1, beta_2=beta_2, epsilon=epsilon, **shared)


def adamw(
    learning_rate: Rate,
    *,
    weight_decay: NonNegativeFloat = 0.01,
    beta_1: DecayRate = 0.9,
    beta_2: DecayRate = 0.999,
    epsilon: PositiveFloat = 1e-7,
    clip_norm: PositiveFloat | None = None,
    ema_momentum: DecayRate | None = None,
    accumulate_steps: PositiveInt = 1,
) -> keras.optimizers.Optimizer:
    """Adam with decoupled weight decay, of kernels only (Loshchilov, Hutter 2019)."""
    shared = _shared(learning_rate, clip_norm, ema_momentum, accumulate_steps)
    return _decaying_kernels_only(
        FusedAdamW(weight_decay=weight_decay, beta_1=beta_1, beta_2=beta_2, epsilon=epsilon, **shared)
    )


def sgd(
    learning_rate: Rate,
    *,
    momentum: DecayRate = 0.9,
    nesterov: bool = True,
    weight_decay: NonNegativeFloat = 0.0,
    clip_norm: PositiveFloat | None = None,
    ema_momentum: DecayRate | None = None,
    accumulate_steps: PositiveInt = 1,
) -> keras.optimizers.Optimizer:
    """Stochastic gradient descent with Nesterov momentum (Sutskever et al. 2013) and decoupled decay of kernels."""
    shared = _shared(learning_rate, clip_norm, ema_momentum, accumulate_steps)
    return _decaying_kernels_only(
        AveragedSGD(momentum=momentum, nesterov=nesterov, weight_decay=weight_decay or None, **shared)
    )


def rmsprop(
    learning_rate: Rate,
    *,
    rho: DecayRate = 0.9,
    momentum: DecayRate = 0.0,
    epsilon: PositiveFloat = 1e-7,
    centered: bool = False,
    clip_norm: PositiveFloat | None = None,
    ema_momentum: DecayRate | None = None,
    accumulate_steps: PositiveInt = 1,
) -> keras.optimizers.Optimizer:
    """RMSprop (Tieleman, Hinton 2012)."""
    shared = _shared(learning_rate, clip_norm, ema_momentum, accumulate_steps)
    return AveragedRMSprop(rho=rho, momentum=momentum, epsilon=epsilon, centered=centered, **shared)


def lion(
    learning_rate: Rate,
    *,
    beta_1: PositiveDecayRate = 0.9,
    beta_2: DecayRate = 0.99,
    weight_decay: NonNegativeFloat = 0.0,
    clip_norm: PositiveFloat | None = None,
    ema_momentum: DecayRate | None = None,
    accumulate_steps: PositiveInt = 1,
) -> keras.optimizers.Optimizer:
    """Lion, the sign of an interpolated momentum (Chen et al. 2023), with decoupled decay of kernels."""
    shared = _shared(learning_rate, clip_norm, ema_momentum, accumulate_steps)
    return _decaying_kernels_only(
        AveragedLion(beta_1=beta_1, beta_2=beta_2, weight_decay=weight_decay or None, **shared)
    )


def muon(
    learning_rate: Rate,
    *,
    momentum: DecayRate = 0.95,
    nesterov: bool = True,
    newton_schulz_steps: PositiveInt = 5,
    beta_1: DecayRate = 0.9,
    beta_2: DecayRate = 0.999,
    epsilon: PositiveFloat = 1e-7,
    weight_decay: NonNegativeFloat = 0.0,
    clip_norm: PositiveFloat | None = None,
    ema_momentum: DecayRate | None = None,
    accumulate_steps: PositiveInt = 1,
) -> keras.optimizers.Optimizer:
    """Muon for kernels, Adam for vectors and the head (Jordan et al. 2024), with decoupled decay of kernels.

    Updates have the size of Adam's (Liu et al. 2025), so that one learning rate serves both. The layers that make
    logits are found by their names, which begin with `logits`.
    """
    shared = _shared(learning_rate, clip_norm, ema_momentum, accumulate_steps)
    return _decaying_kernels_only(
        ConvolutionalMuon(
            momentum=momentum,
            nesterov=nesterov,
            ns_steps=newton_schulz_steps,
            adam_beta_1=beta_1,
            adam_beta_2=beta_2,
            epsilon=epsilon,
            weight_decay=weight_decay,
            adam_weight_decay=weight_decay,
            exclude_layers=["(^|/)logits"],
            **shared,
        )
    )


def _decaying_kernels_only(optimizer: keras.optimizers.Optimizer) -> keras.optimizers.Optimizer:
    optimizer.exclude_from_weight_decay(var_names=list(_NOT_DECAYED))
    return optimizer


def keras_optimizer(learning_rate: Rate, *, name: str, settings: Mapping[str, Any]) -> keras.optimizers.Optimizer:
    """The optimizer `keras.optimizers.<name>` with the schedule of the run, and otherwise as Keras has it.

    Raises:
        ConfigError: it refuses its arguments.
    """
    kind = getattr(keras.optimizers, name)
    with naming_keras("optimizer", name, kind, settings):
        return kind(learning_rate, **settings)
