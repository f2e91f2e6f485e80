"""Pre-trained encoders: what they are fed, which features they give, where their weights come from."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import ops
from real_encoders import CONVNEXT, TASK, rgb, run, seeded, slow, whole

from seglab.models import encoders
from seglab.models.encoder_unet import encoder_unet
from seglab.models.encoders import ENCODERS, EncoderInput, encode
from seglab.task import Task

__all__ = ["seeded"]

APPLICATIONS = {
    "vgg16": keras.applications.vgg16,
    "resnet50": keras.applications.resnet50,
    "mobilenetv3": keras.applications.mobilenet_v3,
    **dict.fromkeys((f"efficientnetv2{size}" for size in ("b0", "s", "m")), keras.applications.efficientnet_v2),
    **dict.fromkeys((f"convnext_{size}" for size in ("tiny", "small", "base")), keras.applications.convnext),
}


every_encoder = pytest.mark.parametrize("name", ENCODERS)


def as_published(name: str, x: np.ndarray) -> np.ndarray:
    """What keras.applications feeds its convolutions for an image in 0..255."""
    x = APPLICATIONS[name].preprocess_input(x * 255)
    if name == "mobilenetv3":
        return x / 127.5 - 1
    if name in ("efficientnetv2s", "efficientnetv2m"):
        return x / 128 - 1
    if name == "efficientnetv2b0" or name in CONVNEXT:
        return (x / 255 - encoders.IMAGENET_MEAN) / encoders.IMAGENET_STD
    return x


@every_encoder
def test_images_in_0_to_1_arrive_as_in_the_encoders_own_training(name):
    x = rgb(4, 5)
    found = run(EncoderInput("scale", ENCODERS[name].scaling), x)
    np.testing.assert_allclose(found, as_published(name, x), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("normalized", ["standard", "zscore", "window"])
@every_encoder
def test_standardised_images_get_the_statistics_of_imagenet(name, normalized):
    x = np.random.default_rng(0).normal(size=(1, 4, 5, 3)).astype("float32")
    found = run(EncoderInput(normalized, ENCODERS[name].scaling), x)
    expected = as_published(name, (x * encoders.IMAGENET_STD + encoders.IMAGENET_MEAN).astype("float32"))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


@slow
def test_published_preprocessing_includes_the_models_own():
    # `as_published` repeats the layers with which these begin; they must be the ones that are left out here.
    for build, name in [
        (keras.applications.MobileNetV3Small, "mobilenetv3"),
        (keras.applications.EfficientNetV2B0, "efficientnetv2b0"),
        (keras.applications.EfficientNetV2S, "efficientnetv2s"),
        (keras.applications.EfficientNetV2M, "efficientnetv2m"),
        (keras.applications.ConvNeXtTiny, "convnext_tiny"),
    ]:
        model = build(include_top=False, weights=None, input_shape=(32, 32, 3))
        first = next(
            i for i, layer in enumerate(model.layers) if isinstance(layer, (keras.layers.Conv2D, keras.Sequential))
        )
        before = keras.Model(model.input, model.layers[first - 1].output)
        x = rgb(32, 32)
        np.testing.assert_allclose(run(before, x * 255), as_published(name, x), rtol=1e-4, atol=1e-4)


def test_grey_images_are_repeated_and_float32():
    keras.config.set_dtype_policy("mixed_bfloat16")
    layer = EncoderInput("scale", "symmetric")
    found = run(layer, np.full((1, 2, 2, 1), 0.3, "float32"))
    np.testing.assert_allclose(found, np.full((1, 2, 2, 3), -0.4), rtol=1e-6)
    assert found.dtype == np.float32
    assert layer.compute_output_shape((None, 2, 2, 1)) == (None, 2, 2, 3)


@pytest.mark.parametrize(("channels", "learnt"), [(1, False), (3, False), (2, True), (6, True)])
def test_other_channels_pass_a_learnt_convolution(channels, learnt):
    task = Task(rank=2, channels=channels, class_names=("background", "a"))
    model = encoder_unet(task, (32, 32), encoder="vgg16", weights=None, width=1)
    assert ("to_rgb" in [layer.name for layer in model.layers]) == learnt


@pytest.mark.parametrize(
    "name",
    [
        "vgg16",
        "mobilenetv3",
        *(pytest.param(f"efficientnetv2{size}", marks=slow) for size in ("b0", "s")),
        pytest.param("resnet50", marks=slow),
    ],
)
def test_features_are_those_of_the_whole_classifier(name):
    image = keras.Input((64, 96, 3))
    strides = sorted(ENCODERS[name].taps)
    features = encode(image, name, strides, None, "scale")
    for stride in strides:
        assert features[stride].shape[1:-1] == (64 // stride, 96 // stride)
    model = keras.Model(image, list(features.values()))
    tapped = model.get_layer("encoder")
    original = whole(name)
    for layer in (layer for layer in tapped.layers if layer.weights):
        original.get_layer(layer.name).set_weights(layer.get_weights())
    x = rgb(64, 96)
    reference = keras.Model(original.input, [original.get_layer(t).output for t in ENCODERS[name].taps.values()])
    for mine, theirs in zip(run(model, x), run(reference, as_published(name, x)), strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=2e-3, atol=1e-4 * np.abs(theirs).max())


@pytest.mark.parametrize(
    "name", ["vgg16", *(pytest.param(name, marks=slow) for name in list(ENCODERS)[1:] if name not in CONVNEXT)]
)
def test_every_real_encoder_trains_and_is_saved(name, tmp_path):
    model = encoder_unet(TASK, (32, 64), encoder=name, weights=None, width=2)
    assert model.name == f"{name}_unet"
    assert model.output_shape == (None, 32, 64, 1)
    x = rgb(32, 64, batch=4) * 2 - 1
    model.compile(keras.optimizers.SGD(1.0), loss=keras.losses.MeanSquaredError(), run_eagerly=True)
    before = [ops.convert_to_numpy(w) for w in model.trainable_variables]
    assert np.isfinite(model.train_on_batch(x, np.ones((4, 32, 64, 1), "float32")))
    moved = [
        np.abs(ops.convert_to_numpy(w) - old).max() for w, old in zip(model.trainable_variables, before, strict=True)
    ]
    assert np.isfinite(moved).all()
    assert np.mean(np.array(moved) > 0) > 0.99
    norms = [layer for layer in model.get_layer("encoder").layers if isinstance(layer, keras.layers.BatchNormalization)]
    assert {layer.momentum for layer in norms} == (set() if name == "vgg16" else {0.9})
    model.save(tmp_path / "model.keras")
    np.testing.assert_array_equal(run(keras.saving.load_model(tmp_path / "model.keras"), x), run(model, x))
