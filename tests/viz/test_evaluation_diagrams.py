"""What the pictures of an evaluation show: the right numbers in the right places."""

from __future__ import annotations

import io

import numpy as np
import pandas as pd
import pytest

from seglab.metrics.calibration import BINS, Pixels, reliability
from seglab.task import Task
from seglab.viz.diagrams import TOO_SHY, TOO_SURE, confusion_diagram, reliability_diagram, spread_diagram

THREE = Task(rank=2, channels=1, class_names=("background", "a", "a name that is much too long"))


def size_of(figure) -> int:  # type: ignore[no-untyped-def]
    stream = io.BytesIO()
    figure.savefig(stream)
    return len(stream.getvalue())


def colour_of(color: str) -> tuple[float, ...]:
    return tuple(int(color[k : k + 2], 16) / 255 for k in (1, 3, 5))


def test_gaps_have_the_colour_of_their_side() -> None:
    # Confidence 0.9, all wrong: too sure. Confidence 0.5, all right: too shy.
    found = reliability(Pixels(np.log([[0.1, 0.9], [0.5, 0.5]]), np.array([0, 0])))
    figure = reliability_diagram({"As trained": found, "Again": found}, "Run: test")
    upper = figure.axes[0]
    heights = {
        color: {round(bar.get_x() * BINS): bar.get_height() for bar in upper.patches if bar.get_height() > 0
                and np.allclose(bar.get_facecolor()[:3], colour_of(color))}
        for color in (TOO_SURE, TOO_SHY)
    }  # fmt: skip
    assert heights[TOO_SURE] == {13: pytest.approx(0.9)}
    assert heights[TOO_SHY] == {7: pytest.approx(0.5)}
    assert upper.get_title() == f"As trained: ECE {found.ece:.4f}"
    assert upper.get_ylabel() == "Accuracy"
    assert figure.axes[2].get_xlabel().startswith("Confidence")
    assert len(figure.axes) == 4
    assert size_of(figure) > 10_000


def test_confusion_shares_of_each_row() -> None:
    figure = confusion_diagram(np.array([[3, 1, 0], [0, 2, 2], [0, 0, 0]]), THREE)
    shown = np.asarray(figure.axes[0].images[0].get_array().filled(np.nan))
    np.testing.assert_allclose(shown, [[0.75, 0.25, 0], [0, 0.5, 0.5], [np.nan] * 3])
    texts = [text.get_text() for text in figure.axes[0].texts]
    assert texts[:2] == ["0.75", "0.25"]
    assert texts[-3:] == ["–"] * 3
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()][2] == "a name that is mu…"
    many = Task(rank=2, channels=1, class_names=tuple(f"class {n}" for n in range(19)))
    assert not confusion_diagram(np.eye(19), many).axes[0].texts
    assert size_of(figure) > 5_000


def test_every_case_is_a_point_and_five_make_a_box() -> None:
    few, many = [0.9, 0.8, np.nan, np.nan, np.nan, np.nan], [0.2, 0.4, 0.5, 0.6, 0.7, 0.8]
    columns = {"dice/a": few, f"dice/{THREE.class_names[2]}": many}
    columns |= {f"hd95_nonempty/{name}": [3.0] * 6 for name in THREE.class_names[1:]}
    figure = spread_diagram(pd.DataFrame(columns), {"dice": "Dice", "hd95_nonempty": "HD95 in mm"}, THREE)
    dice, hd95 = figure.axes
    points = [line for line in dice.lines if line.get_marker() == "."]
    assert [len(line.get_xdata()) for line in points] == [2, 6]
    assert sorted(points[1].get_xdata()) == many
    assert len(dice.lines) == 2 + 5 + 1  # of the one box: median, two whiskers, two caps; the outline too
    assert dice.get_xlim() == pytest.approx((0.19, 1.01))
    assert hd95.get_xlim()[0] == 0
    assert hd95.get_xlabel() == "HD95 in mm"
    assert size_of(figure) > 10_000


def test_nothing_defined_is_still_a_picture() -> None:
    columns = {f"{score}/{name}": [np.nan] for score in ("dice", "hd95_nonempty") for name in THREE.class_names}
    assert size_of(spread_diagram(pd.DataFrame(columns), {"dice": "Dice", "hd95_nonempty": "HD95"}, THREE))
    nothing = reliability(Pixels(np.zeros((0, 3)), np.zeros(0, int)))
    assert size_of(reliability_diagram({"As trained": nothing}))
    assert size_of(confusion_diagram(np.zeros((3, 3)), THREE))
