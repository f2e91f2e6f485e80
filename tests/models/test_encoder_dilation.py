"""Encoders with dilation: the same features on a finer grid, and the networks that ask for them."""

from __future__ import annotations

import re

import keras
import numpy as np
import pytest
from keras import ops
from real_encoders import CONVNEXT, TASK, rgb, run, seeded, slow

from seglab.models.context import deeplabv3plus, pspnet
from seglab.models.dilation import DilatedConv2D, DilatedMaxPooling2D
from seglab.models.encoders import ENCODERS, encode
from seglab.models.layers import BatchNormalization
from seglab.models.summary import leaf_layers

__all__ = ["seeded"]

LARGE = ("efficientnetv2s", "efficientnetv2m", "convnext_small", "convnext_base")


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


@pytest.mark.slow
def test_a_dilated_network_is_made_of_the_fast_layers():
    """Their results are those of Keras's own, so nothing else would tell if they were not used."""
    model = deeplabv3plus(TASK, (32, 32), encoder="vgg16", weights=None, width=4, output_stride=8)
    spread = [x for x in leaf_layers(model) if getattr(x, "dilation_rate", (1,))[0] > 1]
    assert len(spread) == 3 + 3  # the last stage of the encoder, and the pyramid
    assert {type(x) for x in spread} == {DilatedConv2D}
    encoder = encode(keras.Input((32, 32, 3)), "mobilenetv3", [8], None, "scale")[8]._keras_history.operation
    norms = {type(x) for x in encoder.layers if isinstance(x, keras.layers.BatchNormalization)}
    assert norms == {BatchNormalization}
