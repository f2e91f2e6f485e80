"""Prediction of volumes: at the spacing of training and back, at odd sizes, without one."""

from __future__ import annotations

import numpy as np
import pytest
from networks_by_hand import ABOVE_HALF, AS_IS, VOLUME, pixelwise, windows

from seglab.data.cases import Sample
from seglab.data.preprocessing.case_preprocessing import CasePreprocessing
from seglab.data.preprocessing.geometry import cut, pad_start
from seglab.data.preprocessing.normalisation import Preprocessing
from seglab.data.preprocessing.spacing import resample_image
from seglab.errors import DataError
from seglab.inference.bundle import Bundle
from seglab.inference.predictor import Predictor

__all__ = ["windows"]


def test_a_volume_meets_the_network_at_its_spacing_and_comes_back_to_its_own() -> None:
    predictor = Predictor(
        pixelwise(VOLUME, (8, 8, 8), *ABOVE_HALF), VOLUME, AS_IS, (8, 8, 8), "patch", spacing=(1.0, 1.0, 2.0)
    )
    seen = _fed(predictor)
    # 0.5 × 0.5 × 4 mm in 16 × 12 × 4 voxels: 8 × 6 × 8 voxels of 1 × 1 × 2 mm.
    image = np.zeros((16, 12, 4, 1), np.float32)
    image[6:12, 2:8, 1:3] = 1
    mask = predictor.predict(image, (0.5, 0.5, 4.0))
    assert len(seen) == 1
    np.testing.assert_array_equal(
        seen[0][0, :, 1:7], resample_image(image, (0.5, 0.5, 4.0), (1.0, 1.0, 2.0)).astype(np.float32)
    )
    np.testing.assert_array_equal(mask, image[..., 0])
    probabilities = predictor.predict_probabilities(image, (0.5, 0.5, 4.0))
    np.testing.assert_array_equal(probabilities[..., 1] > 0.5, mask)
    np.testing.assert_allclose(probabilities.sum(-1), 1, atol=1e-6)


@pytest.mark.parametrize(("fit", "spacing"), [("patch", (1.0, 1.0, 2.0)), ("resize", None)])
def test_a_refusal_of_other_channels_has_the_shape_of_the_image_itself(
    fit: str, spacing: tuple[float, ...] | None
) -> None:
    predictor = Predictor(pixelwise(VOLUME, (8, 8, 8), *ABOVE_HALF), VOLUME, AS_IS, (8, 8, 8), fit, spacing=spacing)
    with pytest.raises(DataError, match=r"shape \(16, 12, 4, 3\): 3 channels[\s\S]*1 in the last axis"):
        predictor.predict(np.zeros((16, 12, 4, 3), np.float32), (0.5, 0.5, 4.0))


def _fed(predictor: Predictor) -> list[np.ndarray]:
    """What the network is given from now on."""
    seen: list[np.ndarray] = []
    network = predictor._network

    def watched(windows: np.ndarray) -> np.ndarray:
        seen.append(windows.copy())
        return network(windows)

    predictor._network = watched
    return seen


@pytest.mark.parametrize("mode", ["scale", "zscore"])
@pytest.mark.parametrize(
    ("fit", "target"), [("resize", None), ("letterbox", None), ("pad", (2.0, 1.0, 1.5)), ("letterbox", (2.0, 1.0, 1.5))]
)
def test_the_network_sees_what_it_was_trained_on(fit: str, target: tuple[float, ...] | None, mode: str) -> None:
    image = np.random.default_rng(0).random((9, 14, 7, 1), np.float32)
    sample = Sample(image, np.zeros(image.shape[:3], np.uint8), (1.0, 0.5, 1.5))
    size = (16, 16, 16)
    preprocessing = Preprocessing(mode, 1)
    predictor = Predictor(pixelwise(VOLUME, size, *ABOVE_HALF), VOLUME, preprocessing, size, fit, spacing=target)
    seen = _fed(predictor)
    predictor.predict(sample.image, sample.spacing)
    trained_on = preprocessing.apply(
        CasePreprocessing(size, fit if fit != "pad" else "patch", target)(sample, VOLUME).image
    )
    expected = cut(trained_on, pad_start(trained_on.shape[:3], size), size, 0)
    assert len(seen) == 1
    np.testing.assert_array_equal(seen[0][0], expected)


def test_cubic_interpolation_is_that_of_training_too() -> None:
    image = np.random.default_rng(0).random((9, 14, 7, 1), np.float32)
    sample, size, finer = Sample(image, np.zeros(image.shape[:3], np.uint8), (1.0, 0.5, 1.5)), (16,) * 3, (0.75,) * 3
    fed = {}
    for kind in ("linear", "cubic"):
        bundle = Bundle(VOLUME, AS_IS, size, "pad", spacing=finer, interpolation=kind)
        predictor = Predictor.of(pixelwise(VOLUME, size, *ABOVE_HALF), Bundle.from_dict(bundle.to_dict()))
        seen = _fed(predictor)
        predictor.predict(image, sample.spacing)
        trained_on = AS_IS.apply(CasePreprocessing(size, "patch", finer, kind)(sample, VOLUME).image)
        np.testing.assert_array_equal(seen[0][0], cut(trained_on, pad_start(trained_on.shape[:3], size), size, 0))
        fed[kind] = seen[0]
    assert not np.allclose(fed["linear"], fed["cubic"])


@pytest.mark.parametrize("spacing", [None, (1.0, 1.0), (1.0, 1.0, 0.0), (1.0, 1.0, float("nan"))])
def test_a_network_with_a_spacing_needs_that_of_the_image(spacing: tuple[float, ...] | None) -> None:
    model = pixelwise(VOLUME, (8, 8, 8), *ABOVE_HALF)
    predictor = Predictor(model, VOLUME, AS_IS, (8, 8, 8), "patch", spacing=(1.0, 1.0, 2.0))
    with pytest.raises(DataError, match="spacing is not known"):
        predictor.predict(np.zeros((8, 8, 8, 1), np.float32), spacing)


def test_a_spacing_is_of_no_account_where_the_network_has_none() -> None:
    predictor = Predictor(pixelwise(VOLUME, (8, 8, 8), *ABOVE_HALF), VOLUME, AS_IS, (8, 8, 8), "patch")
    image = np.random.default_rng(0).random((5, 6, 7, 1), np.float32)
    np.testing.assert_array_equal(predictor.predict(image, (0.1, 3, 9)), image[..., 0] > 0.5)
