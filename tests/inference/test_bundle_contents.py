"""What travels in a bundle: digests, an example, plan, temperature, reference; nothing private."""

from __future__ import annotations

import json
import pickle
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest
from bundles import BUNDLE, image, model, path

from seglab.errors import DataError
from seglab.inference.bundle import load_bundle, read_bundle, save_bundle
from seglab.inference.expected import answers_as_saved, read_expected
from seglab.inference.predictor import Predictor
from seglab.inference.public_config import WITHHELD, public_config
from seglab.inference.sealing import sealed

__all__ = ["model", "path"]


@pytest.mark.parametrize("name", ["model.keras", "example.npz", "bundle.json"])
@pytest.mark.parametrize("bit", [0, 5])
def test_a_flipped_bit_anywhere_is_refused_with_the_name_of_the_file(path: Path, name: str, bit: int) -> None:
    content = (path / name).read_bytes()
    for place in np.random.default_rng(bit).integers(0, len(content), 40):
        changed = bytearray(content)
        changed[place] ^= 1 << bit
        (path / name).write_bytes(changed)
        with pytest.raises(DataError) as caught:
            load_bundle(path)
        assert name in str(caught.value)
    (path / name).write_bytes(content)
    assert load_bundle(path)[1] == BUNDLE


def test_an_example_that_is_missing_is_named(path: Path) -> None:
    (path / "example.npz").unlink()
    with pytest.raises(DataError, match=r"example\.npz"):
        load_bundle(path)


def test_a_bundle_of_format_1_still_loads(path: Path) -> None:
    """As they were written before there was an example: two files, one digest, no seal."""
    card = json.loads((path / "bundle.json").read_text())
    digest = card.pop("artefacts")["model.keras"]
    for later in ("seal", "temperature", "overlap", "flips", "reference"):
        del card[later]
    (path / "example.npz").unlink()
    (path / "bundle.json").write_text(json.dumps({**card, "format": 1, "sha256": digest}, indent=2))
    assert load_bundle(path)[1] == BUNDLE
    expected = Predictor.of(load_bundle(path)[0], BUNDLE).predict(image())
    np.testing.assert_array_equal(Predictor.load(path).predict(image()), expected)
    (path / "bundle.json").write_text(json.dumps({**card, "format": 1, "sha256": digest[::-1]}))
    with pytest.raises(DataError, match="not the one that was saved"):
        load_bundle(path)


def test_the_example_is_what_the_model_answers(model: keras.Model, path: Path, tmp_path: Path) -> None:
    predictor, bundle = Predictor.load(path), read_bundle(path)
    saved = read_expected(path / "example.npz")
    assert (saved.image.shape, saved.logits.shape, saved.mask.shape, saved.step) == (
        (16, 16, 1),
        (16, 16, 3),
        (16, 16),
        1,
    )
    largest, other = answers_as_saved(predictor, bundle, path / "example.npz")
    assert (largest < 1e-5, other) == (True, 0)
    changed = keras.models.clone_model(model)
    changed.set_weights([weights * 1.1 for weights in model.get_weights()])
    assert answers_as_saved(Predictor.of(changed, bundle), bundle, path / "example.npz")[0] > 1e-3
    (tmp_path / "other.npz").write_bytes(pickle.dumps([1]))
    with pytest.raises(DataError, match="cannot be read"):
        read_expected(tmp_path / "other.npz")


def test_plan_temperature_and_reference_travel_along(model: keras.Model, tmp_path: Path) -> None:
    bundle = replace(BUNDLE, temperature=1.7, overlap=0.25, flips=(1,), reference={"cases": 3})
    saved = save_bundle(tmp_path / "bundle", model, bundle)
    assert read_bundle(saved) == bundle
    predictor = Predictor.load(saved)
    assert (predictor.temperature, predictor.windows.overlap, predictor.windows.flips) == (1.7, 0.25, (1,))
    assert Predictor.load(saved, overlap=0.5, flips=()).windows.flips == ()
    for change in ({"temperature": 0}, {"overlap": 1.0}, {"temperature": float("inf")}):
        card = json.loads((saved / "bundle.json").read_text())
        (saved / "bundle.json").write_text(sealed({**card, **change}))
        with pytest.raises(DataError, match="damaged"):
            read_bundle(saved)


def test_nothing_private_is_in_a_public_config() -> None:
    config = {
        "data": {"root": "/home/jane/cells", "name": "cells", "size": [64, 64], "labels": "masks/*.png"},
        "model": {"encoder": {"weights": "~/weights.h5"}, "url": "https://jane@lab.example/w", "win": "C:\\data\\x"},
        "tracking": {"uri": "http://lab:5000"},
        "launcher": {"partition": "gpu"},
        "seed": 0,
    }
    assert public_config(config) == {
        "data": {"root": WITHHELD, "name": "cells", "size": [64, 64], "labels": "masks/*.png"},
        "model": {"encoder": {"weights": WITHHELD}, "url": WITHHELD, "win": WITHHELD},
        "seed": 0,
    }
