"""Error rates of the drift tests by simulation on generated images, and what they find."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import pytest

from seglab.data.synthetic.shapes import Synthetic2D
from seglab.inference.image_statistics import image_statistics
from seglab.inference.reference_data import by_unit, samples
from seglab.monitoring.drift import WINDOW, Drift, benjamini_hochberg, find_drift

Row = tuple[dict[str, float], dict[str, float]]
SIDE = (48, 48)


def statistics(image: np.ndarray, mask: np.ndarray, classes: int = 3) -> Row:
    """Of an image, and of its mask as a model without mistakes would tell it."""
    shares = np.bincount(mask[mask < classes], minlength=classes) / mask.size
    return image_statistics(image), {f"share_{k}": float(share) for k, share in enumerate(shares)}


def drawn(
    count: int, seed: int, classes: int = 3, change: Callable[[np.ndarray], np.ndarray] = lambda x: x
) -> list[Row]:
    source = Synthetic2D(count=count, image_size=SIDE, classes=classes, seed=seed)
    rows = []
    for case in source.cases:
        sample = source.read(case)
        assert sample.mask is not None
        rows.append(statistics(change(sample.image), sample.mask))
    return rows


def values(rows: list[Row], units: list[str] | None = None) -> dict[str, dict[str, list[float]]]:
    names = units or [str(number) for number in range(len(rows))]
    return {"image": by_unit([row[0] for row in rows], names), "mask": by_unit([row[1] for row in rows], names)}


@pytest.fixture(scope="module")
def pool() -> list[Row]:
    return drawn(700, seed=1)


@pytest.fixture(scope="module")
def reference(pool: list[Row]) -> dict[str, dict[str, list[float]]]:
    return {kind: samples(statistic) for kind, statistic in values(pool[:400]).items()}


@pytest.mark.parametrize("alpha", [0.01, 0.05])
def test_false_alarms_are_as_rare_as_stated(pool: list[Row], alpha: float) -> None:
    """200 windows of the same distribution, each with a reference of its own: at most 1.5 α of them raise an alarm."""
    rng = np.random.default_rng(7)
    every = {kind: {name: np.array(x) for name, x in one.items()} for kind, one in values(pool).items()}
    alarms = 0
    for _ in range(200):
        order = rng.permutation(len(pool))
        then, now = order[:300], order[300 : 300 + WINDOW]
        taken = [
            {kind: {name: x[places] for name, x in one.items()} for kind, one in every.items()}
            for places in (now, then)
        ]
        alarms += bool(find_drift(*taken, WINDOW, alpha).changed)  # type: ignore[arg-type]
    assert alarms <= 1.5 * alpha * 200


@pytest.mark.parametrize("alpha", [0.01, 0.05])
def test_false_alarms_of_confidence_are_as_rare_as_stated(alpha: float) -> None:
    """Of 200 windows whose confidence is as on validation at most 1.5 α are said to have worse masks; of windows with
    an eighth less of it all are."""
    rng = np.random.default_rng(3)
    alarms = found = 0
    for _ in range(200):
        then = {"mask": {"soft_dice": rng.beta(18, 3, 100).tolist()}}
        now = rng.beta(18, 3, WINDOW)
        alarms += find_drift({"mask": {"soft_dice": now.tolist()}}, then, WINDOW, alpha).worse
        found += find_drift({"mask": {"soft_dice": (0.875 * now).tolist()}}, then, WINDOW, alpha).worse
    assert alarms <= 1.5 * alpha * 200
    assert found == 200


def noisy(image: np.ndarray) -> np.ndarray:
    rng = np.random.default_rng(int(image.sum()))
    return np.clip(image + rng.normal(0, 12, image.shape), 0, 255).astype(np.uint8)


def another_site(image: np.ndarray) -> np.ndarray:
    """Another scanner: a gamma of 0.8 and a little blur."""
    bent = (255 * (image / 255.0) ** 0.8).astype(np.uint8)
    return cv2.GaussianBlur(bent, (0, 0), 0.7).reshape(image.shape)


@pytest.mark.parametrize(
    "change",
    [
        lambda image: (image * 0.7).astype(np.uint8),
        lambda image: cv2.GaussianBlur(image, (0, 0), 2).reshape(image.shape),
        noisy,
        another_site,
    ],
    ids=["brightness × 0.7", "blur σ 2", "noise", "another site"],
)
def test_a_change_is_found_within_200_images(
    change: Callable[[np.ndarray], np.ndarray], reference: dict[str, dict[str, list[float]]]
) -> None:
    found = find_drift(values(drawn(200, seed=2, change=change)), reference, 200, 0.01)
    assert found.changed
    assert found.changed[0].p < 0.01
    assert {one.kind for one in found.changed} == {"image"}


def test_a_class_that_is_missing_is_found(reference: dict[str, dict[str, list[float]]]) -> None:
    found = find_drift(values(drawn(200, seed=3, classes=2)), reference, 200, 0.01)
    assert "share_2" in {one.name for one in found.changed}


def test_nothing_is_found_where_nothing_changed(pool: list[Row], reference: dict[str, dict[str, list[float]]]) -> None:
    found = find_drift(values(pool[400:600]), reference, 200, 0.01)
    assert found.changed == ()
    assert not found.worse
    assert found.reason == ""


def test_frames_of_few_scenes_count_as_scenes(pool: list[Row]) -> None:
    """Each image sent twenty times would be called a change; as units they are what they are."""
    rows = [row for row in pool[400:415] for _ in range(20)]
    units = [f"scene {number // 20}" for number in range(len(rows))]
    assert len(values(rows, units)["image"]["mean"]) == 15
    reference = values(pool[:400])
    assert find_drift(values(rows, units), reference, 15, 0.01).reason == "15 units are too few: 100 are wanted"


def test_a_fall_of_confidence_is_distinguished() -> None:
    rng = np.random.default_rng(0)
    then = {"image": {"mean": rng.normal(size=100).tolist()}, "mask": {"soft_dice": rng.beta(30, 2, 60).tolist()}}

    def found(quality: np.ndarray) -> Drift:
        now = {"image": {"mean": rng.normal(size=150).tolist()}, "mask": {"soft_dice": quality.tolist()}}
        return find_drift(now, then, 150, 0.01)

    assert found(rng.beta(12, 2, 150)).worse
    better = found(rng.beta(90, 2, 150))
    assert not better.worse  # only a fall counts
    assert better.changed == ()
    assert better.quality is not None
    assert better.quality.median > better.quality.reference_median


def test_the_step_up_procedure_by_hand() -> None:
    """p (0.01, 0.04, 0.03, 0.20), m = 4: 0.04; 0.0533 for the second and third; 0.20."""
    assert benjamini_hochberg([0.01, 0.04, 0.03, 0.20]) == pytest.approx([0.04, 4 / 75, 4 / 75, 0.20])
    assert benjamini_hochberg([]) == []


def test_a_model_without_a_reference_says_so() -> None:
    assert "trained by a version without one" in find_drift({}, {}, 500).reason


def test_samples_are_bounded_and_in_order() -> None:
    found = samples({"mean": list(np.random.default_rng(0).permutation(5000).astype(float))})["mean"]
    assert len(found) == 500
    assert found == sorted(found)
