"""The drawing of an architecture, read off the Keras model: stages of equal resolution, and the skips between them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

import keras
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from seglab.models.summary import leaf_layers
from seglab.viz.figures import INK, blank_figure

Side = Literal["down", "bottom", "up"]
_COLORS = {"down": "#d6e6f2", "bottom": "#f7dcc8", "up": "#d5ecdf"}
_ARROW, _SKIP = "#5d6d7e", "#0072b2"
_WIDTH, _HEIGHT, _STEP_X, _STEP_Y = 1.0, 0.62, 1.32, 1.0


@dataclass
class Stage:
    """Layers of one resolution on one side of a network.

    Attributes:
        side: on the way down, at the bottom (the coarsest resolution), or on the way up from it.
        size: spatial size of what it gives.
        channels: the most that it hands on to another stage; of the last stage, those of its last layer.
        convolutions: how many layers with a spatial kernel it has.
        weights: of all its layers.
    """

    side: Side
    size: tuple[int, ...]
    channels: int = 0
    convolutions: int = 0
    weights: int = 0


@dataclass
class Drawing:
    """An architecture as it is drawn.

    Attributes:
        stages: in the order in which an image passes them.
        skips: numbers of stages of equal size, on the way down and up, that are joined directly.
        image: size and channels of the input.
        weights: of the whole network.
    """

    stages: list[Stage]
    skips: list[tuple[int, int]]
    image: tuple[int, ...]
    weights: int


def read_stages(model: keras.Model) -> Drawing:
    """The stages of a functional model with one input.

    A layer belongs to the way up when it is computed from the coarsest features. Averages over the whole image, which
    have one position, are no resolution of their own. A network of one resolution is a stack: each of its convolutions
    is a stage.
    """
    layers = [
        layer
        for layer in leaf_layers(model)
        if _shape(layer) is not None and not isinstance(layer, keras.layers.InputLayer)
    ]
    shapes = [_shape(layer) for layer in layers]
    before = _producers(model, layers)
    coarsest = min(map(_positions, shapes))
    stack = len({shape[:-1] for shape in shapes}) == 1
    found: dict[tuple[Any, ...], Stage] = {}
    key_of: list[tuple[Any, ...]] = []
    side_of: list[Side] = []
    for layer, shape, producers in zip(layers, shapes, before, strict=True):
        after = any(side_of[i] != "down" for i in producers)
        side: Side = "bottom" if _positions(shape) == coarsest else "up" if after else "down"
        convolution = len(getattr(getattr(layer, "kernel", None), "shape", ())) > 2
        key: tuple[Any, ...] = (side, shape[:-1])
        if stack:
            key = (len(found),) if convolution or not key_of else key_of[-1]
        stage = found.setdefault(key, Stage(side, shape[:-1]))
        stage.channels = shape[-1]
        stage.convolutions += convolution
        stage.weights += layer.count_params()
        side_of.append(side)
        key_of.append(key)
    for key, stage in found.items():
        handed_on = [shapes[i][-1] for n, of in enumerate(before) for i in of if key_of[i] == key != key_of[n]]
        stage.channels = max(handed_on, default=stage.channels)
    # What only pads or scales is no stage, unless it is the end.
    kept = [key for key, stage in found.items() if stage.convolutions or key == key_of[-1]]
    if not stack:
        kept.sort(key=lambda key: _order(found[key]))
    joined = {
        (kept.index(key_of[i]), kept.index(key_of[n]))
        for n, of in enumerate(before)
        for i in of
        if (side_of[i], side_of[n]) == ("down", "up") and {key_of[i], key_of[n]} <= set(kept)
    }
    stages = [found[key] for key in kept]
    skips = sorted((i, j) for i, j in joined if stages[i].size == stages[j].size)
    return Drawing(stages, skips, tuple(model.inputs[0].shape[1:]), model.count_params())


def draw_architecture(drawing: Drawing, title: str) -> Figure:
    """Boxes for the stages with the size and channels of what they give, lower where the resolution is coarser."""
    sizes = sorted({stage.size for stage in drawing.stages}, key=math.prod, reverse=True)
    level = {size: number for number, size in enumerate(sizes)}
    count = len(drawing.stages)
    figure = blank_figure(min(11.0, 1.6 + 1.15 * (count + 1)), 1.3 + 0.72 * len(sizes))
    axes = figure.subplots()
    places = [(_STEP_X * (i + 1), -_STEP_Y * level[stage.size]) for i, stage in enumerate(drawing.stages)]
    for (x, y), stage in zip(places, drawing.stages, strict=True):
        counted = f"{stage.convolutions} conv" + ("s" if stage.convolutions != 1 else "")
        below = f"{counted}, {_short(stage.weights)} weights" if stage.convolutions else "interpolated"
        text = f"{_sized(stage.size)}\n× {stage.channels}"
        _box(axes, x, y, text, below, _COLORS[stage.side])
    for (x0, y0), (x1, y1) in pairwise(places):
        _arrow(axes, x0, y0, x1, y1)
    for first, last in drawing.skips:
        (x0, y), (x1, _) = places[first], places[last]
        start, end = (x0 + _WIDTH / 2, y + 0.12), (x1 - _WIDTH / 2, y + 0.12)
        axes.annotate("", end, start, arrowprops={"arrowstyle": "-|>", "color": _SKIP, "lw": 1.4, "ls": (0, (4, 2))})
    _box(axes, 0, 0, f"{_sized(drawing.image[:-1])}\n× {drawing.image[-1]}", "image", "white")
    _arrow(axes, 0, 0, *places[0])
    skips = "   dashed: skip connections" if drawing.skips else ""
    axes.set_title(f"{title}: {drawing.weights:,} weights{skips}", fontsize=9.5, color=INK, loc="left")
    axes.set_xlim(-0.75, _STEP_X * count + 0.75)
    axes.set_ylim(-_STEP_Y * (len(sizes) - 1) - 0.75, 0.5)
    axes.axis("off")
    return figure


def _producers(model: keras.Model, layers: Sequence[Any]) -> list[set[int]]:
    """For each layer the numbers of those that it gets its features from, also across the border of a nested model."""
    alias = dict(_borders(model))
    made = {id(tensor): n for n, layer in enumerate(layers) for tensor in keras.tree.flatten(layer.output)}
    known = {id(layer): n for n, layer in enumerate(layers)}
    skipped = {
        id(tensor): layer
        for layer in leaf_layers(model)
        if id(layer) not in known
        for tensor in keras.tree.flatten(layer.output)
    }

    def sources(tensor: Any) -> Iterator[int]:
        at = id(tensor)
        while at in alias:
            at = alias[at]
        if at in made:
            yield made[at]
        elif at in skipped and not isinstance(skipped[at], keras.layers.InputLayer):
            # Averages over the image: what goes into them stands for them.
            for before in keras.tree.flatten(skipped[at].input):
                yield from sources(before)

    return [{n for tensor in keras.tree.flatten(layer.input) for n in sources(tensor)} for layer in layers]


def _borders(model: keras.Model) -> Iterator[tuple[int, int]]:
    """Tensors of a model that is nested in another, each with the one of the other that it is."""
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            node = layer._inbound_nodes[-1]
            yield from zip(map(id, node.output_tensors), map(id, layer.outputs), strict=True)
            yield from zip(map(id, layer.inputs), map(id, node.arguments.keras_tensors), strict=True)
            yield from _borders(layer)


def _shape(layer: Any) -> Any:
    """Size and channels of what a layer gives; None for vectors and for averages over the whole image."""
    shape = tuple(keras.tree.flatten(layer.output)[0].shape[1:])
    return shape if len(shape) > 2 and _positions(shape) > 1 else None


def _positions(shape: tuple[int, ...]) -> int:
    return math.prod(shape[:-1])


def _order(stage: Stage) -> tuple[int, int]:
    """Down from fine to coarse, then up."""
    positions = math.prod(stage.size)
    return (1, positions) if stage.side == "up" else (0, -positions)


def _box(axes: Axes, x: float, y: float, text: str, below: str, color: str) -> None:
    corner = (x - _WIDTH / 2, y - _HEIGHT / 2)
    style = "round,pad=0,rounding_size=0.08"
    axes.add_patch(FancyBboxPatch(corner, _WIDTH, _HEIGHT, boxstyle=style, fc=color, ec=_ARROW, lw=0.9))
    axes.text(x, y, text, ha="center", va="center", fontsize=7.5, color=INK)
    axes.text(x, y - _HEIGHT / 2 - 0.03, below, ha="center", va="top", fontsize=6.4, color=_ARROW)


def _arrow(axes: Axes, x0: float, y0: float, x1: float, y1: float) -> None:
    """From the right edge of a box to the left edge of the next."""
    start, end = (x0 + _WIDTH / 2, y0), (x1 - _WIDTH / 2, y1)
    axes.annotate("", end, start, arrowprops={"arrowstyle": "-|>", "color": _ARROW, "lw": 1.1, "shrinkA": 0})


def _sized(size: Sequence[int]) -> str:
    return " × ".join(str(side) for side in size)


def _short(count: int) -> str:
    return f"{count / 1e6:.1f} M" if count >= 1e6 else f"{count / 1e3:.1f} k" if count >= 1e3 else str(count)
