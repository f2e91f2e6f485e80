"""Weights of encoders: from a file, missing, of another network, not to be downloaded."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras.src.legacy.saving import legacy_h5_format
from real_encoders import TASK, seeded, slow, whole

from seglab.errors import ConfigError
from seglab.models.context import deeplabv3plus, pspnet
from seglab.models.encoder_unet import encoder_unet

__all__ = ["seeded"]


@pytest.mark.parametrize("legacy", [pytest.param(False, marks=slow), True], ids=["weights.h5", "h5"])
def test_weights_come_from_a_file(legacy, tmp_path):
    donor = whole("mobilenetv3")
    if legacy:
        import h5py

        path = tmp_path / "mobilenet.h5"
        with h5py.File(path, "w") as file:
            legacy_h5_format.save_weights_to_hdf5_group(file, donor)
    else:
        path = tmp_path / "mobilenet.weights.h5"
        donor.save_weights(path)
    model = encoder_unet(TASK, (32, 32), encoder="mobilenetv3", weights=str(path), width=1, freeze_epochs=2)
    assert model.freeze_epochs == 2
    loaded = model.get_layer("encoder")
    compared = 0
    for layer in (layer for layer in loaded.layers if layer.weights):
        for mine, theirs in zip(layer.get_weights(), donor.get_layer(layer.name).get_weights(), strict=True):
            np.testing.assert_array_equal(mine, theirs)
            compared += 1
    assert compared > 200


def test_missing_file_of_weights():
    with pytest.raises(ConfigError) as caught:
        encoder_unet(TASK, (32, 32), encoder="vgg16", weights="no/such.h5")
    assert caught.value.where == "model.weights"
    assert caught.value.found == "no/such.h5"
    assert "imagenet" in caught.value.expected


@pytest.mark.parametrize("content", ["garbage", "another model"])
def test_file_that_does_not_fit(content, tmp_path):
    path = tmp_path / "wrong.weights.h5"
    if content == "garbage":
        path.write_bytes(b"not an HDF5 file")
    else:
        keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)]).save_weights(path)
    with pytest.raises(ConfigError, match=r"do not fit mobilenetv3(.|\n)*model.weights(.|\n)*include_top=False"):
        encoder_unet(TASK, (32, 32), encoder="mobilenetv3", weights=str(path))


def test_failed_download_names_the_remedy(monkeypatch):
    def offline(*args, **kwargs):
        raise Exception("URL fetch failure on https://storage.googleapis.com/x: None -- [Errno -3]")

    monkeypatch.setattr("keras.src.utils.file_utils.get_file", offline)
    with pytest.raises(ConfigError) as caught:
        pspnet(TASK, (32, 32), encoder="vgg16", weights="imagenet")
    assert "URL fetch failure" in caught.value.what
    assert "model.weights=null" in caught.value.remedy
    assert "~/.keras/models" in caught.value.remedy


@pytest.mark.parametrize("build", [encoder_unet, deeplabv3plus, pspnet])
def test_random_weights_are_not_frozen(build):
    with pytest.raises(ConfigError, match=r"random weights(.|\n)*freeze_epochs=2 with weights=null"):
        build(TASK, (32, 32), weights=None, freeze_epochs=2)
