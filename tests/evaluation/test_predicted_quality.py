"""The map from confidence to Dice: fitted, tested on what it was not fitted to, stored, and what it is worth."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from served import CELLS, served_folder

from seglab.data.synthetic.shapes import Synthetic2D
from seglab.evaluation.monitoring_reference import CASES, ScoredCase, fit_quality, scored_cases
from seglab.evaluation.scoring import score_cases
from seglab.export.folder import read_folder
from seglab.inference.bundle import CARD_FILE, EXAMPLE_FILE, amend_bundle, read_bundle
from seglab.inference.predicted_quality import Agreement, PredictedQuality, Rejection
from seglab.run_record import RUNS


def cases(confidence: list[float], dice: list[float], units: list[str] | None = None) -> list[ScoredCase]:
    names = units or [str(number) for number in range(len(dice))]
    return [ScoredCase(unit, d, {"soft_dice": c}) for unit, c, d in zip(names, confidence, dice, strict=True)]


def test_a_growing_map_is_found_again() -> None:
    rng = np.random.default_rng(0)
    confidence = rng.uniform(0.5, 1, 80)
    dice = np.clip(2 * confidence - 1 + rng.normal(0, 0.02, 80), 0, 1)
    quality = fit_quality(cases(confidence[:40].tolist(), dice[:40].tolist()), cases(confidence[40:], dice[40:]))  # type: ignore[arg-type]
    assert quality is not None
    assert quality.usable
    assert quality.of(0.75) == pytest.approx(0.5, abs=0.04)
    assert quality.test is not None
    assert quality.test.n == 40
    assert quality.test.mae == pytest.approx(0.02, abs=0.015)
    assert quality.validation.mae == pytest.approx(0.025, abs=0.02)
    assert list(quality.dice) == sorted(quality.dice)
    assert PredictedQuality.from_dict(json.loads(json.dumps(quality.to_dict()))) == quality


def test_confidence_that_says_nothing_is_not_usable() -> None:
    rng = np.random.default_rng(1)
    quality = fit_quality(
        cases(rng.uniform(0.5, 1, 40).tolist(), rng.uniform(0, 1, 40).tolist()),
        cases(rng.uniform(0.5, 1, 40).tolist(), rng.uniform(0, 1, 40).tolist()),
    )
    assert quality is not None
    assert not quality.usable
    assert quality.sentence().startswith("not usable here: on 40 test cases r ")


@pytest.mark.parametrize(
    ("r", "mae", "usable"),
    [(0.6, 0.05, True), (0.59, 0.01, False), (0.9, 0.051, False), (None, 0.0, False), (-0.9, 0.01, False)],
)
def test_each_limit_alone_makes_it_unusable(r: float | None, mae: float, usable: bool) -> None:
    quality = PredictedQuality((0.1, 0.9), (0.2, 0.8), Agreement(40, 0.9, 0.01), Agreement(40, r, mae))
    assert quality.usable is usable
    assert quality.sentence().startswith("not usable here") is not usable


def test_the_own_error_is_that_of_cases_left_out() -> None:
    """Two frames of one scene are as bad as each other; with one of them in the fit the other would be known."""
    confidence = [number / 20 for number in range(20)]
    dice = [0.0 if number % 4 < 2 else 1.0 for number in range(20)]
    own = fit_quality(cases(confidence, dice, [f"scene {number // 2}" for number in range(20)]), [])
    assert own is not None
    fitted = Agreement.of(np.interp(confidence, own.confidence, own.dice), np.array(dice))
    assert own.validation.mae > fitted.mae
    assert own.test is None
    assert "no test cases" in own.sentence()


def test_what_it_is_worth_to_leave_out_the_least_trusted_by_hand() -> None:
    """Twenty cases: two of 0.2 that are trusted least, eighteen of 0.8. Their mean is 0.74, of the eighteen 0.8."""
    confidence, dice = np.linspace(0.5, 0.99, 20), np.array([0.2] * 2 + [0.8] * 18)
    found = Rejection.of(confidence, dice, [str(number) for number in range(20)])
    assert found is not None
    assert (found.n, found.left_out) == (20, 2)
    assert found.gain == pytest.approx(0.06)
    assert found.low <= found.gain <= found.high
    turned = Rejection.of(-confidence, dice, [str(number) for number in range(20)])
    assert turned is not None
    assert turned.gain == pytest.approx((2 * 0.2 + 16 * 0.8) / 18 - 0.74)
    assert turned.high <= 0
    assert "does not show that it is better" in turned.sentence()
    assert Rejection.of(confidence[:9], dice[:9], ["a"] * 9) is None
    assert Rejection.of(confidence, dice, ["one scene"] * 20) is None


def test_the_interval_of_leaving_out_holds() -> None:
    """Where confidence says nothing the interval holds 0 in about 95 of 100 sets; where it says much it lies above."""
    rng = np.random.default_rng(5)
    units = [str(number) for number in range(100)]
    held = above = 0
    for _ in range(20):
        dice, nothing = rng.beta(6, 2, 100), rng.uniform(size=100)
        blind, seeing = Rejection.of(nothing, dice, units), Rejection.of(dice + rng.normal(0, 0.05, 100), dice, units)
        assert blind is not None
        assert seeing is not None
        held += blind.low <= 0 <= blind.high
        above += seeing.low > 0
    assert held >= 17
    assert above == 20


def test_it_travels_with_the_map_and_former_maps_have_none() -> None:
    rng = np.random.default_rng(0)
    confidence = rng.uniform(0.5, 1, 80).tolist()
    quality = fit_quality(cases(confidence[:40], confidence[:40]), cases(confidence[40:], confidence[40:]))
    assert quality is not None
    assert quality.rejection is not None
    assert quality.rejection.low > 0
    assert f"without the tenth that is trusted least the mean Dice of 40 is {quality.rejection.gain:+.3f} (95%: " in (
        quality.sentence()
    )
    fields = quality.to_dict()
    assert PredictedQuality.from_dict(json.loads(json.dumps(fields))) == quality
    del fields["rejection"]
    former = PredictedQuality.from_dict(fields)
    assert former is not None
    assert former.rejection is None
    assert "least" not in former.sentence()


def test_too_few_cases_and_those_without_a_score_give_none() -> None:
    assert fit_quality(cases([0.9] * 9, [0.8] * 9), []) is None
    undefined = [ScoredCase(str(k), float("nan"), {"soft_dice": 0.9}) for k in range(20)]
    nothing = [ScoredCase(str(k), 0.5, {"soft_dice": None}) for k in range(20)]
    assert fit_quality([*undefined, *nothing], []) is None


def test_scores_that_do_not_vary_have_no_correlation() -> None:
    found = Agreement.of(np.full(5, 0.9), np.full(5, 0.8))
    assert (found.n, found.r, found.mae) == (5, None, pytest.approx(0.1))


@pytest.mark.parametrize(
    "change",
    [
        {"confidence": [0.5, 0.4], "dice": [0.1, 0.2]},
        {"confidence": [0.5], "dice": [0.1, 0.2]},
        {"confidence": [], "dice": []},
        {"confidence": [0.1, float("nan")], "dice": [0.1, 0.2]},
    ],
)
def test_knots_that_are_none_are_refused(change: dict[str, list[float]]) -> None:
    fields = PredictedQuality((0.1, 0.9), (0.2, 0.8), Agreement(10, 0.9, 0.01), None).to_dict()
    with pytest.raises(ValueError, match="knots"):
        PredictedQuality.from_dict({**fields, **change})


def test_statistics_come_with_the_score_of_scoring(tmp_path: Path) -> None:
    predictor = read_folder(served_folder(tmp_path / "cells", CELLS, (32, 32))).predictor(1)
    source = Synthetic2D(count=CASES + 20, image_size=(32, 32))
    predictor.task = source.task
    found = scored_cases(predictor, source, source.cases)
    assert len(found) == CASES
    scored = score_cases(predictor, source, source.cases).cases.set_index("id")
    expected = scored.loc[[one.unit for one in found], "dice"].to_numpy()
    np.testing.assert_array_equal([one.dice for one in found], expected)
    assert all(0 <= (one.mask["soft_dice"] or 0) <= 1 for one in found)


@pytest.mark.slow
def test_a_trained_run_knows_its_worst_cases(tmp_path: Path) -> None:
    """Of 60 test cases the tenth that it trusts least is left out: the mean Dice of the rest grows by more than with a
    tenth that is drawn, in 95 of 100 draws at least; and its bundle holds what it is watched with."""
    words = ["data=synthetic2d", "data.size=[64,64]", "data.count=400", "model=unet", "model.depth=2", "model.width=8"]
    words += ["trainer.epochs=8", "optimizer.learning_rate=0.003"]
    command = [sys.executable, "-m", "seglab", "train", *words]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=600, check=True)
    assert "quality    predicted without truth:" in done.stdout
    cards = list((tmp_path / RUNS).rglob(CARD_FILE))
    assert len({card.read_bytes() for card in cards}) == 1  # the logged model's, and the run's own
    bundle = read_bundle(cards[0].parent)
    quality = PredictedQuality.from_dict(bundle.quality)
    assert quality is not None
    assert quality.test is not None
    assert quality.test.r is not None
    assert quality.test.r > 0.5
    kept = bundle.reference["samples"]
    assert len(kept["image"]["mean"]) == 280
    assert len(kept["mask"]["soft_dice"]) <= 60

    from seglab.inference.predictor import Predictor

    source = Synthetic2D(count=60, image_size=(64, 64), seed=9)
    found = scored_cases(Predictor.load(cards[0].parent), source, source.cases)
    dice = np.array([one.dice for one in found])
    trusted = np.array([one.mask["soft_dice"] or 0.0 for one in found])
    kept_mean = dice[np.argsort(trusted)[6:]].mean()
    rng = np.random.default_rng(0)
    drawn = np.array([rng.permutation(dice)[6:].mean() for _ in range(2000)])
    assert np.mean(drawn < kept_mean) >= 0.95


def test_a_bundle_is_amended_and_nothing_else_of_it(tmp_path: Path) -> None:
    import keras
    from exportable import exportable

    keras.utils.set_random_seed(0)
    folder = exportable(tmp_path)
    files = {file.name: file.read_bytes() for file in folder.iterdir()}
    quality = PredictedQuality((0.1, 0.9), (0.2, 0.8), Agreement(10, 0.9, 0.01), None).to_dict()
    amend_bundle(folder, replace(read_bundle(folder), quality=quality))
    assert read_bundle(folder).quality == quality
    after = {file.name: file.read_bytes() for file in folder.iterdir()}
    assert {name for name in files if files[name] != after[name]} == {CARD_FILE}
    assert EXAMPLE_FILE in after
