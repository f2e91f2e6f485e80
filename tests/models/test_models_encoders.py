"""Pre-trained encoders: what they are fed, which features they give, where their weights come from."""

from __future__ import annotations

import re

import keras
import numpy as np
import pytest
from keras import ops
from keras.src.legacy.saving import legacy_h5_format

from seglab.errors import ConfigError
from seglab.models import encoders
from seglab.models.context import deeplabv3plus, pspnet
from seglab.models.dilation import DilatedConv2D, DilatedMaxPooling2D
from seglab.models.encoder_unet import encoder_unet
from seglab.models.encoders import ENCODERS, EncoderInput, encode
from seglab.models.layers import BatchNormalization
from seglab.models.summary import leaf_layers
from seglab.task import Task

TASK = Task(rank=2, channels=3, class_names=("background", "a"))
APPLICATIONS = {
    "vgg16": keras.applications.vgg16,
    "resnet50": keras.applications.resnet50,
    "mobilenetv3": keras.applications.mobilenet_v3,
    **dict.fromkeys((f"efficientnetv2{size}" for size in ("b0", "s", "m")), keras.applications.efficientnet_v2),
    **dict.fromkeys((f"convnext_{size}" for size in ("tiny", "small", "base")), keras.applications.convnext),
}
LARGE = ("efficientnetv2s", "efficientnetv2m", "convnext_small", "convnext_base")
CONVNEXT = tuple(name for name in ENCODERS if name.startswith("convnext"))  # more in test_convnext.py

every_encoder = pytest.mark.parametrize("name", ENCODERS)
slow = pytest.mark.slow


@pytest.fixture(autouse=True)
def _seeded():
    keras.utils.set_random_seed(1)
    yield
    keras.config.set_dtype_policy("float32")


def rgb(*size: int, batch: int = 2) -> np.ndarray:
    return np.random.default_rng(0).random((batch, *size, 3)).astype("float32")


def run(model, x):
    return keras.tree.map_structure(ops.convert_to_numpy, model(x, training=False))


def whole(name: str) -> keras.Model:
    return ENCODERS[name].build(include_top=False, weights=None, input_shape=(None, None, 3))


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
    ("name", "stride", "output_stride"),
    [
        ("vgg16", 16, 8),
        ("vgg16", 32, 16),
        ("vgg16", 32, 8),
        *(
            pytest.param(name, *strides, marks=slow)
            for name, *strides in (
                ("resnet50", 32, 16),
                ("mobilenetv3", 32, 8),
                ("resnet50", 16, 8),
                ("resnet50", 32, 8),
                ("mobilenetv3", 16, 8),
                ("mobilenetv3", 32, 16),
                ("efficientnetv2b0", 16, 8),
                ("efficientnetv2b0", 32, 16),
                ("efficientnetv2b0", 32, 8),
            )
        ),
    ],
)
def test_dilation_computes_the_same_features_on_a_finer_grid(name, stride, output_stride):
    """Of every (stride / output stride) features of the dilated encoder along an axis, one is the strided encoder's.

    Which one is a matter of where a strided window lies: around the first of two pixels, or, in MobileNetV3 and
    EfficientNetV2, around the second. Their squeeze-and-excitation takes the mean over the image, and so over more
    positions when dilated; without weights on that mean all else is the same.
    """
    image = keras.Input((64, 96, 3))
    found = []
    for kept in (32, output_stride):
        keras.utils.set_random_seed(3)
        model = keras.Model(image, encode(image, name, [stride], None, "scale", kept)[stride])
        for layer in model.get_layer("encoder").layers:
            if re.search(r"squeeze_excite_conv|_se_(reduce|expand)", layer.name):
                layer.kernel.assign(ops.zeros_like(layer.kernel))
            if isinstance(layer, keras.layers.BatchNormalization):  # or the signal would fade without training
                layer.moving_variance.assign(ops.full_like(layer.moving_variance, 0.05))
        found.append(run(model, rgb(64, 96)))
    coarse, fine = found
    assert fine.shape[1:3] == (64 // output_stride, 96 // output_stride)
    step = stride // output_stride
    phase = step - 1 if name in ("mobilenetv3", "efficientnetv2b0") else 0
    same = fine[:, phase::step, phase::step]
    np.testing.assert_allclose(same, coarse, rtol=1e-3, atol=1e-4 * np.abs(coarse).max())
    assert np.abs(fine[:, phase - 1 :: step, phase - 1 :: step] - coarse).max() > 0.1 * np.abs(coarse).max()


@pytest.mark.parametrize("name", [pytest.param(name, marks=slow) if name in LARGE else name for name in ENCODERS])
def test_dilation_keeps_the_resolution(name):
    output_stride = 8
    image = keras.Input((48, 32, 3))
    features = encode(image, name, [4, 8, 16, 32], None, "scale", output_stride)
    for stride, feature in features.items():
        kept = min(stride, output_stride)
        assert feature.shape[1:-1] == (48 // kept, 32 // kept)
    nested = feature._keras_history.operation
    kernels = [layer for layer in nested.layers if getattr(layer, "kernel_size", (1, 1)) != (1, 1)]
    most = max(layer.dilation_rate[0] for layer in kernels)
    # VGG16's last stage is a pooling without convolutions after it, which itself sees a grid that is twice too fine.
    assert most == (2 if name == "vgg16" else 4)
    pools = [layer for layer in nested.layers if isinstance(layer, DilatedMaxPooling2D)]
    assert [(pool.name, pool.dilation) for pool in pools] == [("block5_pool", (2, 2))] * (name == "vgg16")
    efficient = {"block4a_dwconv2": 1, "block4b_dwconv2": 2, "block6a_dwconv2": 2, "block6b_dwconv2": 4}
    # What had the stride sees the finer grid still; what comes after it is spread over the grid it did not coarsen.
    entries = {
        "vgg16": {"block4_conv3": 1, "block5_conv1": 2},
        "resnet50": {"conv4_block1_2_conv": 2, "conv5_block1_2_conv": 4},
        "mobilenetv3": {
            "expanded_conv_6_depthwise": 1,
            "expanded_conv_7_depthwise": 2,
            "expanded_conv_12_depthwise": 2,
            "expanded_conv_13_depthwise": 4,
        },
        **dict.fromkeys(("efficientnetv2b0", "efficientnetv2s", "efficientnetv2m"), efficient),
        "efficientnetv2m": {**efficient, "block7a_dwconv2": 4},
        **{
            one: {
                f"{one}_downsampling_conv_1": 1,
                f"{one}_stage_2_block_0_depthwise_conv": 2,
                f"{one}_downsampling_conv_2": 2,
                f"{one}_stage_3_block_0_depthwise_conv": 4,
            }
            for one in CONVNEXT
        },
    }[name]
    assert {layer: nested.get_layer(layer).dilation_rate[0] for layer in entries} == entries
    assert all(nested.get_layer(layer).strides == (1, 1) for layer in entries)


@slow
def test_deeper_features_still_depend_on_the_image_after_dilation():
    image = keras.Input((32, 32, 3))
    for name in ("mobilenetv3", "efficientnetv2b0"):
        model = keras.Model(image, encode(image, name, [32], None, "standard", 8)[32])
        # Batch statistics, since untrained moving ones let the signal fade.
        x = np.random.default_rng(0).normal(size=(4, 32, 32, 3)).astype("float32")
        found = ops.convert_to_numpy(model(x, training=True))
        assert found.shape[:3] == (4, 4, 4)
        assert found.std(axis=(1, 2)).mean() > 1e-3


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


@pytest.mark.parametrize(
    ("build", "name", "output_stride"),
    [
        (deeplabv3plus, "vgg16", 16),
        (pspnet, "vgg16", 8),
        pytest.param(deeplabv3plus, "resnet50", 16, marks=slow),
        pytest.param(deeplabv3plus, "efficientnetv2b0", 8, marks=slow),
        pytest.param(pspnet, "resnet50", 8, marks=slow),
        pytest.param(pspnet, "mobilenetv3", 16, marks=slow),
    ],
)
def test_dilated_networks_with_real_encoders(build, name, output_stride):
    model = build(TASK, (48, 32), encoder=name, weights=None, width=4, output_stride=output_stride)
    found = run(model, rgb(48, 32))
    assert found.shape == (2, 48, 32, 1)
    assert np.isfinite(found).all()
    assert model.encoder_layers == ("encoder",)


@pytest.mark.parametrize(
    ("name", "features", "classifier"),
    [("vgg16", 512, 14_714_688), pytest.param("resnet50", 2048, 23_587_712, marks=slow)],
)
def test_pspnet_has_the_weights_of_its_paper(name, features, classifier):
    # Zhao et al. 2017: four branches of 1x1 convolutions, each to a quarter of the features (N levels: 1/N), joined to
    # them; a 3x3 convolution to 512 and a batch norm of 4 numbers a channel; logits. ResNet-50: 46.7 million in all.
    branches = 4 * (features * features // 4 + features // 4)
    after = 9 * (2 * features) * 512 + 4 * 512
    model = pspnet(TASK, (48, 48), encoder=name, weights=None)
    assert model.count_params() == classifier + branches + after + (512 + 1)
    # The branches do not hang on the width of what follows.
    narrow = pspnet(TASK, (48, 48), encoder=name, weights=None, width=8)
    assert narrow.get_layer("pyramid6_conv").kernel.shape == (1, 1, features, features // 4)


def test_a_dilated_network_is_made_of_the_fast_layers():
    """Their results are those of Keras's own, so nothing else would tell if they were not used."""
    model = deeplabv3plus(TASK, (32, 32), encoder="vgg16", weights=None, width=4, output_stride=8)
    spread = [x for x in leaf_layers(model) if getattr(x, "dilation_rate", (1,))[0] > 1]
    assert len(spread) == 3 + 3  # the last stage of the encoder, and the pyramid
    assert {type(x) for x in spread} == {DilatedConv2D}
    encoder = encode(keras.Input((32, 32, 3)), "mobilenetv3", [8], None, "scale")[8]._keras_history.operation
    norms = {type(x) for x in encoder.layers if isinstance(x, keras.layers.BatchNormalization)}
    assert norms == {BatchNormalization}


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
