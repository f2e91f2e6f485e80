"""Learning rate schedules.

Keras counts every batch as a step of the schedule, also where gradients are accumulated over several, so schedules are
written in batches (`steps_per_epoch`) and need not know about accumulation.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal

import keras
from keras import ops

from seglab.config.types import DecayRate, Fraction, NonNegativeFloat, PositiveFloat, PositiveInt
from seglab.errors import ConfigError


@dataclass(frozen=True)
class PlateauSettings:
    """When a callback lowers `Schedule.scale`: by `factor` after `patience_epochs` without gain, to `min_scale`."""

    factor: float
    patience_epochs: int
    min_scale: float


@keras.saving.register_keras_serializable(package="seglab")
class Schedule(keras.optimizers.schedules.LearningRateSchedule):
    """Learning rate at a step: the peak, times warm-up, times decay, times `scale`.

    Warm-up is linear over the first `warmup_epochs`, from one part of the way at step 0 to the peak at its last step.
    Decay runs over the rest, with progress t from 0 to 1:
        constant    1
        cosine      min_factor + (1 - min_factor) (1 + cos πt) / 2     (Loshchilov, Hutter: SGDR, 2017)
        polynomial  min_factor + (1 - min_factor) (1 - t) ** power     (Chen et al.: DeepLab, 2018)
    Past the last epoch it stays where it is.

    Attributes:
        scale: a float32 variable, 1 at the start, that a plateau callback lowers; part of the state of a run, and not
            among the variables of the optimizer. A compiled step reads it anew on TensorFlow; on JAX it is traced in.
        plateau: settings of that callback, or None when nothing is to lower the scale.

    Raises:
        ConfigError: the warm-up fills all epochs.
    """

    def __init__(
        self,
        learning_rate: float,
        epochs: int,
        steps_per_epoch: int,
        *,
        decay: Literal["constant", "cosine", "polynomial"] = "constant",
        warmup_epochs: float = 0.0,
        min_factor: float = 0.0,
        power: float = 1.0,
        plateau: PlateauSettings | dict[str, Any] | None = None,
    ):
        if warmup_epochs and warmup_epochs >= epochs:
            raise ConfigError(
                "a warm-up that leaves no epoch to train at the full learning rate",
                code="warm-up-too-long",
                where="schedule.warmup_epochs",
                found=warmup_epochs,
                expected=f"less than trainer.epochs={epochs}",
                remedy="shorten the warm-up or train longer",
            )
        self.learning_rate, self.epochs, self.steps_per_epoch = float(learning_rate), epochs, steps_per_epoch
        self.decay, self.warmup_epochs, self.min_factor, self.power = decay, warmup_epochs, min_factor, power
        self.plateau = PlateauSettings(**plateau) if isinstance(plateau, dict) else plateau
        self.scale = keras.Variable(1.0, dtype="float32", trainable=False, name="learning_rate_scale")
        self._warmup_steps = round(warmup_epochs * steps_per_epoch)
        self._decay_steps = max(epochs * steps_per_epoch - self._warmup_steps, 1)

    def __call__(self, step: Any) -> Any:
        """Learning rate, a float32 scalar, of the batch with this index, counted from 0 over all epochs."""
        step = ops.cast(step, "float32")
        rate = self.learning_rate * self.scale
        if self._warmup_steps:
            rate = rate * ops.minimum((step + 1.0) / self._warmup_steps, 1.0)
        if self.decay == "constant":
            return rate
        progress = ops.clip((step - self._warmup_steps) / self._decay_steps, 0.0, 1.0)
        if self.decay == "cosine":
            left = (1.0 + ops.cos(math.pi * progress)) / 2.0
        else:
            left = ops.power(1.0 - progress, self.power)
        return rate * (self.min_factor + (1.0 - self.min_factor) * left)

    def get_config(self) -> dict[str, Any]:
        keys = ("learning_rate", "epochs", "steps_per_epoch", "decay", "warmup_epochs", "min_factor", "power")
        return {key: getattr(self, key) for key in keys} | {"plateau": asdict(self.plateau) if self.plateau else None}


def constant(
    learning_rate: float, epochs: int, steps_per_epoch: int, *, warmup_epochs: NonNegativeFloat = 0.0
) -> Schedule:
    """The same learning rate for all epochs, after a warm-up."""
    return Schedule(learning_rate, epochs, steps_per_epoch, warmup_epochs=warmup_epochs)


def cosine(
    learning_rate: float,
    epochs: int,
    steps_per_epoch: int,
    *,
    warmup_epochs: NonNegativeFloat = 0.0,
    min_factor: Fraction = 0.0,
) -> Schedule:
    """Half a cosine from the peak down to `min_factor` of it, after a warm-up."""
    return Schedule(
        learning_rate, epochs, steps_per_epoch, decay="cosine", warmup_epochs=warmup_epochs, min_factor=min_factor
    )


def polynomial(
    learning_rate: float,
    epochs: int,
    steps_per_epoch: int,
    *,
    power: PositiveFloat = 0.9,
    warmup_epochs: NonNegativeFloat = 0.0,
    min_factor: Fraction = 0.0,
) -> Schedule:
    """The remaining share of the steps to the power of `power`, down to `min_factor`, after a warm-up."""
    return Schedule(
        learning_rate,
        epochs,
        steps_per_epoch,
        decay="polynomial",
        power=power,
        warmup_epochs=warmup_epochs,
        min_factor=min_factor,
    )


def plateau(
    learning_rate: float,
    epochs: int,
    steps_per_epoch: int,
    *,
    factor: DecayRate = 0.5,
    patience_epochs: PositiveInt = 5,
    warmup_epochs: NonNegativeFloat = 0.0,
    min_factor: Fraction = 0.01,
) -> Schedule:
    """The same learning rate until the monitored metric stalls for `patience_epochs`, then `factor` times it, and on
    down to `min_factor` of the peak."""
    settings = PlateauSettings(factor=factor, patience_epochs=patience_epochs, min_scale=min_factor)
    return Schedule(learning_rate, epochs, steps_per_epoch, warmup_epochs=warmup_epochs, plateau=settings)
