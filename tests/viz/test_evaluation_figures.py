"""What the pictures show, read back from the figures; how they look is for the eye."""

from __future__ import annotations

import io
import math
import time

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from seglab.data.cases import Case, Sample
from seglab.task import Task
from seglab.viz import overlay
from seglab.viz.figures import Example, case_panel, curves, pick_examples
from seglab.viz.planes import foreground_middle, planes

BINARY = Task(rank=2, channels=1, class_names=("background", "object"), class_colors=((0, 0, 0), (250, 0, 0)))
THREE = Task(rank=3, channels=1, class_names=("background", "anterior", "posterior"))
HISTORY = [
    {"train_loss": 0.9, "val_loss": 1.0, "train_dice": 0.4, "val_dice": 0.35, "train_iou": 0.3, "val_iou": 0.25},
    {"train_loss": 0.5, "val_loss": 0.6, "train_dice": 0.8, "val_dice": 0.75, "train_iou": 0.7, "val_iou": 0.65},
    {"train_loss": 0.4, "val_loss": 0.7, "train_dice": 0.9, "val_dice": math.nan, "train_iou": 0.8, "val_iou": 0.6},
]


def size_of(figure: Figure) -> int:
    """Draws it, as saving does; a broken figure fails here."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.tell()


def drawn(figure: Figure) -> list[list[np.ndarray]]:
    """The pictures of each row."""
    pictures = [axes.images[0].get_array() for axes in figure.axes]
    return [pictures[i : i + 4] for i in range(0, len(pictures), 4)]


def example(**changes: object) -> Example:
    values: dict = {
        "case_id": "case_7",
        "image": np.zeros((2, 5, 1), np.uint8),
        "truth": np.array([[0, 1, 1, 0, 255], [0, 0, 0, 0, 0]]),
        "prediction": np.array([[0, 1, 0, 1, 1], [0, 0, 0, 0, 0]]),
        "spacing": (1.0, 1.0),
        "dice": 0.5,
    }
    return Example(**{**values, **changes})


def test_curves_hold_every_epoch() -> None:
    figure = curves(HISTORY, best_epoch=2, title="UNet_DiceLoss_Adam")
    assert figure.get_suptitle() == "UNet_DiceLoss_Adam"
    for axes, metric in zip(figure.axes, ("loss", "dice", "iou"), strict=True):
        assert axes.get_xlabel() == "Epoch"
        assert axes.get_ylabel().lower() == metric
        lines = {line.get_label(): line for line in axes.lines}
        for split in ("train", "val"):
            np.testing.assert_array_equal(lines[split].get_xdata(), [1, 2, 3])
            np.testing.assert_array_equal(lines[split].get_ydata(), [row[f"{split}_{metric}"] for row in HISTORY])
        best = HISTORY[1][f"val_{metric}"]
        assert [2.0, best] in [list(line.get_xydata()[0]) for line in axes.lines]
        assert axes.get_title().endswith(f"\nvalidation {best:.3f} in the epoch that is kept")
        assert not axes.texts  # none over a line, or over what stands at an axis
        assert axes.get_xlim()[0] > 0
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [
        "training",
        "validation",
        "epoch that is kept, 2",
    ]
    assert size_of(figure) > 10_000


def test_curves_without_validation_best_epoch_or_history() -> None:
    figure = curves([{"epoch": 5, "train_loss": 0.4}])
    assert [len(axes.lines) for axes in figure.axes] == [1, 0, 0]
    assert figure.axes[0].lines[0].get_xdata().tolist() == [5]
    assert size_of(figure)
    assert size_of(curves([]))


def test_a_best_epoch_that_is_not_a_number_is_marked_without_one() -> None:
    dice = curves(HISTORY, best_epoch=3).axes[1]
    assert dice.get_title() == "Dice of all pixels, mean of the classes\n "
    assert [3, 3] in [list(line.get_xdata()) for line in dice.lines]


def test_every_pixel_has_the_colour_of_its_error() -> None:
    figure = case_panel([example()], BINARY)
    _, truth, prediction, errors = drawn(figure)[0]
    # On black, the classes shine through at FILL; errors at ERROR_FILL over a grey of 0.35.
    red = np.array([250 / 255 * overlay.FILL, 0, 0])
    black = np.zeros(3)
    np.testing.assert_allclose(truth[0, :4], [black, red, red, black], atol=1e-6)
    np.testing.assert_allclose(prediction[0], [black, red, black, red, red], atol=1e-6)

    def over_grey(color: tuple[int, int, int]) -> np.ndarray:
        return 0.35 * (1 - overlay.ERROR_FILL) + overlay.ERROR_FILL * np.array(color) / 255

    expected = [overlay.TRUE_POSITIVE, overlay.FALSE_NEGATIVE, overlay.FALSE_POSITIVE]
    np.testing.assert_allclose(errors[0, 0], [0.35] * 3, atol=1e-6)
    np.testing.assert_allclose(errors[0, 1:4], [over_grey(color) for color in expected], atol=1e-6)
    # What is not scored is neither right nor wrong: grey stripes in truth and errors.
    for picture in (truth, errors):
        assert np.ptp(picture[0, 4]) < 1e-6
        assert picture[0, 4, 0] in (pytest.approx(0.85), pytest.approx(150 / 255))


def test_another_class_is_an_error_of_its_own() -> None:
    task = Task(rank=2, channels=1, class_names=("background", "a", "b"))
    figure = case_panel([example(truth=np.full((2, 5), 1), prediction=np.full((2, 5), 2))], task)
    errors = drawn(figure)[0][3]
    color = 0.35 * (1 - overlay.ERROR_FILL) + overlay.ERROR_FILL * np.array(overlay.CONFUSED) / 255
    np.testing.assert_allclose(errors, np.broadcast_to(color, errors.shape), atol=1e-6)


def test_titles_columns_and_legend() -> None:
    examples = [example(place="best", dice=0.9512), example(place="worst", dice=math.nan, truth=np.zeros((2, 5), int))]
    figure = case_panel(examples, BINARY)
    assert len(figure.axes) == 8
    assert [axes.get_title() for axes in figure.axes[:4]] == ["Input", "Truth", "Prediction", "Errors"]
    titles = [frame.get_suptitle() for frame in figure.subfigs]
    assert titles == ["Best: case_7   Dice 0.951", "Worst: case_7   Dice not defined (no foreground)"]
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert legend == ["object", "true positive", "false positive", "false negative", "ignored"]
    without = case_panel([example(truth=np.zeros((2, 5), int))], BINARY).legends[0]
    assert [text.get_text() for text in without.get_texts()] == legend[:-1]


def test_without_a_background_every_class_is_in_the_legend() -> None:
    truth, prediction = np.zeros((2, 5), int), np.ones((2, 5), int)
    for names in (("membrane", "cell"), ("sky", "road", "car")):
        task = Task(rank=2, channels=1, class_names=names, unscored=())
        figure = case_panel([example(truth=truth, prediction=prediction)], task)
        legend = [text.get_text() for text in figure.legends[0].get_texts()]
        assert legend == [*names, "right", "wrong class"]


def test_no_case_to_show_is_stated_and_not_an_error() -> None:
    figure = case_panel([], BINARY)
    assert "no case has a Dice" in figure.texts[0].get_text()
    assert size_of(figure)


def test_a_volume_shows_three_planes_at_one_scale() -> None:
    truth = np.zeros((6, 8, 4), int)
    truth[2, 5, 1] = 2
    image = np.random.default_rng(0).random((6, 8, 4, 1))
    spacing = (1.0, 0.5, 3.0)
    figure = case_panel([example(image=image, truth=truth, prediction=truth, spacing=spacing)], THREE)
    rows = drawn(figure)
    # Rows up, columns to the right: y over x at z = 1, z over x at y = 5, z over y at x = 2.
    assert [row[0].shape[:2] for row in rows] == [(8, 6), (4, 6), (4, 8)]
    assert [axes.get_ylabel() for axes in figure.axes[::4]] == ["xy plane, z = 1", "xz plane, y = 5", "yz plane, x = 2"]
    for (width, height), axes in zip(((6, 4), (6, 12), (4, 12)), figure.axes[::4], strict=True):
        assert axes.images[0].get_extent() == [0, width, 0, height]
        assert axes.images[0].origin == "lower"
        assert axes.get_aspect() == 1  # millimetres, so voxels are drawn in their shape
        assert np.ptp(axes.get_xlim()) == 6
    # The one voxel of class 2 lies at (x, y, z) = (2, 5, 1) in each plane.
    for row, place in zip(rows, ((5, 2), (1, 2), (1, 5)), strict=True):
        marked = np.argwhere(np.abs(row[3] - row[3][0, 0]).sum(axis=-1) > 0.3)
        assert list(place) in marked.tolist()
    assert size_of(figure) > 10_000


def test_an_anatomical_volume_says_where_right_is() -> None:
    volume = np.zeros((4, 5, 6), int)
    image = np.zeros((4, 5, 6, 1))
    figure = case_panel(
        [example(image=image, truth=volume, prediction=volume, spacing=(1, 1, 1), anatomical=True)], THREE
    )
    names = [axes.get_ylabel() for axes in figure.axes[::4]]
    assert names == ["axial, z = 3", "coronal, y = 2", "sagittal, x = 2"]
    axial = {text.get_text(): text.get_position() for text in figure.axes[0].texts}
    assert axial["R"][0] > axial["L"][0]
    assert axial["A"][1] > axial["P"][1]
    sagittal = {text.get_text(): text.get_position() for text in figure.axes[8].texts}
    assert sagittal["A"][0] > sagittal["P"][0]
    assert sagittal["S"][1] > sagittal["I"][1]


def test_the_middle_is_always_foreground() -> None:
    # A ring: its centre of mass is in the hole.
    x, y = np.mgrid[:21, :21] - 10
    ring = ((np.hypot(x, y) < 9) & (np.hypot(x, y) > 6)).astype(int)[..., None]
    empty = np.zeros_like(ring)
    middle = foreground_middle(ring, empty, (1.0, 1.0, 1.0), 255)
    assert ring[middle] == 1
    assert foreground_middle(empty, ring, (1.0, 1.0, 1.0), 255) == middle
    assert foreground_middle(np.where(ring == 0, 255, 0), empty, (1.0, 1.0, 1.0), 255) == (10, 10, 0)


def test_the_middle_is_measured_in_mm() -> None:
    # Centre of the three voxels: (0, 2, 1) in indices. With 10 mm along the last axis (0, 4, 1), which is on the
    # centre's own plane but two rows off, is nearer than (0, 1, 0) and (0, 1, 2), a plane and a row off.
    truth = np.zeros((1, 5, 3), int)
    truth[0, 1, 0] = truth[0, 1, 2] = truth[0, 4, 1] = 1
    assert foreground_middle(truth, truth, (1.0, 1.0, 10.0), 255) == (0, 4, 1)
    assert foreground_middle(truth, truth, (1.0, 1.0, 1.0), 255) == (0, 1, 0)


def test_pictures_in_colour_grey_and_with_outliers() -> None:
    mask = np.zeros((8, 8), int)
    colour = np.random.default_rng(0).random((8, 8, 3)).astype(np.float32)
    (plane,) = planes(colour, mask, mask, (1.0, 1.0), 255)
    assert np.ptp(plane.image, axis=-1).max() > 0.1
    for channels in (1, 2, 5):
        (plane,) = planes(colour[..., :1].repeat(channels, axis=-1), mask, mask, (1.0, 1.0), 255)
        assert plane.image.shape == (8, 8, 3)
        assert np.ptp(plane.image, axis=-1).max() == 0
    broken = np.linspace(0, 1, 10_000, dtype=np.float32).reshape(100, 100, 1)
    broken[0, 0], broken[0, 1] = 1e6, np.nan
    mask = np.zeros((100, 100), int)
    (plane,) = planes(broken, mask, mask, (1.0, 1.0), 255)
    assert 0.4 < np.median(plane.image) < 0.6
    assert np.isfinite(plane.image).all()
    assert (planes(np.full((4, 4, 1), 7), mask[:4, :4], mask[:4, :4], (1.0, 1.0), 255)[0].image == 0).all()


def test_large_images_are_thinned_and_keep_their_shape() -> None:
    mask = np.zeros((1500, 3000), np.uint8)
    (plane,) = planes(mask[..., None], mask, mask, (1.0, 2.0), 255)
    assert plane.truth.shape == (500, 1000)
    assert plane.width / plane.height == 4


def test_best_median_and_worst_are_read_and_predicted_again() -> None:
    class Source:
        task = BINARY
        cases = tuple(Case(f"c{i}", (), None, "g") for i in range(4))

        def read(self, case: Case) -> Sample:
            return Sample(np.full((2, 2, 1), int(case.id[1])), np.ones((2, 2), np.uint8), (1.0, 2.0), np.eye(4))

    class Predictor:
        def predict(self, image: np.ndarray, spacing: tuple[float, ...]) -> np.ndarray:
            return image[..., 0] + 1

    scores = pd.DataFrame({"id": ["c0", "c1", "c2", "c3"], "dice": [0.5, 0.9, math.nan, 0.1]})
    examples = pick_examples(Predictor(), Source(), scores)  # type: ignore[arg-type]
    assert [(e.place, e.case_id, e.dice) for e in examples] == [
        ("best", "c1", 0.9),
        ("median", "c0", 0.5),
        ("worst", "c3", 0.1),
    ]
    assert [int(e.prediction[0, 0]) for e in examples] == [2, 1, 4]
    assert (examples[0].spacing, examples[0].anatomical) == ((1.0, 2.0), False)


def test_nothing_global_changes_and_drawing_is_quick() -> None:
    before = dict(mpl.rcParams)
    r = np.random.default_rng(0)
    volumes = [
        example(
            image=r.random((48, 64, 48, 1)),
            truth=r.integers(0, 3, (48, 64, 48)),
            prediction=r.integers(0, 3, (48, 64, 48)),
            spacing=(1.0, 1.0, 1.0),
            place=place,
        )
        for place in ("best", "median", "worst")
    ]
    start = time.thread_time()
    size_of(case_panel(volumes, THREE))
    assert time.thread_time() - start < 3  # about 0.6 s on a quiet core
    assert dict(mpl.rcParams) == before
    import matplotlib.pyplot as plt

    assert plt.get_fignums() == []


def test_curves_say_that_their_scores_are_of_all_pixels():
    history = [{f"{split}_{metric}": 0.5 for split in ("train", "val") for metric in ("loss", "dice", "iou")}] * 3
    titles = [axes.get_title().partition("\n")[0] for axes in curves(history, best_epoch=2).axes]
    assert titles == ["Loss", "Dice of all pixels, mean of the classes", "IoU of all pixels, mean of the classes"]


def test_a_photograph_keeps_its_colours_and_modalities_have_a_scale_each() -> None:
    grey = np.random.default_rng(0).integers(0, 200, (40, 50, 1))
    brown = (grey * [1.0, 0.6, 0.3]).astype(np.uint8)
    ids = np.zeros((40, 50), np.uint8)
    red, green, blue = planes(brown, ids, ids, (1.0, 1.0), 255)[0].image.mean(axis=(0, 1))
    assert green / red == pytest.approx(0.6, abs=0.02)
    assert blue / red == pytest.approx(0.3, abs=0.02)
    volume = np.stack([brown] * 6, axis=2)
    of_volume = planes(volume, np.stack([ids] * 6, 2), np.stack([ids] * 6, 2), (1.0,) * 3, 255)[0].image
    assert np.ptp(of_volume.mean(axis=(0, 1))) < 0.05
