"""A volume in Zarr is predicted by parts: the mask is that of the same voxels in memory, in a share of the memory."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import zarr
from predicted_files import predict_files
from zarr_images import window_predictor, write_image

from seglab.data.io.nifti_files import read_image, spacing_of
from seglab.inference import streaming

SHAPE = (40, 100, 70)  # z, y, x


def noise(shape: tuple[int, ...], dtype: str = "uint8") -> np.ndarray:
    smooth = np.random.default_rng(0).normal(120, 60, shape)
    return np.clip(smooth, 0, 255).astype(dtype)


@pytest.mark.parametrize(("version", "narrow"), [("0.4", False), ("0.5", True)], ids=["one bar", "bars"])
def test_the_mask_is_that_of_the_voxels_in_memory(
    tmp_path: Path, version: str, narrow: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if narrow:
        monkeypatch.setattr(streaming, "_HELD_BYTES", 1)
        monkeypatch.setattr(streaming, "_LEAST_WINDOWS", 1)
        monkeypatch.setattr(streaming, "MASK_CHUNK", 32)
        monkeypatch.setattr("seglab.inference.zarr_masks.MASK_CHUNK", 32)
    stored = noise(SHAPE)
    image = write_image(tmp_path / "in" / "a.ome.zarr", [stored], version=version, scales=[(2.0, 0.5, 0.25)])
    predictor = window_predictor(3)
    (mask,) = predict_files(predictor, [image], tmp_path / "masks")
    assert mask == tmp_path / "masks" / "a.zarr"
    wanted = predictor.predict(stored.transpose(2, 1, 0)[..., None].astype(np.float32))
    assert np.bincount(wanted.ravel()).min() > 1000
    found = zarr.open_group(mask, mode="r")
    np.testing.assert_array_equal(found["0"][...], wanted.transpose(2, 1, 0))
    assert found["0"].dtype == np.uint8
    values, affine, _ = read_image([str(mask)])
    assert values.shape == (70, 100, 40, 1)
    assert spacing_of(affine) == (0.25, 0.5, 2.0)
