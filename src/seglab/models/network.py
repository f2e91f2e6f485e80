"""What every model shares: its checked input, its logits, and training on several resolutions at once."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import layers, ops

from seglab.config.cross_checks import check_input_size
from seglab.config.stages import PerAxis
from seglab.models.resampling import LinearUpsampling
from seglab.task import Task


def model_input(task: Task, size: Sequence[int], multiple: PerAxis) -> Any:
    """Input `(B, *size, C)` float32 of a model that needs every side to be a multiple of `multiple`, or of its own.

    Raises:
        ConfigError: the size has another rank than the task, or a side that the model cannot halve often enough;
            tells the next valid size.
    """
    check_input_size(size, task.rank, multiple)
    return keras.Input((*size, task.channels), dtype="float32", name="image")


def logits(x: Any, task: Task, name: str = "logits") -> Any:
    """Logits `(B, ..., task.logit_channels)` from features by a 1-wide convolution, in float32 whatever the policy."""
    convolution = getattr(layers, f"Conv{task.rank}D")
    return convolution(task.logit_channels, 1, dtype="float32", name=name)(x)


def full_size_logits(x: Any, factor: int, task: Task, name: str = "logits") -> Any:
    """Logits of features that are `factor` times coarser than the image, interpolated linearly to its size."""
    coarse = logits(x, task, f"{name}_coarse")
    return LinearUpsampling(factor, dtype="float32", name=name)(coarse)


def supervision_weights(outputs: int) -> list[float]:
    """Shares of the loss of each output, each half of the one before, summing to 1."""
    total = sum(0.5**i for i in range(outputs))
    return [0.5**i / total for i in range(outputs)]


@keras.saving.register_keras_serializable(package="seglab")
class Network(keras.Model):
    """A functional Keras model from images to logits that can be trained on several resolutions at once.

    With deep supervision (Lee et al. 2015, https://arxiv.org/abs/1409.5185) the model has a list of outputs: logits at
    full resolution first, then at coarser ones. The loss is the average of the losses of all outputs, each with half
    the weight of the one before, against the truth on the coarser grid (`shrunk_truth`). Metrics see the first output
    only.

    Args:
        inputs: one symbolic input `(B, *size, C)`.
        outputs: logits `(B, *size, K)`, or a list of them.
        name: name of the model.
        freeze_epochs: for how many epochs, counted from the first, training holds the pre-trained encoder fixed.
        encoder_layers: names of the layers that hold it.
        ignore_label: of the truth, for the coarser outputs.
    """

    def __init__(
        self,
        inputs: Any,
        outputs: Any,
        name: str | None = None,
        *,
        freeze_epochs: int = 0,
        encoder_layers: Sequence[str] = (),
        ignore_label: int = 255,
        **kwargs: Any,
    ):
        super().__init__(inputs, outputs, name=name, **kwargs)
        self.ignore_label = ignore_label
        self.freeze_epochs = freeze_epochs
        self.encoder_layers = tuple(encoder_layers)

    def get_config(self) -> dict[str, Any]:
        own = {"freeze_epochs": self.freeze_epochs, "encoder_layers": list(self.encoder_layers)}
        return {**super().get_config(), **own, "ignore_label": self.ignore_label}

    def freeze_encoder(self, frozen: bool) -> None:
        """Hold the layers of `encoder_layers` fixed, batch statistics included, or let them train again.

        Keras fixes what is trainable when the training function is made, so call this before `compile`, or follow it
        with `make_train_function(force=True)`. Build the optimizer with all variables first, while nothing is frozen
        (Keras's JAX trainer does not take such an optimizer).
        """
        for layer in self.encoder_layers:
            self.get_layer(layer).trainable = not frozen

    def compute_loss(
        self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None, training: bool = True
    ) -> Any:
        if not isinstance(y_pred, (list, tuple)):
            return super().compute_loss(x, y, y_pred, sample_weight, training)
        total = 0.0
        for weight, symbolic, prediction in zip(supervision_weights(len(y_pred)), self.outputs, y_pred, strict=True):
            *coarse, channels = symbolic.shape[1:]
            truth = shrunk_truth(y, self.inputs[0].shape[1:-1], coarse, max(channels, 2), self.ignore_label)
            total = total + weight * super().compute_loss(x, truth, prediction, sample_weight, training)
        return total

    def compute_metrics(self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        first = y_pred[0] if isinstance(y_pred, (list, tuple)) else y_pred
        return super().compute_metrics(x, y, first, sample_weight)


def shrunk_truth(y_true: Any, full: Sequence[int], coarse: Sequence[int], classes: int, ignore_label: int) -> Any:
    """Class ids on a coarser grid, by the rule of `seglab.data.preprocessing.geometry.resize_mask`, within the graph.

    Args:
        y_true: `(B, *full)` class ids.
        full, coarse: sides of the grids, of which each coarse one divides the full one.
        classes: K; an id that is no class counts as ignored.
        ignore_label: id of what is ignored.

    Returns:
        `(B, *coarse)` int32; `y_true` itself where the grids are one.
    """
    if tuple(full) == tuple(coarse):
        return y_true
    factors = [fine // few for fine, few in zip(full, coarse, strict=True)]
    pairs = [side for pair in zip(coarse, factors, strict=True) for side in pair]
    cells = ops.reshape(ops.cast(y_true, "int32"), (-1, *pairs))
    within = tuple(range(2, 2 * len(factors) + 1, 2))
    ids = [k for k in range(classes) if k != ignore_label]
    # One class at a time: all of them at the full size would be larger than the logits.
    votes = ops.stack([ops.sum(ops.cast(ops.equal(cells, k), "int32"), axis=within) for k in ids], axis=-1)
    pixels = ops.sum(votes, axis=tuple(range(1, len(full) + 1)))
    # How many classes lose a tie against each: those with more pixels, and of as many those with a lower id.
    more = ops.greater(pixels[:, None, :], pixels[:, :, None])
    lower = ops.logical_and(ops.equal(pixels[:, None, :], pixels[:, :, None]), np.tri(len(ids), k=-1, dtype=bool))
    beaten = ops.sum(ops.cast(ops.logical_or(more, lower), "int32"), axis=-1)
    beaten = ops.reshape(beaten, (-1, *(1 for _ in full), len(ids)))
    winner = ops.take(ops.array(ids, "int32"), ops.argmax(votes * len(ids) + beaten, axis=-1))
    # Ignored where less than half of the cell is of a class.
    ignored = ops.less(2 * ops.sum(votes, axis=-1), math.prod(factors))
    return ops.where(ignored, ignore_label, ops.cast(winner, "int32"))
