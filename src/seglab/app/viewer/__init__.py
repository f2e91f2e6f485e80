"""The element that shows masks over a picture; everything that it does, it does in the browser."""

from __future__ import annotations

import base64
import gzip
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import streamlit as st

from seglab.app.api_client import Model
from seglab.viz import palette

_HERE = Path(__file__).parent
_MOST = 2048  # pixels of a side that are drawn: a browser keeps some ten bytes of each in each pane
_SCRIPTS = ("viewer", "moving", "painting", "elements")
_COLORS = {
    "found": palette.TRUE_POSITIVE,
    "added": palette.FALSE_POSITIVE,
    "missed": palette.FALSE_NEGATIVE,
    "confused": palette.CONFUSED,
    "ignored": palette.IGNORED,
}
_element = st.components.v2.component(
    "seglab.viewer",
    html='<div class="viewer"></div>',
    css=(_HERE / "viewer.css").read_text(encoding="utf-8"),
    js="\n".join((_HERE / f"{name}.js").read_text(encoding="utf-8") for name in _SCRIPTS),
)


@dataclass(frozen=True)
class Layer:
    """A mask on its way to the browser.

    Attributes:
        name: of whose mask it is.
        packed: class ids of `packed`.
    """

    name: str
    packed: str


@dataclass(frozen=True)
class Table:
    """Beneath the panes.

    Attributes:
        columns: a title and a kind of each: `text`, `share` for a bar, `score`.
        rows: cells, of which None has no value, and the colour of the row.
    """

    columns: Sequence[tuple[str, str]]
    rows: Sequence[tuple[Sequence[object], Sequence[int] | None]]


def colors(model: Model) -> tuple[palette.Color, ...]:
    """In which classes are drawn."""
    return palette.drawn_colors(model.task)


def number(value: float) -> float | None:
    """A score as a cell of a table; None for NaN."""
    return None if np.isnan(value) else float(value)


def packed(ids: np.ndarray) -> str:
    """Class ids uint8 of any shape, compressed, as text."""
    return base64.b64encode(gzip.compress(np.ascontiguousarray(ids).tobytes(), 1, mtime=0)).decode("ascii")


def unpacked(text: str, size: tuple[int, ...]) -> np.ndarray:
    """The inverse of `packed`."""
    return np.frombuffer(gzip.decompress(base64.b64decode(text)), np.uint8).reshape(size)


def step_of(size: tuple[int, ...]) -> int:
    """Every so many pixels one is drawn, in both directions; 1 draws all of them."""
    return max(1, -(-max(size[:2]) // _MOST))


def drawn(text: str, size: tuple[int, ...]) -> str:
    """Packed class ids with the pixels alone that are drawn."""
    step = step_of(size)
    return text if step == 1 else packed(unpacked(text, size)[::step, ::step])


def show(
    key: str,
    picture: str,
    size: tuple[int, ...],
    model: Model,
    layers: Sequence[Layer],
    panes: Sequence[Mapping[str, Any]],
    table: Table,
    file: str,
) -> None:
    """Show it.

    Args:
        key: of what is shown; other masks or another image have another.
        picture: its address.
        size: height and width; that of a volume is not shown here.
        model: whose classes they are.
        layers: masks.
        panes: of each a `title` and a `kind`: `picture`; `mask` of a `layer`; `errors` of the layers `truth` and
            `predicted`; `swipe` between `left` and `right`; `disagreement` of `layers`.
        table: beneath.
        file: what the names of pictures that are saved begin with.
    """
    step = step_of(size) if panes else 1
    fields = {
        "key": key,
        "picture": picture,
        "size": [-(-side // step) for side in size],
        "whole": list(size),
        "step": step,
        "classes": [
            {"name": name, "color": color} for name, color in zip(model.task.class_names, colors(model), strict=True)
        ],
        "first": palette.first_drawn(model.task),
        "ignore": model.task.ignore_label,
        "colors": _COLORS,
        "layers": [{"name": layer.name, "packed": drawn(layer.packed, size)} for layer in layers],
        "panes": list(panes),
        "table": {
            "columns": [{"title": title, "kind": kind} for title, kind in table.columns],
            "rows": [{"cells": list(cells), "color": color} for cells, color in table.rows],
        },
        "file": file,
    }
    _element(data=fields, key="viewer")
