"""Two stages: whose mask a case gets, how the second network is told it, and one bundle of both."""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import replace
from pathlib import Path

import hydra
import keras
import nibabel as nib
import numpy as np
import pytest
from fold_studies import trained_folds
from volumes import save

from seglab.config.places import CONF
from seglab.config.run_config import Config, load_config
from seglab.data.augment import Augment
from seglab.data.augment.mask_flaws import roughened
from seglab.data.loading import cascade_sampler
from seglab.data.loading.batches import Batches
from seglab.data.loading.training_data import gather
from seglab.data.mask_channels import one_hot, with_mask
from seglab.data.preprocessing.normalisation import Preprocessing
from seglab.data.previous_stage import read_previous_stage
from seglab.ensembling.ensemble_run import record
from seglab.ensembling.ensembling import EnsembleRequest, choose_ensemble
from seglab.ensembling.first_stage import make_first_stage
from seglab.errors import DataError
from seglab.evaluation.subject import find_subject
from seglab.experiment.run_parts import bundle_of
from seglab.inference.bundle import load_bundle, read_bundle
from seglab.inference.predictor import Predictor
from seglab.inference.pyfunc import input_example
from seglab.tracking.store import open_store

FOLDS, CASES, SIZE = 3, 6, (8, 8, 8)
NAMES = "[none,one,two,three]"


def answering(class_id: int, channels: int = 1) -> keras.Model:
    """A network that finds one class everywhere."""
    image = keras.Input((*SIZE, channels), name="image")
    layer = keras.layers.Conv3D(4, 1)
    model = keras.Model(image, layer(image))
    layer.set_weights([np.zeros((1, 1, 1, channels, 4)), 5.0 * np.eye(4)[class_id]])
    return model


def repeating() -> keras.Model:
    """A second stage that finds what the first one found."""
    image = keras.Input((*SIZE, 4), name="image")
    layer = keras.layers.Conv3D(4, 1)
    model = keras.Model(image, layer(image))
    kernel = np.zeros((4, 4))
    kernel[1:, 1:] = 10 * np.eye(3)
    layer.set_weights([kernel[None, None, None], np.array([5.0, 0, 0, 0])])
    return model


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cascade")


@pytest.fixture(scope="module")
def words(place: Path) -> list[str]:
    rng, affine = np.random.default_rng(0), np.diag([-1.0, 1.0, 2.0, 1])
    for number in range(CASES):
        label = rng.integers(0, 4, (9, 8, 10)).astype(np.uint8)
        save(place / "scans" / "images" / f"s{number}.nii.gz", (100 * rng.random(label.shape)).astype(np.int16), affine)
        save(place / "scans" / "labels" / f"s{number}.nii.gz", label, affine)
    settings = [
        "data=nifti",
        f"data.root={place / 'scans'}",
        "data.label_values=[0,1,2,3]",
        f"data.class_names={NAMES}",
    ]
    settings += ["data.size=[8,8,8]", "data.resize_mode=patch", "model=unet3d", "model.depth=1", "data.workers=0"]
    return [*settings, f"data.cache_dir={place / 'cache'}"]


@pytest.fixture(scope="module")
def stage(place: Path, words: list[str]) -> Path:
    """A first stage whose network of fold k finds class k + 1, everywhere."""
    runs, folder = place / "mlruns", place / "masks"
    zscore = Preprocessing("zscore", 1)
    trained_folds(
        runs,
        words,
        lambda k: answering(k + 1),
        folds=FOLDS,
        study="low",
        preprocessing=lambda k: zscore,
        described=lambda bundle: replace(bundle, spacing=(2.0, 2.0, 2.0)),
    )
    store, request = open_store(None, runs), EnsembleRequest("low", flips=(), postprocessing=False)
    with make_first_stage(folder) as made:
        chosen = choose_ensemble(request, store, made)
        made.finish(chosen, record(chosen, request, store).bundle)
    return folder


def config_of(words: list[str], stage: Path, *more: str) -> Config:
    folds = [f"data.folds={FOLDS}", "data.split_seed=0", "data.fold=0", f"data.previous_stage={stage}"]
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        return load_config(hydra.compose("train", overrides=[*words, *folds, *more]))


def test_every_case_of_every_fold_has_the_mask_of_networks_that_never_saw_it(words: list[str], stage: Path) -> None:
    tested = {}
    for fold in range(FOLDS):
        data = gather(config_of(words, stage, f"data.fold={fold}"))
        tested |= dict.fromkeys(data.split.test, fold)
    for fold in range(FOLDS):
        data = gather(config_of(words, stage, f"data.fold={fold}"))
        for case in data.cases("train") + data.cases("val"):
            image, _ = data.arrays.read(case.id)
            assert np.unique(image[..., -1]).tolist() == [tested[case.id] + 1], "of the fold that left it out"
            assert tested[case.id] != fold
        for case in data.cases("test"):
            previous = data.source.read(case).previous
            assert previous is not None
            assert np.unique(previous).tolist() == [fold + 1], "the network of its own fold"


def test_the_channels_move_with_the_labels_and_keep_their_intensities(
    words: list[str], stage: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = gather(config_of(words, stage))
    assert data.task.channels == 4
    (case, *_) = data.split.train
    whole, mask = data.arrays.read(case)
    whole = with_mask(whole[..., :1], np.where(mask == 255, 0, mask))  # a first stage that is right

    class Held:
        outlines = data.arrays.outlines

        def read(self, _: str) -> tuple[np.ndarray, np.ndarray]:
            return whole, mask

        def places(self, case_id: str, class_id: int) -> np.ndarray:
            return data.arrays.places(case_id, class_id)

    card = config_of(words, stage).data_config
    change = Augment(data.source.task, axes="all", affine=1, elastic=1, intensity=1, bias=0.3, mix=0.5)
    right = replace(data, arrays=Held())
    batches = Batches(right, "train", card, seed=0, augmentation=change)
    with monkeypatch.context() as without_flaws:
        without_flaws.setattr(cascade_sampler, "roughened", lambda previous, *_: previous)
        for epoch in range(3):
            batches.epoch = epoch
            x, y = batches[0]
            np.testing.assert_array_equal(x[..., 1:], one_hot(np.where(y == 255, 0, y), 3))
            assert x[..., 1:].any()
    x, y = Batches(right, "val", card, seed=0)[0]
    assert (y == 255).any(), "what another box of the grid counts"
    np.testing.assert_array_equal(x[..., 1:].sum(axis=-1)[y != 255], (y != 255)[y != 255] * (y[y != 255] > 0))
    assert x[..., 1:][y == 255].any(), "is hidden from the score and not from the network"
    rough = Batches(right, "train", card, seed=0, augmentation=Augment(data.source.task, flip=0, rotate90=0))
    flaws = 0
    for epoch in range(8):
        rough.epoch = epoch
        x, y = rough[0]
        flaws += int((x[..., 1:] != one_hot(np.where(y == 255, 0, y), 3)).any())
    assert flaws, "a first stage's mask gets flaws"


def test_flaws_grow_shrink_and_lose_parts_and_leave_the_given_mask() -> None:
    mask = np.zeros((24, 24, 24), np.uint16)
    mask[4:10, 4:10, 4:10], mask[16:20, 16:20, 16:20] = 1, 2
    sizes = []
    for seed in range(60):
        found = roughened(mask, 2, np.random.default_rng(seed))
        assert set(np.unique(found)) <= {0, 1, 2}
        sizes.append([(found == k).sum() for k in (1, 2)])
    of_one = np.array(sizes)[:, 0]
    assert (of_one == 216).mean() == pytest.approx(0.48 + 0.1, abs=0.17)
    assert (of_one == 0).any()
    assert (of_one > 216).any()
    assert ((of_one < 216) & (of_one > 0)).any() or (np.array(sizes)[:, 1] == 0).any()
    assert (mask > 0).sum() == 216 + 64


def test_one_bundle_predicts_by_both_stages_and_is_no_single_network(
    place: Path, words: list[str], stage: Path
) -> None:
    runs = place / "mlruns"
    kept = gather(config_of(words, stage))
    alone = bundle_of(config_of(words, stage), kept)
    assert (alone.task.channels, alone.preprocessing.network_channels) == (2, 4)
    second = [*words, f"data.previous_stage={stage}"]
    ids = trained_folds(
        runs,
        second,
        lambda fold: repeating(),
        folds=FOLDS,
        study="high",
        preprocessing=lambda fold: alone.preprocessing,
        described=lambda bundle: replace(bundle, task=alone.task, previous_stage=alone.previous_stage),
    )
    subject = find_subject(ids[1], "test", directory=runs)
    bare = Predictor.load(subject.found.folder)
    sample = subject.source.read(subject.cases[0])
    assert (bare.predict(sample.seen, sample.spacing) == 2).all(), "as the first stage's fold 1 found"
    made_up = input_example(read_bundle(subject.found.folder))
    assert set(np.unique(made_up[..., -1])) == {0, 1}, "the example that training ends with has a mask, too"
    np.testing.assert_array_equal(bare.predict(made_up[0], sample.spacing), made_up[0, ..., -1])
    two = np.concatenate([sample.image, sample.image + 0.5], axis=-1)
    for image in (sample.image, two):
        with pytest.raises(DataError, match="an image without the first stage's mask"):
            bare.predict(image, sample.spacing)
    store, request = open_store(None, runs), EnsembleRequest("high", flips=(), postprocessing=False)
    chosen = choose_ensemble(request, store)
    folder = record(chosen, request, store).bundle
    bundle = read_bundle(folder)
    assert (bundle.task.channels, bundle.both_stages, len(bundle.members)) == (1, True, FOLDS)
    both, first = Predictor.load(folder), Predictor.load(folder / "first_stage")
    mask = first.predict(sample.image, sample.spacing)
    np.testing.assert_array_equal(both.predict(sample.image, sample.spacing), mask)
    expected = both.predict_probabilities(with_mask(sample.image, mask), sample.spacing)
    np.testing.assert_array_equal(both.predict_probabilities(sample.image, sample.spacing), expected)
    with pytest.raises(DataError, match="another number of channels than the training images"):
        both.predict(two, sample.spacing)
    with pytest.raises(DataError, match="a cascade that is no single network"):
        load_bundle(folder)
    inner = next((folder / "first_stage" / "members").iterdir()) / "model.keras"
    whole = inner.read_bytes()
    inner.write_bytes(whole[:-1])
    with pytest.raises(DataError, match="is not the one that was saved"):
        Predictor.load(folder)
    inner.write_bytes(whole)


def test_what_is_no_fitting_first_stage_is_refused(place: Path, words: list[str], stage: Path) -> None:
    with pytest.raises(DataError, match=r"no first stage here[\s\S]*moved, data.previous_stage=<"):
        read_previous_stage(place / "nowhere")
    with pytest.raises(DataError, match="folds that are not those of the first stage"):
        gather(config_of(words, stage, "data.split_seed=1"))
    with pytest.raises(DataError, match="a first stage of other classes or channels"):
        gather(config_of(words, stage, "data.class_names=[none,one,two,four]"))
    copy = Path(shutil.copytree(stage, place / "copy"))
    before = gather(config_of(words, copy)).digest
    assert before == gather(config_of(words, stage)).digest, "a place is no part of what the data are"
    card = copy / "previous_stage.json"
    fields = json.loads(card.read_text())
    altered = copy / "masks" / "0.nii.gz"
    image = nib.load(altered)
    nib.save(nib.Nifti1Image(np.zeros(image.shape, np.uint8), image.affine), altered)
    with pytest.raises(DataError, match="not the one that was written") as refused:
        gather(config_of(words, copy))
    assert refused.value.code == "previous-stage-altered"
    shutil.copy(stage / "masks" / "0.nii.gz", altered)
    fewer = {**fields, "cases": dict(list(fields["cases"].items())[:-1])}
    card.write_text(json.dumps(fewer))
    with pytest.raises(DataError, match="cases without a mask of the first stage"):
        gather(config_of(words, copy))
    card.write_text(json.dumps({**fields, "bundle": "0"}))
    assert gather(config_of(words, copy)).digest != before
    with pytest.raises(DataError, match="that is not the one that was written"):
        read_previous_stage(copy).checked_bundle()
    small = nib.Nifti1Image(np.zeros((4, 4, 4), np.uint8), image.affine)
    nib.save(small, altered)
    (first, *_) = fields["cases"]
    fields["cases"][first]["sha256"] = hashlib.sha256(altered.read_bytes()).hexdigest()
    card.write_text(json.dumps(fields))
    with pytest.raises(DataError, match="of another size than its image"):
        gather(config_of(words, copy))
    with pytest.raises(DataError, match="would lie among other files"), make_first_stage(place / "scans"):
        pass
