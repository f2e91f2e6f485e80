"""What every model shares: its checked input, its logits, and training on several resolutions at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import layers

from seglab.errors import ConfigError
from seglab.task import Task


def model_input(task: Task, size: Sequence[int], multiple: int) -> Any:
    """Input `(B, *size, C)` float32 of a model that needs every side to be a multiple of `multiple`.

    Raises:
        ConfigError: the size has another rank than the task, or a side that the model cannot halve often enough;
            tells the next valid size.
    """
    if len(size) != task.rank:
        raise ConfigError(
            "an input size of the wrong rank",
            where="data.size",
            found=list(size),
            expected=f"{task.rank} numbers, one for each axis of {task.rank}D data",
            remedy=f"data.size=[{','.join([str(multiple)] * task.rank)}], or a larger multiple of {multiple} an axis",
        )
    valid = [-(-side // multiple) * multiple for side in size]
    if any(side < 1 for side in size) or valid != list(size):
        raise ConfigError(
            "an input size that the model cannot halve evenly",
            where="data.size",
            found=list(size),
            expected=f"multiples of {multiple}",
            remedy=f"the next valid size is data.size=[{','.join(str(max(side, multiple)) for side in valid)}]",
        )
    return keras.Input((*size, task.channels), dtype="float32", name="image")


def logits(x: Any, task: Task, name: str = "logits") -> Any:
    """Logits `(B, ..., task.logit_channels)` from features by a 1-wide convolution, in float32 whatever the policy."""
    convolution = getattr(layers, f"Conv{task.rank}D")
    return convolution(task.logit_channels, 1, dtype="float32", name=name)(x)


def supervision_weights(outputs: int) -> list[float]:
    """Shares of the loss of each output, each half of the one before, summing to 1."""
    total = sum(0.5**i for i in range(outputs))
    return [0.5**i / total for i in range(outputs)]


@keras.saving.register_keras_serializable(package="seglab")
class Network(keras.Model):
    """A functional Keras model from images to logits that can be trained on several resolutions at once.

    With deep supervision (Lee et al. 2015, https://arxiv.org/abs/1409.5185) the model has a list of outputs: logits at
    full resolution first, then at coarser ones. The loss is the average of the losses of all outputs, each with half
    the weight of the one before, against the truth sampled at the coarser grid (nearest neighbour, so that class ids
    and the label to ignore survive). Metrics see the first output only.

    Args:
        inputs: one symbolic input `(B, *size, C)`.
        outputs: logits `(B, *size, K)`, or a list of them.
        name: name of the model.
        freeze_epochs: for how many epochs, counted from the first, training holds the pre-trained encoder fixed.
        encoder_layers: names of the layers that hold it.
    """

    def __init__(
        self,
        inputs: Any,
        outputs: Any,
        name: str | None = None,
        *,
        freeze_epochs: int = 0,
        encoder_layers: Sequence[str] = (),
        **kwargs: Any,
    ):
        super().__init__(inputs, outputs, name=name, **kwargs)
        self.freeze_epochs = freeze_epochs
        self.encoder_layers = tuple(encoder_layers)

    def get_config(self) -> dict[str, Any]:
        own = {"freeze_epochs": self.freeze_epochs, "encoder_layers": list(self.encoder_layers)}
        return {**super().get_config(), **own}

    def freeze_encoder(self, frozen: bool) -> None:
        """Hold the layers of `encoder_layers` fixed, batch statistics included, or let them train again.

        Keras fixes what is trainable when the training function is made, so call this before `compile`, or follow it
        with `make_train_function(force=True)`. Build the optimizer with all variables first, while nothing is frozen
        (Keras's JAX trainer does not take such an optimizer).
        """
        for layer in self.encoder_layers:
            self.get_layer(layer).trainable = not frozen

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):  # type: ignore[no-untyped-def]
        if not isinstance(y_pred, (list, tuple)):
            return super().compute_loss(x, y, y_pred, sample_weight, training)
        total = 0.0
        for weight, symbolic, prediction in zip(supervision_weights(len(y_pred)), self.outputs, y_pred, strict=True):
            truth = _sampled(y, self.inputs[0].shape[1:-1], symbolic.shape[1:-1])
            total = total + weight * super().compute_loss(x, truth, prediction, sample_weight, training)
        return total

    def compute_metrics(self, x, y, y_pred, sample_weight=None):  # type: ignore[no-untyped-def]
        first = y_pred[0] if isinstance(y_pred, (list, tuple)) else y_pred
        return super().compute_metrics(x, y, first, sample_weight)


def _sampled(y_true: Any, full: Sequence[int], coarse: Sequence[int]) -> Any:
    """The labels nearest to the centres of the cells of a coarser grid, which divides the full one."""
    for axis, (fine, few) in enumerate(zip(full, coarse, strict=True), start=1):
        factor = fine // few
        if factor > 1:
            y_true = y_true[(slice(None),) * axis + (slice(factor // 2, None, factor),)]
    return y_true
