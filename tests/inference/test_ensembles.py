"""An ensemble answers what its members answer on average, as one bundle, and refuses what cannot be averaged."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest

from seglab.data.preprocessing.normalisation import Preprocessing
from seglab.errors import DataError
from seglab.inference.bundle import Bundle, load_bundle, read_bundle, save_bundle
from seglab.inference.ensembles import MemberSource, common_preprocessing, save_ensemble
from seglab.inference.expected import answers_as_saved, read_expected
from seglab.inference.mask_facts import MaskFacts
from seglab.inference.mixed_predictor import MixedPredictor
from seglab.inference.postprocessing import Step
from seglab.inference.predictor import Predictor
from seglab.inference.sealing import sealed
from seglab.models.members import MeanOfMembers
from seglab.task import Task

NAMES = ("background", "left", "right")
TASK = Task(rank=2, channels=1, class_names=NAMES)
BUNDLE = Bundle(
    TASK, Preprocessing("scale", 1, 255.0, scale="bytes"), (16, 16), "patch", config={"data": {"name": "x"}}
)


def network(task: Task = TASK, size: tuple[int, ...] = (16, 16), seed: int = 0) -> keras.Model:
    """A small one with answers that differ much from place to place and from seed to seed."""
    keras.utils.set_random_seed(seed)
    convolution = keras.layers.Conv2D if task.rank == 2 else keras.layers.Conv3D
    image = keras.Input((*size, task.channels))
    x = convolution(4, 3, padding="same", activation="relu", kernel_initializer="he_normal")(image)
    spread = keras.initializers.RandomNormal(stddev=2.0)
    return keras.Model(image, convolution(task.logit_channels, 1, kernel_initializer=spread)(x), name="functional")


def saved(folder: Path, bundle: Bundle = BUNDLE, seed: int = 0) -> Path:
    return save_bundle(folder / f"m{seed}", network(bundle.task, bundle.size, seed), bundle)


def image(*size: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (*size, 1)).astype(np.uint8)


def mean_of(folders: list[Path], picture: np.ndarray) -> np.ndarray:
    found: np.ndarray = np.mean([Predictor.load(one).predict_probabilities(picture) for one in folders], axis=0)
    return found


def test_the_mean_worked_by_hand() -> None:
    # softmax(ln 1, ln 2, ln 1) = (2, 4, 2)/8; softmax(ln 6, ln 1, ln 1) = (6, 1, 1)/8; their mean (8, 5, 3)/16
    of_three = MeanOfMembers([1.0, 1.0])([np.log([[1.0, 2.0, 1.0]]), np.log([[6.0, 1.0, 1.0]])])
    np.testing.assert_allclose(np.exp(of_three), [[8 / 16, 5 / 16, 3 / 16]], atol=1e-6)
    # one logit: p = 3/4 and, at temperature 2 of ln 81, 9/10; mean 33/40, odds 33 to 7. Of ±1000: one half
    first, second = np.array([[np.log(3.0)], [1000.0], [80.0]]), np.array([[np.log(81.0)], [-2000.0], [160.0]])
    found = np.asarray(MeanOfMembers([1.0, 2.0])([first, second]))
    np.testing.assert_allclose(found, [[np.log(33 / 7)], [0.0], [80.0]], atol=1e-5)


@pytest.mark.parametrize("names", [("background", "cell"), NAMES])
def test_probabilities_are_the_mean_of_the_members(names: tuple[str, ...], tmp_path: Path) -> None:
    task = Task(rank=2, channels=1, class_names=names)
    members = [saved(tmp_path, replace(BUNDLE, task=task), seed) for seed in range(3)]
    path = save_ensemble(tmp_path / "ensemble", [MemberSource(one) for one in members])
    predictor, picture = Predictor.load(path), image(21, 40)
    expected = mean_of(members, picture)
    assert np.ptp([Predictor.load(one).predict_probabilities(picture) for one in members], axis=0).max() > 0.5
    np.testing.assert_allclose(predictor.predict_probabilities(picture), expected, atol=2e-6)
    np.testing.assert_array_equal(
        predictor.predict(picture), predictor.mask_of(predictor.predict_probabilities(picture))
    )
    places = np.arange(0, 21 * 40, 7)
    mask, logs = predictor.predict_drawn(picture, None, places)
    np.testing.assert_allclose(np.exp(logs), expected.reshape(-1, len(names))[places], atol=1e-5)
    np.testing.assert_array_equal(mask, predictor.predict(picture))
    assert answers_as_saved(predictor, read_bundle(path), path / "example.npz") == (0.0, 0.0)


def test_a_member_keeps_its_temperature_and_its_own_normalisation(tmp_path: Path) -> None:
    standard = [Preprocessing("standard", 1, 255.0, (m,), (s,), scale="bytes") for m, s in ((0.4, 0.2), (0.6, 0.3))]
    window = [
        Preprocessing("window", 1, 255.0, (m,), (0.2,), (low,), (high,), "bytes")
        for m, low, high in ((0.4, 0.1, 0.7), (0.5, 0.3, 0.9))
    ]
    for name, kinds in (("standard", standard), ("window", window)):
        own = [replace(BUNDLE, preprocessing=kind, temperature=t) for kind, t in zip(kinds, (1.0, 2.5), strict=True)]
        members = [saved(tmp_path / name, bundle, seed) for seed, bundle in enumerate(own)]
        path = save_ensemble(tmp_path / name / "all", [MemberSource(one) for one in members])
        bundle = read_bundle(path)
        assert not bundle.mixed
        picture = image(40, 33)
        np.testing.assert_allclose(
            Predictor.load(path).predict_probabilities(picture), mean_of(members, picture), atol=2e-5
        )
    assert (bundle.preprocessing.low, bundle.preprocessing.high) == ((0.1,), (0.9,))
    assert common_preprocessing(window[:1]) == window[0]


def test_one_member_answers_to_the_bit_as_alone(tmp_path: Path) -> None:
    member = saved(tmp_path)
    path = save_ensemble(tmp_path / "one", [MemberSource(member, run="4f0c", name="UNet")])
    picture = image(30, 30)
    alone, one = Predictor.load(member), Predictor.load(path)
    np.testing.assert_array_equal(one.predict_probabilities(picture), alone.predict_probabilities(picture))
    assert [(m.run, m.name) for m in read_bundle(path).members] == [("4f0c", "UNet")]


def test_a_single_bundle_is_written_as_before(tmp_path: Path) -> None:
    card = json.loads((saved(tmp_path) / "bundle.json").read_text())
    assert card["format"] == 2
    assert not {"members", "postprocessing"} & set(card)
    stepped = save_bundle(tmp_path / "stepped", network(), replace(BUNDLE, postprocessing=(Step("largest", (1,)),)))
    card = json.loads((stepped / "bundle.json").read_text())
    assert card["format"] == 3, "a seglab that would leave the step out must refuse it"


def test_windows_hold_one_network_in_memory_and_not_an_image_for_each_member(tmp_path: Path) -> None:
    members = [saved(tmp_path, seed=seed) for seed in range(4)]
    predictor = Predictor.load(save_ensemble(tmp_path / "all", [MemberSource(one) for one in members]))
    asked: list[tuple[int, ...]] = []
    forward = predictor._network
    predictor._network = lambda windows: (asked.append(windows.shape), forward(windows))[1]
    predictor.predict(image(300, 300))
    assert all(shape[1:] == (16, 16, 1) for shape in asked)
    assert sum(shape[0] for shape in asked) == 37**2, "each window is cut once, whatever the number of members"


def test_other_sizes_and_kinds_of_normalisation_are_averaged_on_the_image(tmp_path: Path) -> None:
    members = [
        saved(tmp_path, BUNDLE, 0),
        saved(tmp_path, replace(BUNDLE, size=(24, 24)), 1),
        saved(tmp_path, replace(BUNDLE, preprocessing=Preprocessing("zscore", 1)), 2),
        saved(tmp_path, replace(BUNDLE, resize_mode="letterbox"), 3),
        saved(tmp_path, BUNDLE, 4),
    ]
    path = save_ensemble(tmp_path / "all", [MemberSource(one) for one in members])
    bundle = read_bundle(path)
    assert [member.part for member in bundle.members] == [0, 1, 2, 3, 0]
    predictor, picture = Predictor.load(path), image(50, 37)
    assert isinstance(predictor, MixedPredictor)
    np.testing.assert_allclose(predictor.predict_probabilities(picture), mean_of(members, picture), atol=3e-6)
    facts = MaskFacts(TASK)
    np.testing.assert_array_equal(
        predictor.predict(picture, seen=facts), predictor.mask_of(predictor.predict_probabilities(picture))
    )
    assert facts.pixels.sum() == 50 * 37
    assert answers_as_saved(predictor, bundle, path / "example.npz") == (0.0, 0.0)
    assert read_expected(path / "example.npz").logits.size == 0
    with pytest.raises(DataError, match="no single network") as refused:
        load_bundle(path)
    assert "runs of one plan" in refused.value.remedy


def test_slices_and_volumes_are_averaged(tmp_path: Path) -> None:
    volumes = replace(
        BUNDLE, task=replace(TASK, rank=3), size=(8, 8, 8), spacing=(1.0, 1.0, 2.0), preprocessing=BUNDLE.preprocessing
    )
    solid, flat = saved(tmp_path, volumes, 0), saved(tmp_path, BUNDLE, 1)
    path = save_ensemble(tmp_path / "both", [MemberSource(flat, axis=2), MemberSource(solid)], flips=(0, 2))
    bundle, volume = read_bundle(path), image(20, 18, 9)
    assert (bundle.task.rank, [m.part for m in bundle.members], bundle.flips) == (3, [1, 0], (0, 2))
    spacing = (0.8, 1.0, 3.0)
    found = Predictor.load(path).predict_probabilities(volume, spacing)
    whole = Predictor.load(solid, flips=(0, 2)).predict_probabilities(volume, spacing)
    one = Predictor.load(flat, flips=(0,))
    slices = np.stack([one.predict_probabilities(volume[:, :, k]) for k in range(9)], axis=2)
    np.testing.assert_allclose(found, (whole + slices) / 2, atol=2e-6)
    assert Predictor.load(path).predict(volume, spacing).shape == (20, 18, 9)
    with pytest.raises(DataError, match="2D member of a 3D task"):
        save_ensemble(tmp_path / "none", [MemberSource(flat), MemberSource(solid)])
    with pytest.raises(DataError, match="3D member of a 3D task"):
        save_ensemble(tmp_path / "none", [MemberSource(solid, axis=1)])


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (replace(TASK, class_names=("background", "right", "left")), "classes background, right, left"),
        (replace(TASK, class_names=("background", "left")), "classes background, left"),
        (replace(TASK, channels=3), "3 channel"),
        (replace(TASK, label_values=(0, 7, 9)), r"\(0, 7, 9\)"),
        (replace(TASK, unscored=(0, 2)), r"unscored \(0, 2\)"),
    ],
)
def test_other_classes_are_refused_and_named(other: Task, message: str, tmp_path: Path) -> None:
    preprocessing = replace(BUNDLE.preprocessing, channels=other.channels, mean=(), std=())
    second = saved(tmp_path, replace(BUNDLE, task=other, preprocessing=preprocessing), 1)
    with pytest.raises(DataError, match=message) as refused:
        save_ensemble(tmp_path / "all", [MemberSource(saved(tmp_path)), MemberSource(second, name="UNet of June")])
    assert (refused.value.code, refused.value.where) == ("ensemble-classes", "UNet of June")
    assert not (tmp_path / "all").exists()


def test_no_member_ensembles_and_prompts_are_refused(tmp_path: Path) -> None:
    member = saved(tmp_path)
    path = save_ensemble(tmp_path / "all", [MemberSource(member)])
    prompted = Preprocessing("scale", 1, 255.0, scale="bytes", prompts=2)
    task = Task(rank=2, channels=3, class_names=("background", "object"))
    clicks = saved(tmp_path, replace(BUNDLE, task=task, preprocessing=prompted), 1)
    for sources, message in (
        ([], "no member"),
        ([MemberSource(path)], "as a member"),
        ([MemberSource(clicks)], "promptable"),
    ):
        with pytest.raises(DataError, match=message):
            save_ensemble(tmp_path / "none", sources)
    (tmp_path / "photos").mkdir()
    with pytest.raises(DataError, match="over something else"):
        save_ensemble(tmp_path / "photos", [MemberSource(member)])


def test_a_member_that_was_changed_is_named(tmp_path: Path) -> None:
    members = [MemberSource(saved(tmp_path, seed=seed), run=f"run{seed}", name=f"net{seed}") for seed in range(2)]
    path = save_ensemble(tmp_path / "all", members)
    for name in ("model.keras", "bundle.json", "example.npz"):
        file = path / "members" / "1" / name
        whole = file.read_bytes()
        content = bytearray(whole)
        content[len(content) // 2] ^= 1
        file.write_bytes(content)
        with pytest.raises(DataError, match="not the one that was saved") as refused:
            Predictor.load(path)
        assert "net1, run run1" in refused.value.where
        file.unlink()
        with pytest.raises(DataError, match="no such file"):
            load_bundle(path)
        file.write_bytes(whole)


def test_a_card_that_leads_elsewhere_is_refused(tmp_path: Path) -> None:
    path = save_ensemble(tmp_path / "all", [MemberSource(saved(tmp_path))])
    first = json.loads((path / "bundle.json").read_text())
    changes: list[dict[str, object]] = [
        {"folder": "../m0"},
        {"folder": "/etc"},
        {"folder": "members/0/../../m0"},
        {"part": -1},
        {"part": "0"},
        {"axis": 1},
        {"weight": 3},
    ]
    for change in changes:
        card = first | {"members": [first["members"][0] | change]}
        (path / "bundle.json").write_text(sealed(card))
        with pytest.raises(DataError, match="damaged"):
            read_bundle(path)


def test_an_ensemble_is_copied_and_replaced_like_any_bundle(tmp_path: Path) -> None:
    first = save_ensemble(tmp_path / "all", [MemberSource(saved(tmp_path))])
    second = save_ensemble(tmp_path / "all", [MemberSource(saved(tmp_path, seed=seed)) for seed in range(2)])
    assert first == second
    assert len(read_bundle(first).members) == 2
    copied = shutil.copytree(first, tmp_path / "elsewhere" / "copy")
    shutil.rmtree(first)
    np.testing.assert_array_equal(
        Predictor.load(copied).predict(image(20, 20)), Predictor.load(copied).predict(image(20, 20))
    )
