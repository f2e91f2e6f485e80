"""The Swin transformer on images and volumes: attention within windows, which every second block moves."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import layers, ops

from seglab.models.attention import add_residual, attend, attention_bytes, layer_norm, linear, linear_init, mlp

# What is added to the score of two positions that may not see one another, for each reason: its softmax is 0.
APART = 100.0


@keras.saving.register_keras_serializable(package="seglab")
class WindowAttention(keras.layers.Layer):
    """Attention of several heads within windows of a grid (Liu et al. 2021, https://arxiv.org/abs/2103.14030).

    Each head adds a learnt number for each offset between two positions of a window. Shifted windows lie half a window
    further and go around the grid's edge; positions that meet only there do not see one another, nor does anybody see
    the positions that fill the grid up to whole windows. Along an axis that is not longer than a window, the window is
    the axis, and nothing is shifted.

    Who may see whom is told by channels that queries and keys get in addition, whose products are 0 or `-APART`: a mask
    for each window would be as large as the scores, and a constant that exported models carry.

    Inputs `[queries, keys, values]`, each `(B, *grid, C)`; output `(B, *grid, C)`.

    Args:
        heads: divides C.
        window: side of a window.
        shifted: whether windows lie half a window further.
    """

    def __init__(self, heads: int, window: int, shifted: bool, **kwargs: Any):
        super().__init__(**kwargs)
        self.heads, self.window, self.shifted = heads, window, shifted

    def build(self, input_shape: Sequence[Sequence[Any]]) -> None:
        grid = [int(side) for side in input_shape[0][1:-1]]
        self._channels = int(input_shape[0][-1])
        self._grid = grid
        self._sides = [min(self.window, side) for side in grid]
        self._counts = [-(-side // own) for side, own in zip(grid, self._sides, strict=True)]
        self._filled = [count * own for count, own in zip(self._counts, self._sides, strict=True)]
        self._shift = [
            own // 2 if self.shifted and side > own else 0 for side, own in zip(grid, self._sides, strict=True)
        ]
        self.offsets = self.add_weight(
            shape=((2 * self.window - 1) ** len(grid), self.heads), initializer=linear_init(), name="offsets"
        )
        self._index = offset_index(self._sides, self.window)
        self._strangers = self._marks() if any(self._shift) or self._filled != grid else None

    def _marks(self) -> tuple[np.ndarray, np.ndarray]:
        """Additional channels `(windows, positions, marks)` of queries and of keys."""
        of_axis = []
        for side, own, filled, shift in zip(self._grid, self._sides, self._filled, self._shift, strict=True):
            place = (np.arange(filled) + shift) % filled  # which position of the grid came here
            label = np.zeros(filled, int)  # of what lay together before the shift
            if shift:
                label[filled - own : filled - shift], label[filled - shift :] = 1, 2
            of_axis.append(np.column_stack([label[:, None] == np.arange(3), place >= side]).astype("float32"))
        queries, keys = [], []
        for windows in itertools.product(*(range(count) for count in self._counts)):
            parts = [
                of_axis[a][w * own : (w + 1) * own] for a, (w, own) in enumerate(zip(windows, self._sides, strict=True))
            ]
            places = itertools.product(*(range(own) for own in self._sides))
            rows = np.array([np.concatenate([parts[a][i] for a, i in enumerate(place)]) for place in places])
            unlike = -APART * (1 - rows)
            unlike[:, 3::4] = -APART  # whatever is filled in is a stranger to all
            queries.append(unlike)
            keys.append(rows)
        return np.array(queries, "float32"), np.array(keys, "float32")

    def call(self, inputs: Sequence[Any]) -> Any:
        queries, keys, values = (self._in_windows(x) for x in inputs)
        queries = queries * queries.shape[-1] ** -0.5
        if self._strangers is not None:
            queries, keys = (self._marked(x, m) for x, m in zip((queries, keys), self._strangers, strict=True))
        positions = math.prod(self._sides)
        bias = ops.take(ops.cast(self.offsets, "float32"), self._index.ravel(), axis=0)
        bias = ops.transpose(ops.reshape(bias, (positions, positions, self.heads)), (2, 0, 1))
        return self._on_grid(attend(queries, keys, values, bias))

    def _marked(self, x: Any, marks: np.ndarray) -> Any:
        """Each head's channels and those of the marks."""
        wanted = ops.cast(ops.convert_to_tensor(marks[None, :, None]), x.dtype)
        return ops.concatenate([x, ops.broadcast_to(wanted, (*ops.shape(x)[:-1], marks.shape[-1]))], axis=-1)

    def _in_windows(self, x: Any) -> Any:
        """`(B, *grid, C)` to `(B, windows, heads, positions of a window, C / heads)`."""
        rank = len(self._grid)
        padding = [(0, filled - side) for filled, side in zip(self._filled, self._grid, strict=True)]
        if any(after for _, after in padding):
            x = ops.pad(x, [(0, 0), *padding, (0, 0)])
        x = _rolled(x, self._shift)
        pairs = [side for pair in zip(self._counts, self._sides, strict=True) for side in pair]
        x = ops.reshape(x, (-1, *pairs, self._channels))
        x = ops.transpose(x, (0, *range(1, 2 * rank, 2), *range(2, 2 * rank + 1, 2), 2 * rank + 1))
        x = ops.reshape(x, (-1, math.prod(self._sides), self.heads, self._channels // self.heads))
        x = ops.transpose(x, (0, 2, 1, 3))
        return ops.reshape(x, (-1, math.prod(self._counts), *x.shape[1:]))

    def _on_grid(self, x: Any) -> Any:
        """The reverse of `_in_windows`, without what filled the grid up."""
        rank = len(self._grid)
        x = ops.transpose(ops.reshape(x, (-1, *x.shape[2:])), (0, 2, 1, 3))
        x = ops.reshape(x, (-1, *self._counts, *self._sides, self._channels))
        x = ops.transpose(x, (0, *(place for a in range(rank) for place in (1 + a, 1 + rank + a)), 2 * rank + 1))
        x = _rolled(ops.reshape(x, (-1, *self._filled, self._channels)), [-shift for shift in self._shift])
        if self._filled != self._grid:
            x = x[(slice(None), *(slice(side) for side in self._grid))]
        return x

    def multiply_adds(self) -> int:
        """As of `ScaledAttention`, for the pairs within each window."""
        return 2 * self._pairs() * self._channels

    def inner_bytes(self) -> int:
        """As of `ScaledAttention`."""
        return attention_bytes(self._pairs() * self.heads, self.compute_dtype)

    def _pairs(self) -> int:
        return math.prod(self._counts) * math.prod(self._sides) ** 2

    def compute_output_shape(self, input_shape: Sequence[Sequence[int | None]]) -> tuple[int | None, ...]:
        return tuple(input_shape[0])

    def get_config(self) -> dict[str, Any]:
        own = {"heads": self.heads, "window": self.window, "shifted": self.shifted}
        return {**super().get_config(), **own}


def offset_index(sides: Sequence[int], window: int) -> np.ndarray:
    """`(positions, positions)`: the row of the table of offsets for each pair of positions of a window."""
    places = np.stack(np.meshgrid(*(np.arange(side) for side in sides), indexing="ij"), -1).reshape(-1, len(sides))
    apart = places[:, None] - places[None] + window - 1
    return np.sum(apart * (2 * window - 1) ** np.arange(len(sides))[::-1], axis=-1).astype("int32")


def _rolled(x: Any, shift: Sequence[int]) -> Any:
    """Positions moved towards the origin, around the edge, by so many along each axis."""
    for axis, by in enumerate(shift, start=1):
        if by:
            parts = [(slice(None),) * axis + (part,) for part in (slice(by, None), slice(None, by))]
            x = ops.concatenate([x[part] for part in parts], axis=axis)
    return x


@keras.saving.register_keras_serializable(package="seglab")
class SpaceToDepth(keras.layers.Layer):
    """Halves every side by putting the 2 ** rank values of each cell beside one another as channels.

    Input `(B, *size, C)`, output `(B, *(size / 2), 2**rank * C)`.
    """

    def call(self, inputs: Any) -> Any:
        *size, channels = inputs.shape[1:]
        rank = len(size)
        x = ops.reshape(inputs, (-1, *(n for side in size for n in (side // 2, 2)), channels))
        x = ops.transpose(x, (0, *range(1, 2 * rank, 2), *range(2, 2 * rank + 1, 2), 2 * rank + 1))
        return ops.reshape(x, (-1, *(side // 2 for side in size), 2**rank * channels))

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> tuple[int | None, ...]:
        batch, *size, channels = input_shape
        half = (None if side is None else side // 2 for side in size)
        return (batch, *half, None if channels is None else 2 ** len(size) * channels)


def swin_features(
    x: Any, width: int, depths: Sequence[int], heads: Sequence[int], window: int, drop_path: float
) -> list[Any]:
    """Features of a Swin transformer whose patches are 2 wide: at stride 2, and after each stage at half that.

    Each is brought to zero mean and unit variance at every position; stage i has `width * 2**i` channels.
    """
    rank = len(x.shape) - 2
    patches = getattr(layers, f"Conv{rank}D")
    x = patches(width, 2, strides=2, kernel_initializer=linear_init(), name="patches_conv")(x)
    features, done, last = [_standardised(x, "features0")], 0, max(sum(depths) - 1, 1)
    for stage, (depth, shared) in enumerate(zip(depths, heads, strict=True)):
        for i in range(depth):
            x = _block(x, shared, window, i % 2 == 1, drop_path * done / last, f"stage{stage}_{i}")
            done += 1
        x = layer_norm(SpaceToDepth(name=f"stage{stage}_merge")(x), f"stage{stage}_merge_norm")
        x = linear(x, width * 2 ** (stage + 1), f"stage{stage}_merge_linear", bias=False)
        features.append(_standardised(x, f"features{stage + 1}"))
    return features


def _standardised(x: Any, name: str) -> Any:
    return layers.LayerNormalization(epsilon=1e-5, center=False, scale=False, name=name)(x)


def _block(x: Any, heads: int, window: int, shifted: bool, drop_path: float, name: str) -> Any:
    channels = x.shape[-1]
    y = layer_norm(x, f"{name}_attention_norm")
    parts = [linear(y, channels, f"{name}_{part}") for part in ("queries", "keys", "values")]
    y = WindowAttention(heads, window, shifted, name=f"{name}_attention")(parts)
    x = add_residual(x, linear(y, channels, f"{name}_attention_out"), drop_path, f"{name}_attention_add")
    return add_residual(x, mlp(layer_norm(x, f"{name}_mlp_norm"), 4, f"{name}_mlp"), drop_path, f"{name}_mlp_add")
