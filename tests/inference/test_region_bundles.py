"""A network of regions, from its bundle on: masks, ensembles, exported graphs; an older bundle is what it was."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest
from nested_regions import NESTED, TASK

from seglab.data.preprocessing.normalisation import Preprocessing
from seglab.errors import ConfigError, DataError
from seglab.evaluation.case_scores import check_same_classes
from seglab.experiment.warm_start import _check_task
from seglab.export.conversion import convert
from seglab.export.end_to_end import end_to_end
from seglab.export.examining import compare_logits
from seglab.export.manifest import _answered
from seglab.inference.backends import BACKENDS, open_network
from seglab.inference.bundle import Bundle, load_bundle, read_bundle, save_bundle
from seglab.inference.decision import class_ids
from seglab.inference.ensembles import MemberSource, save_ensemble
from seglab.inference.extra_outputs import write_probabilities
from seglab.inference.mixed_predictor import MixedPredictor
from seglab.inference.predictor import Predictor
from seglab.inference.sealing import sealed

BUNDLE = Bundle(TASK, Preprocessing("scale", 1, 255.0, scale="bytes"), (16, 16), "patch", threshold=0.6)
PLAIN = replace(TASK, regions=())


def network(size: tuple[int, ...] = (16, 16), seed: int = 0, channels: int = 3) -> keras.Model:
    """A small one with answers that differ much from place to place."""
    keras.utils.set_random_seed(seed)
    image = keras.Input((*size, 1))
    x = keras.layers.Conv2D(4, 3, padding="same", activation="relu", kernel_initializer="he_normal")(image)
    spread = keras.initializers.RandomNormal(stddev=3.0)
    return keras.Model(image, keras.layers.Conv2D(channels, 1, kernel_initializer=spread)(x))


def saved(folder: Path, bundle: Bundle = BUNDLE, seed: int = 0) -> Path:
    return save_bundle(folder / f"m{seed}", network(bundle.size, seed), bundle)


def picture(*size: int) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (*size, 1)).astype(np.uint8)


def painted(probabilities: np.ndarray, threshold: float = 0.6) -> np.ndarray:
    ids = np.zeros(probabilities.shape[:-1], np.uint8)
    for number, region in enumerate(NESTED):
        ids[probabilities[..., number] > threshold] = region.paints
    return ids


def card_of(folder: Path) -> dict:
    return json.loads((folder / "bundle.json").read_text())


def test_regions_travel_in_a_format_that_an_older_seglab_refuses_and_other_bundles_are_as_before(
    tmp_path: Path,
) -> None:
    folder = saved(tmp_path)
    assert read_bundle(folder) == BUNDLE
    assert card_of(folder)["format"] == 4
    card = card_of(save_bundle(tmp_path / "plain", network(channels=4), replace(BUNDLE, task=PLAIN)))
    assert card["format"] == 2
    assert "regions" not in card["task"]
    assert "regions" not in json.dumps(card_of(folder)["task"]["class_names"])


@pytest.mark.parametrize(
    "wrong", [[{"name": "r", "classes": [1]}], [{"name": "r", "classes": [9], "paints": 9}], [3], {"a": 1}]
)
def test_a_bundle_of_regions_that_cannot_be_is_refused(tmp_path: Path, wrong: object) -> None:
    folder = saved(tmp_path)
    card = {key: value for key, value in card_of(folder).items() if key != "digest"}
    card["task"]["regions"] = wrong
    (folder / "bundle.json").write_text(sealed(card))
    with pytest.raises(DataError):
        read_bundle(folder)


@pytest.mark.parametrize(
    ("fit", "size"), [("patch", (16, 16)), ("patch", (21, 35)), ("resize", (29, 13)), ("pad", (9, 12))]
)
def test_a_mask_is_painted_of_the_probabilities(tmp_path: Path, fit: str, size: tuple[int, int]) -> None:
    predictor = Predictor.load(saved(tmp_path, replace(BUNDLE, resize_mode=fit, flips=(0, 1), temperature=1.5)))
    image = picture(*size)
    probabilities = predictor.predict_probabilities(image)
    assert probabilities.shape == (*size, 3)
    mask = predictor.predict(image)
    assert mask.dtype == np.uint8
    np.testing.assert_array_equal(mask, painted(probabilities))
    np.testing.assert_array_equal(predictor.mask_of(probabilities), mask)
    assert mask.any()
    again, logs = predictor.predict_drawn(image, None, np.arange(size[0] * size[1]))
    np.testing.assert_array_equal(again, mask)
    np.testing.assert_allclose(np.exp(logs[:, :3]), probabilities.reshape(-1, 3), atol=1e-5)
    np.testing.assert_allclose(np.exp(logs[:, :3]) + np.exp(logs[:, 3:]), 1, atol=1e-5)


def test_an_ensemble_averages_the_probabilities_of_each_region(tmp_path: Path) -> None:
    image, one, other = picture(21, 30), saved(tmp_path, seed=0), saved(tmp_path, seed=1)
    mean = np.mean([Predictor.load(folder).predict_probabilities(image) for folder in (one, other)], axis=0)
    predictor = Predictor.load(save_ensemble(tmp_path / "both", [MemberSource(one), MemberSource(other)]))
    np.testing.assert_allclose(predictor.predict_probabilities(image), mean, atol=1e-5)
    assert (predictor.predict(image) == painted(mean)).mean() > 0.999
    wider = saved(tmp_path, replace(BUNDLE, size=(24, 24)), seed=2)
    mixed = Predictor.load(save_ensemble(tmp_path / "mixed", [MemberSource(one), MemberSource(wider)]))
    assert isinstance(mixed, MixedPredictor)
    mean = np.mean([Predictor.load(folder).predict_probabilities(image) for folder in (one, wider)], axis=0)
    np.testing.assert_array_equal(mixed.predict(image), painted(mean))
    mask, logs = mixed.predict_drawn(image, None, np.arange(21 * 30))
    np.testing.assert_array_equal(mask, painted(mean))
    np.testing.assert_allclose(np.exp(logs), np.concatenate([mean, 1 - mean], -1).reshape(-1, 6), atol=1e-6)


def test_other_regions_are_another_task(tmp_path: Path) -> None:
    fewer = replace(TASK, regions=(NESTED[0], NESTED[2]))
    others = save_bundle(tmp_path / "others", network(channels=2), replace(BUNDLE, task=fewer))
    with pytest.raises(DataError, match="members of other channels or classes"):
        save_ensemble(tmp_path / "both", [MemberSource(saved(tmp_path)), MemberSource(others)])
    for mine, theirs in ((TASK, fewer), (TASK, PLAIN), (PLAIN, TASK)):
        with pytest.raises(DataError, match=r"regions whole \(edema \+ necrosis \+ enhancing\)"):
            check_same_classes(mine, theirs)
    check_same_classes(TASK, TASK)
    with pytest.raises(ConfigError, match=r"weights of another set of regions[\s\S]*none in that run"):
        _check_task(PLAIN, TASK, "init_from=…")
    _check_task(TASK, replace(TASK, regions=tuple(replace(one, name=one.name.upper()) for one in NESTED)), "")


@pytest.mark.parametrize(("fit", "size"), [("pad", (13, 16)), ("resize", (25, 31))])
def test_a_graph_from_pixels_to_ids_paints_them_too(fit: str, size: tuple[int, int]) -> None:
    bundle, model, image = replace(BUNDLE, resize_mode=fit), network(), picture(*size)  # type: ignore[arg-type]
    mask = end_to_end(model, bundle, size).predict_on_batch(image[None])[0]
    assert (mask == Predictor.of(model, bundle).predict(image)).mean() > 0.99
    assert len(np.unique(mask)) == 4


def test_an_exported_graph_answers_with_ids_alone(tmp_path: Path) -> None:
    image, graph = picture(25, 31), end_to_end(network(), replace(BUNDLE, resize_mode="resize"), (25, 31))
    convert(graph, "openvino", tmp_path, "classes")
    found = open_network("openvino", tmp_path / BACKENDS["openvino"].file).run(image[None])
    np.testing.assert_array_equal(found, graph.predict_on_batch(image[None]))


def test_probabilities_are_written_under_the_names_of_regions(tmp_path: Path) -> None:
    with np.load(write_probabilities(tmp_path / "p.npz", np.zeros((4, 5, 3), np.float32), TASK)) as arrays:
        assert arrays["classes"].tolist() == ["whole", "core", "enhancing"]


def test_exported_logits_differ_where_a_pixel_is_in_another_region() -> None:
    reference = np.array([[[0.5, -2.0, -0.01], [0.5, 0.003, -9.0]]], np.float32)
    found = reference + np.array([[[0.0, 0.0, 0.02], [0.0, -0.01, 0.0]]], np.float32)
    largest, other, pixels, margin = compare_logits(found, reference, TASK)
    assert (other, pixels) == (2, 2)
    assert (largest, margin) == pytest.approx((0.02, 0.01))
    assert "1 where that of whole (channel 0) is" in _answered(BUNDLE, whole=False)


def test_the_decision_reads_one_channel_after_the_other(tmp_path: Path) -> None:
    model, bundle = load_bundle(saved(tmp_path))
    logits = Predictor.of(model, bundle).network.logits(np.ones((1, 16, 16, 1), np.float32))
    p = 1 / (1 + np.exp(-logits[0]))
    np.testing.assert_array_equal(class_ids((p[..., k] for k in range(3)), TASK, 0.6), painted(p))
