"""Histograms as SVG and bars as HTML, without a plotting library: a page of them is made in milliseconds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from html import escape

import numpy as np
from matplotlib.ticker import MaxNLocator

SPLIT_COLORS = {"train": "#4c78a8", "val": "#f58518", "test": "#54a24b"}
WIDTH, HEIGHT, LEFT, BOTTOM, TOP = 330, 170, 44, 34, 8
BINS = 24
_SKEWED = 30  # largest value to the median, from which on the axis is logarithmic


def histogram(values: Mapping[str, Sequence[float]], x_label: str, y_label: str = "share of cases") -> str:
    """An SVG with one set of bars for each split; each set's heights sum to 1. Skewed values have a logarithmic axis.

    Args:
        values: numbers of each split, in the order in which they are drawn; empty splits are left out.
        x_label: what is counted, with its unit.
        y_label: what a height of 1 is.
    """
    given = {name: np.asarray(numbers, float) for name, numbers in values.items() if len(numbers)}
    everything = np.concatenate(list(given.values())) if given else np.zeros(0)
    everything = everything[np.isfinite(everything)]
    if not len(everything):
        return f'<p class="plain">{escape(x_label)}: nothing known</p>'
    low, high = float(everything.min()), float(everything.max())
    if np.isclose(low, high):
        return f'<p class="plain">{escape(x_label)}: <b>{low:g}</b> in every case</p>'
    logarithmic = low >= 0 and high > _SKEWED * float(np.median(everything)) > 0
    if logarithmic:
        least = everything[everything > 0].min()
        given = {name: np.log10(np.maximum(numbers, least)) for name, numbers in given.items()}
        low, high = float(np.log10(least)), float(np.log10(high))
    edges = np.histogram_bin_edges(everything, bins=min(BINS, max(len(everything), 4)), range=(low, high))
    heights = {name: np.histogram(numbers, edges)[0] / len(numbers) for name, numbers in given.items()}
    top = max(float(height.max()) for height in heights.values())

    def x_of(value: float) -> float:
        return LEFT + (value - low) / (high - low) * (WIDTH - LEFT - 8)

    def y_of(share: float) -> float:
        return HEIGHT - BOTTOM - share / top * (HEIGHT - BOTTOM - TOP)

    bars, step = [], (x_of(edges[1]) - x_of(edges[0])) / len(heights)
    for n, (name, height) in enumerate(heights.items()):
        bars += [
            f'<rect x="{x_of(edge) + n * step:.1f}" y="{y_of(share):.1f}" width="{max(step - 0.4, 0.8):.1f}" '
            f'height="{y_of(0) - y_of(share):.1f}" fill="{SPLIT_COLORS[name]}"/>'
            for edge, share in zip(edges[:-1], height, strict=True)
            if share
        ]
    return (
        f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(x_label)}">'
        + "".join(bars)
        + _axes(x_of, y_of, (low, high), top, x_label, y_label, logarithmic)
        + "</svg>"
    )


def _axes(
    x_of: Callable[[float], float],
    y_of: Callable[[float], float],
    ends: tuple[float, float],
    top: float,
    x_label: str,
    y_label: str,
    logarithmic: bool,
) -> str:
    base = y_of(0)
    parts = [f'<line x1="{LEFT}" y1="{base}" x2="{WIDTH - 8}" y2="{base}" class="axis"/>']
    ticks = []
    for tick in MaxNLocator(5, steps=[1, 2, 5, 10], integer=logarithmic).tick_values(*ends):
        if ends[0] <= tick <= ends[1]:
            label = f"{10.0**tick:,g}" if logarithmic else f"{tick:.4g}"
            ticks.append(f'<text x="{x_of(tick):.1f}" y="{base + 13:.1f}" text-anchor="middle">{label}</text>')
    parts += ticks
    for tick in MaxNLocator(3, steps=[1, 2, 5, 10]).tick_values(0, top):
        if 0 < tick <= top:
            y = y_of(tick)
            parts.append(f'<text x="{LEFT - 5}" y="{y + 3:.1f}" text-anchor="end">{tick:.0%}</text>')
            parts.append(f'<line x1="{LEFT}" y1="{y:.1f}" x2="{WIDTH - 8}" y2="{y:.1f}" class="grid"/>')
    middle = (LEFT + WIDTH) / 2
    x_label += " (logarithmic)" if logarithmic else ""
    parts.append(f'<text x="{middle}" y="{HEIGHT - 5}" text-anchor="middle" class="label">{escape(x_label)}</text>')
    at = (HEIGHT - BOTTOM) / 2
    parts.append(
        f'<text transform="translate(9 {at}) rotate(-90)" text-anchor="middle" class="label">{escape(y_label)}</text>'
    )
    return "".join(parts)


def bar(share: float, color: str) -> str:
    """A bar whose full length is a share of 1, with the number beside it."""
    number = f"{share:.1%}" if share >= 0.001 or share == 0 else "&lt;0.1%"
    return (
        f'<span class="bar"><span style="width:{100 * share:.2f}%;background:{color}"></span></span>'
        f'<span class="number">{number}</span>'
    )


def swatch(color: Sequence[int]) -> str:
    """A small square in an RGB colour of 0..255."""
    return f'<span class="swatch" style="background:rgb({",".join(map(str, color))})"></span>'
