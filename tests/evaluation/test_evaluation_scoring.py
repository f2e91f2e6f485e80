"""Scoring cases: the same whatever the number of processes, and clear when a process or a model fails."""

from __future__ import annotations

import weakref
from collections.abc import Sequence

import keras
import numpy as np
import pandas as pd
import psutil
import pytest

from seglab.data.cases import Case, Sample
from seglab.data.preprocessing.normalisation import Preprocessing
from seglab.errors import DataError
from seglab.evaluation.scoring import predicted_pixels, score_cases
from seglab.inference.checks import check_probabilities
from seglab.inference.predictor import Predictor
from seglab.task import Task

BINARY = Task(rank=2, channels=1, class_names=("background", "object"))
THREE = Task(rank=2, channels=1, class_names=("background", "a", "b"))


class Cases:
    """Cases whose image holds the probabilities that the predictor is to give."""

    name, split = "given", None

    def __init__(self, task: Task, pairs: Sequence[tuple[np.ndarray, np.ndarray]], spacing: tuple[float, ...]):
        self.task, self._pairs, self._spacing = task, pairs, spacing
        self.cases = [Case(f"case{n}", (), None, f"group{n}") for n in range(len(pairs))]
        self.held: list[weakref.ref] = []

    def read(self, case: Case) -> Sample:
        image, truth = self._pairs[int(case.id[4:])]
        sample = Sample(image.copy(), truth.copy(), self._spacing)
        self.held = [ref for ref in self.held if ref() is not None]
        self.held.append(weakref.ref(sample.image))
        return sample

    read_image = read

    def describe_files(self, case: Case) -> str:
        return f"files of {case.id}"

    def digest(self) -> str:
        return ""


class Giving:
    """Gives the image itself as probabilities, and refuses what a predictor would."""

    def __init__(self, task: Task, threshold: float = 0.5):
        self.task, self.threshold = task, threshold

    def predict_drawn(
        self, image: np.ndarray, spacing: Sequence[float], places: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        check_probabilities(image)
        mask = image[..., 1] > self.threshold if self.task.binary else image.argmax(axis=-1)
        with np.errstate(divide="ignore"):
            return mask.astype(np.uint8), np.log(image.reshape(-1, self.task.classes)[places])


class Counting(Giving):
    """Gives masks alone too."""

    def predict(self, image: np.ndarray, spacing: Sequence[float]) -> np.ndarray:
        return self.predict_drawn(image, spacing, np.empty(0, int))[0]


def given(task: Task, count: int = 3, spacing: tuple[float, ...] = (1.0, 2.0)) -> Cases:
    rng = np.random.default_rng(0)
    pairs = []
    for _ in range(count):
        probabilities = rng.random((9, 8, task.classes)).astype(np.float32)
        truth = rng.integers(0, task.classes, (9, 8)).astype(np.uint8)
        truth[0, :3] = task.ignore_label
        pairs.append((probabilities / probabilities.sum(axis=-1, keepdims=True), truth))
    return Cases(task, pairs, spacing)


def scored(source: Cases, workers: int, **further):  # type: ignore[no-untyped-def]
    return score_cases(Giving(source.task), source, source.cases, tolerance=1.0, workers=workers, **further)  # type: ignore[arg-type]


def test_processes_change_nothing_and_progress_is_reported() -> None:
    reported: list[tuple[int, int]] = []
    here = scored(given(THREE), 0)
    there = scored(given(THREE), 2, progress=lambda *now: reported.append(now))
    pd.testing.assert_frame_equal(here.cases.drop(columns="seconds"), there.cases.drop(columns="seconds"))
    np.testing.assert_array_equal(here.confusion, there.confusion)
    np.testing.assert_array_equal(here.pixels.logits, there.pixels.logits)
    assert reported == [(1, 3), (2, 3), (3, 3)]
    assert here.cases["id"].tolist() == ["case0", "case1", "case2"]
    assert here.confusion.sum() == 3 * (72 - 3)
    assert len(here.pixels.truth) == 3 * (72 - 3)


def test_the_spacing_of_the_case_counts() -> None:
    truth, prediction = np.zeros((9, 8), np.uint8), np.zeros((9, 8), np.uint8)
    truth[4, 2] = prediction[4, 5] = 1
    source = Cases(BINARY, [(np.eye(2, dtype=np.float32)[prediction], truth)], (1.0, 2.0))
    assert scored(source, 0).cases["hd95_nonempty/object"].tolist() == [6]


@pytest.mark.parametrize("task", [BINARY, THREE])
def test_masks_are_those_of_the_predictor(task: Task) -> None:
    """The rule that makes a mask of probabilities is the predictor's: its threshold, the first on a tie."""
    seen: list[np.ndarray] = []
    keras.utils.set_random_seed(2)
    image = keras.Input((8, 8, 1))
    model = keras.Model(image, keras.layers.Conv2D(task.logit_channels, 3, padding="same")(image))
    preprocessing = Preprocessing("scale", 1)
    predictor = Predictor(model, task, preprocessing, (8, 8), "patch", threshold=0.45)
    rng = np.random.default_rng(0)
    pairs = [(rng.random((11, 13, 1), np.float32), np.zeros((11, 13), np.uint8))]
    source = Cases(task, pairs, (1.0, 1.0))
    score_cases(predictor, source, source.cases, tolerance=1.0, workers=0, each=lambda case, mask: seen.append(mask))
    expected = predictor.predict(pairs[0][0], (1.0, 1.0))
    np.testing.assert_array_equal(seen[0], expected)
    assert seen[0].dtype == expected.dtype
    assert len(np.unique(expected)) > 1


def test_probabilities_that_are_no_numbers_are_refused() -> None:
    source = given(BINARY)
    source._pairs[1][0][0, 5] = np.nan
    with pytest.raises(DataError, match="no numbers") as caught:
        scored(source, 0)
    assert "files of case1" in str(caught.value)
    with pytest.raises(DataError, match="no numbers"):
        predicted_pixels(Giving(BINARY), source, source.cases)  # type: ignore[arg-type]


def test_other_classes_are_refused() -> None:
    source = given(THREE)
    with pytest.raises(DataError, match="another task"):
        score_cases(Giving(BINARY), source, source.cases, tolerance=1.0, workers=0)  # type: ignore[arg-type]


def test_pixels_alone_are_those_of_the_scoring() -> None:
    reported: list[tuple[int, int]] = []
    source = given(THREE)
    pixels = predicted_pixels(Giving(THREE), source, source.cases, lambda *now: reported.append(now))  # type: ignore[arg-type]
    np.testing.assert_array_equal(pixels.logits, scored(source, 0).pixels.logits)
    assert reported == [(1, 3), (2, 3), (3, 3)]


def test_a_killed_process_is_one_message() -> None:
    def kill(case: Case, mask: np.ndarray) -> None:
        for child in psutil.Process().children():
            if "spawn_main" in " ".join(child.cmdline()):
                child.kill()

    with pytest.raises(DataError, match="workers=0"):
        scored(given(BINARY, count=8), 1, each=kill)


def test_images_do_not_pile_up() -> None:
    source = given(BINARY, count=6)
    most = []
    scored(source, 0, each=lambda *_: most.append(sum(ref() is not None for ref in source.held)))
    assert max(most) <= 2


def test_counts_alone_are_the_same_counts() -> None:
    """As a run is scored at its end: without a tolerance nothing but what counts of pixels say."""
    source = given(THREE)
    whole = scored(source, 0)
    counted = score_cases(Counting(THREE), source, source.cases, workers=0)  # type: ignore[arg-type]
    kept = [name for name in counted.cases.columns if name != "seconds"]
    assert any(name.startswith("dice/") for name in kept)
    assert not any(name.startswith(("nsd", "hd95", "lesion")) for name in kept)
    pd.testing.assert_frame_equal(counted.cases[kept], whole.cases[kept])
    np.testing.assert_array_equal(counted.confusion, whole.confusion)
    assert counted.pixels is None
    assert counted.step == whole.step
