"""Colours of classes in pictures: told apart by every kind of eye, and no further from the declared than need be."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from seglab.data.labels.label_schema import Level, Void, built_in_schema
from seglab.reports.comparison.plots import COLORS
from seglab.task import DEFAULT_COLORS, Task
from seglab.viz import overlay
from seglab.viz.palette import _EYES, WANTED, Color, _distances, _seen, distinguishable, drawn_colors, first_drawn

CAMVID_PURPLES = ((128, 64, 128), (64, 64, 128))  # road and fence


def rgb(color: str) -> tuple[int, int, int]:
    return int(color[1:3], 16), int(color[3:5], 16), int(color[5:7], 16)


def nearest_pair(colors: Sequence[Color]) -> dict[str, float]:
    """For each kind of eye how far apart the two likest of the colours are, as CIEDE2000."""
    seen = _seen(np.array(colors))
    between = _distances(seen, seen)
    between[:, np.arange(len(colors)), np.arange(len(colors))] = np.inf
    return dict(zip(_EYES, between.min(axis=(1, 2)).tolist(), strict=True))


def test_distances_are_those_of_the_eye() -> None:
    apart = nearest_pair([(255, 0, 0), (0, 255, 0)])
    assert apart["all cones"] == pytest.approx(86.6, abs=0.1)  # the CIEDE2000 of sRGB's red and green
    assert apart["deuteranopia"] < apart["tritanopia"]
    assert nearest_pair([(128, 0, 0), (64, 64, 0)])["deuteranopia"] < 5  # CamVid's building and pedestrian
    assert all(value == 0 for value in nearest_pair([(9, 9, 9), (9, 9, 9)]).values())


def test_colours_that_are_apart_stay_as_they_are() -> None:
    colors = ((230, 75, 53), (77, 187, 213), (0, 90, 60))
    assert distinguishable(colors) == colors
    road, fence = distinguishable(CAMVID_PURPLES)
    assert road == CAMVID_PURPLES[0]
    assert min(nearest_pair([road, fence]).values()) >= WANTED
    assert distinguishable(((250, 0, 0),)) == ((250, 0, 0),)


@pytest.mark.parametrize("void", ["ignored", "class"])
@pytest.mark.parametrize("level", ["classes", "categories"])
@pytest.mark.parametrize("schema", ["camvid", "cityscapes"])
def test_classes_of_the_built_in_schemas_are_distinguished(schema: str, level: Level, void: Void) -> None:
    task = built_in_schema(schema).classes(level, void).task(2, 3)
    drawn = drawn_colors(task)
    assert drawn[0] == task.class_colors[0]
    assert min(nearest_pair(drawn).values()) >= WANTED


@pytest.mark.parametrize(("classes", "least"), [(2, 9), (12, 9), (13, 9), (20, 8.5), (27, 6.5), (34, 5.8)])
def test_classes_without_a_colour_are_distinguished_too(classes: int, least: float) -> None:
    task = Task(2, 1, tuple(f"class {k}" for k in range(classes)))
    colors = drawn_colors(task)
    assert colors[0] == DEFAULT_COLORS[0]  # the background, which is left clear
    if classes > 2:
        assert min(nearest_pair(colors[1:]).values()) >= least


def test_a_background_that_counts_is_drawn_like_the_others() -> None:
    names = ("sky", "road", "fence")
    task = Task(2, 3, names, ((128, 64, 128), *CAMVID_PURPLES), unscored=())
    assert first_drawn(task) == 0
    assert drawn_colors(task)[0] == (128, 64, 128)
    assert min(nearest_pair(drawn_colors(task)).values()) >= WANTED


def test_colours_of_errors_and_of_lines_are_distinguished() -> None:
    errors = [overlay.TRUE_POSITIVE, overlay.FALSE_POSITIVE, overlay.FALSE_NEGATIVE, overlay.CONFUSED, overlay.IGNORED]
    assert min(nearest_pair(errors).values()) > 9
    assert min(nearest_pair([rgb(color) for color in COLORS]).values()) > 9


def test_the_mask_and_its_legend_have_one_colour() -> None:
    task = Task(2, 3, ("sky", "road", "fence"), ((0, 0, 0), *CAMVID_PURPLES))
    drawn = overlay.colored(np.zeros((1, 2, 3), np.float32), np.array([[1, 2]]), task, fill=1.0)
    legend = [patch.get_facecolor()[:3] for patch in overlay.mask_legend(task, ignored=False, errors=False)]
    np.testing.assert_allclose(drawn[0], legend, atol=1e-6)
