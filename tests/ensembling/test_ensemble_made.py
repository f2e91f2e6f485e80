"""From the folds of a study to a recorded bundle: what is chosen, its numbers worked again, and what is refused."""

from __future__ import annotations

import shutil
from pathlib import Path

import cv2
import keras
import numpy as np
import pandas as pd
import pytest
from exportable import blurring
from fold_studies import SCALE, trained_folds

from seglab.data.labelled import labelled
from seglab.data.preprocessing.normalisation import Preprocessing
from seglab.ensembling import ensembling
from seglab.ensembling.ensemble_run import EnsembleRun, record
from seglab.ensembling.ensembling import Chosen, EnsembleRequest, choose_ensemble
from seglab.ensembling.first_stage import make_first_stage
from seglab.errors import DataError, TrackingError
from seglab.evaluation.subject import find_subject
from seglab.experiment.reproduce import reproduce
from seglab.inference.bundle import read_bundle
from seglab.inference.postprocessing import Step, postprocessed
from seglab.inference.predictor import Predictor
from seglab.tracking.bundles import find_bundle, run_file
from seglab.tracking.store import Store, open_store

FOLDS, COUNT = 3, 24


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("study") / "mlruns"


@pytest.fixture(scope="module")
def words(runs: Path) -> list[str]:
    """Images of a bright square, which is the object, and of a bright speck, which is none."""
    root, rng = runs.parent / "squares", np.random.default_rng(0)
    for folder in ("images", "masks"):
        (root / folder).mkdir(parents=True)
    for number in range(COUNT):
        mask = np.zeros((32, 32), np.uint8)
        row, column = rng.integers(0, 8, 2)
        mask[row : row + 12, column : column + 12] = 255
        image = 20 + 160 * (mask > 0) + rng.integers(0, 20, mask.shape)
        image[26:30, 24 : 28 + number % 3] = 200
        cv2.imwrite(str(root / "images" / f"{number:02d}.png"), image.astype(np.uint8))
        cv2.imwrite(str(root / "masks" / f"{number:02d}.png"), mask)
    settings = ["data=image_folder", f"data.root={root}", "data.label_values=[0,255]", "data.class_names=[none,square]"]
    return [*settings, "data.size=[24,24]", "data.resize_mode=patch", "model=unet_mini"]


@pytest.fixture(scope="module")
def ids(runs: Path, words: list[str]) -> list[str]:
    """Two configurations: networks that see what is bright, and smaller ones that see what is dark."""

    def bright(fold: int) -> keras.Model:
        model = blurring((24, 24), width=4)
        model.layers[-1].bias.assign([fold - 9.2])  # so that another fold's network gives other borders
        return model

    seeing = trained_folds(runs, [*words, "loss=dice"], bright, folds=FOLDS)
    trained_folds(runs, [*words, "loss=combined"], lambda fold: blurring((24, 24), sign=-1.0), folds=FOLDS)
    return seeing


@pytest.fixture(scope="module")
def made(runs: Path, ids: list[str]) -> tuple[Store, Chosen, EnsembleRun]:
    store, request = open_store(None, runs), EnsembleRequest("folds", flips=(1,))
    chosen = choose_ensemble(request, store)
    return store, chosen, record(chosen, request, store)


def test_the_better_is_chosen_and_its_numbers_are_those_of_unseen_cases(
    made: tuple[Store, Chosen, EnsembleRun], ids: list[str]
) -> None:
    store, chosen, recorded = made
    bundle = read_bundle(recorded.bundle)
    assert sorted(one.run for one in bundle.members) == sorted(ids)
    assert [one.verdict for one in chosen.selection.ranking].count("best") == 1
    cases = pd.read_csv(run_file(store, store.run(recorded.run_id), "test_cases.csv"))
    assert len(cases) == cases["id"].nunique() == COUNT
    expected = {}
    for run in ids:
        subject = find_subject(run, "test", directory=store.directory)
        alone = Predictor.load(subject.found.folder, flips=chosen.axes)
        for case in subject.cases:
            sample, truth = labelled(subject.source, case)
            mask = postprocessed(alone.predict(sample.image, sample.spacing), [Step("largest", (1,))])
            expected[case.id] = 2 * (mask & truth).sum() / (mask.sum() + truth.sum())
    assert bundle.postprocessing == (Step("largest", (1,)),)
    assert dict(zip(cases["id"].map("{:02d}".format), cases["dice"], strict=True)) == pytest.approx(expected)
    mean = store.run(recorded.run_id).data.metrics["test_dice"]
    assert mean == pytest.approx(np.mean(list(expected.values())))


def test_the_run_is_predicted_with_as_the_mean_of_its_members(
    made: tuple[Store, Chosen, EnsembleRun], ids: list[str]
) -> None:
    store, _, recorded = made
    picture = (np.random.default_rng(0).random((40, 30, 1)) * 255).astype(np.uint8)
    whole = Predictor.load(find_bundle(recorded.run_id, directory=store.directory), flips=())
    each = [Predictor.load(find_bundle(run, directory=store.directory)).predict_probabilities(picture) for run in ids]
    np.testing.assert_allclose(whole.predict_probabilities(picture), np.mean(each, axis=0), atol=1e-5)
    run = store.run(recorded.run_id)
    assert run.data.tags["ensemble_of"] == "folds"
    assert "config_digest" not in run.data.tags, "no comparison takes it for a training"
    assert run.data.params["data.name"] == "ImageFolder"
    assert "data.fold" not in run.data.params
    page = run_file(store, run, "ensemble/ensemble.md").read_text()
    assert "The mean of 3 networks" in page
    assert "All 3 together were not scored" in page
    candidates = pd.read_csv(run_file(store, run, "ensemble/candidates.csv"))
    assert list(candidates["networks a case"]) == [1, 1, 2]
    assert candidates["chosen"].sum() == 1
    with pytest.raises(DataError, match="no case to score"):
        find_subject(recorded.run_id, "test", directory=store.directory)
    with pytest.raises(TrackingError, match="an ensemble, which was not trained"):
        reproduce(store, run)
    assert len(find_subject(recorded.run_id, "train", directory=store.directory).cases) == COUNT


def test_masks_that_no_second_stage_can_read_are_refused_before_anything_is_predicted(
    made: tuple[Store, Chosen, EnsembleRun], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ensembling, "candidate_masks", lambda *_: pytest.fail("the folds were predicted"))
    with pytest.raises(DataError) as refused, make_first_stage(tmp_path / "masks") as first_stage:
        choose_ensemble(EnsembleRequest("folds", flips=()), made[0], first_stage)
    assert refused.value.code == "previous-stage-volumes"
    assert list(tmp_path.iterdir()) == []


def test_folds_behind_different_preprocessing_and_deleted_bundles_are_refused(
    runs: Path, words: list[str], made: tuple[Store, Chosen, EnsembleRun]
) -> None:
    store = made[0]
    other = [SCALE, SCALE, Preprocessing("zscore", 1)]
    ids = trained_folds(
        runs,
        words,
        lambda fold: blurring((24, 24)),
        folds=FOLDS,
        study="other",
        preprocessing=lambda fold: other[fold],
    )
    with pytest.raises(DataError, match="different preprocessing") as refused:
        choose_ensemble(EnsembleRequest("other"), store)
    assert refused.value.code == "ensemble-preprocessing"
    assert "scale" in refused.value.found
    assert "zscore" in refused.value.found
    shutil.rmtree(find_bundle(ids[1], directory=runs).parent)
    with pytest.raises(TrackingError, match="a model bundle that is gone"):
        choose_ensemble(EnsembleRequest(runs=tuple(ids)), store)
