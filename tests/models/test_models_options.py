"""What each option of the blocks does, seen in the numbers that come out."""

from __future__ import annotations

import itertools

import keras
import numpy as np
import pytest
from keras import layers, ops

from seglab.models import blocks
from seglab.models.blocks import Style
from seglab.models.resampling import LinearUpsampling, Resampling, averaging_matrix, interpolation_matrix
from seglab.models.unet import attention_gate, attention_unet, residual_unet, unet
from seglab.models.volumetric import vnet
from seglab.task import Task

TASKS = {rank: Task(rank=rank, channels=1, class_names=("background", "a")) for rank in (2, 3)}
SIZES = {2: (8, 16), 3: (4, 8, 4)}
NETS = {"unet": unet, "residual_unet": residual_unet, "attention_unet": attention_unet, "vnet": vnet}


@pytest.fixture(autouse=True)
def _seeded():
    keras.utils.set_random_seed(1)


def build(net, rank: int = 2, **options):
    return net(TASKS[rank], SIZES[rank], **{"depth": 2, "width": 4, **options})


def run(model, x, training: bool = False):
    return ops.convert_to_numpy(model(x, training=training))


def random(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=shape).astype("float32")


def layers_of(model, kind) -> list:
    return [layer for layer in model.layers if isinstance(layer, kind)]


@pytest.mark.parametrize("rank", [2, 3])
@pytest.mark.parametrize("net", NETS.values(), ids=NETS)
@pytest.mark.parametrize("upsampling", ["nearest", "bilinear", "transpose"])
def test_upsampling(net, upsampling, rank):
    model = build(net, rank, upsampling=upsampling)
    found = run(model, random(2, *SIZES[rank], 1))
    assert found.shape == (2, *SIZES[rank], 1)
    assert np.isfinite(found).all()
    transposed = layers_of(model, (layers.Conv2DTranspose, layers.Conv3DTranspose))
    assert len(transposed) == (2 if upsampling == "transpose" else 0)
    # The gate interpolates its coefficient linearly whatever the decoder does.
    linear = [layer for layer in layers_of(model, LinearUpsampling) if "attention" not in layer.name]
    doublings = 2 * (2 if net is residual_unet else 1)
    assert len(linear) == (doublings if upsampling == "bilinear" else 0)


@pytest.mark.parametrize("norm", ["batch", "instance", "group", "none"])
def test_batch_norm_alone_mixes_the_images_of_a_batch(norm):
    model = build(unet, norm=norm, width=8)
    x = random(3, *SIZES[2], 1)
    together = run(model, x, training=True)[:1]
    alone = run(model, x[:1], training=True)
    assert np.allclose(together, alone, atol=1e-4) == (norm != "batch")


@pytest.mark.parametrize(("channels", "groups"), [(4, 4), (12, 6), (16, 8), (7, 7), (11, 1)])
def test_groups_divide_the_channels(channels, groups):
    x = keras.Input((4, 4, channels))
    layer = blocks.normalise(x, Style(norm="group"), "a")._keras_history.operation
    assert layer.groups == groups


@pytest.mark.parametrize("rank", [2, 3])
@pytest.mark.parametrize(("norm", "axes"), [("instance", (0,)), ("group", (0,))])
def test_instance_and_group_norm_against_the_formula(norm, axes, rank):
    shape = (*SIZES[rank], 16)
    image = keras.Input(shape)
    model = keras.Model(image, blocks.normalise(image, Style(norm=norm), "a"))
    x = random(2, *shape) * 3 + 1
    groups = 16 if norm == "instance" else 8
    grouped = x.reshape(2, -1, groups, 16 // groups).astype("float64")
    mean = grouped.mean((1, 3), keepdims=True)
    variance = grouped.var((1, 3), keepdims=True)
    expected = ((grouped - mean) / np.sqrt(variance + 1e-5)).reshape(x.shape)
    np.testing.assert_allclose(run(model, x), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("norm", ["batch", "instance", "group", "none"])
@pytest.mark.parametrize("net", NETS.values(), ids=NETS)
def test_convolutions_have_a_bias_only_without_a_norm(net, norm):
    model = build(net, norm=norm, deep_supervision=True)
    biased = {
        layer.name: layer.use_bias
        for layer in model.layers
        if hasattr(layer, "use_bias") and not any(word in layer.name for word in ("logits", "attention"))
    }
    assert len(biased) > 8
    # What is added to a shortcut has the bias already.
    assert {bias for name, bias in biased.items() if "shortcut" not in name} == {norm == "none"}
    assert not any(bias for name, bias in biased.items() if "shortcut" in name)


def test_activations_by_hand():
    x = np.array([[[[-2.0], [0.5]]]], "float32")
    expected = {
        "relu": [0, 0.5],
        "leaky_relu": [-0.02, 0.5],
        "prelu": [-0.5, 0.5],
        "elu": [np.exp(-2) - 1, 0.5],
        "silu": [-2 / (1 + np.exp(2)), 0.5 / (1 + np.exp(-0.5))],
        # x times the normal distribution function: Phi(-2) = 0.022750, Phi(0.5) = 0.691462
        "gelu": [-2 * 0.022750, 0.5 * 0.691462],
    }
    image = keras.Input((1, 2, 1))
    for activation, wanted in expected.items():
        model = keras.Model(image, blocks.activate(image, Style(activation=activation), "a"))
        # Keras's gelu may be the tanh approximation, which is 3e-4 off here.
        np.testing.assert_allclose(run(model, x).ravel(), wanted, atol=5e-4 if activation == "gelu" else 1e-6)


@pytest.mark.parametrize("norm", ["batch", "instance"])
@pytest.mark.parametrize("activation", ["relu", "leaky_relu", "prelu", "elu", "gelu", "silu"])
def test_activation_comes_after_the_norm(activation, norm):
    image = keras.Input((4, 4, 6))
    style = Style(norm=norm, activation=activation)
    whole = keras.Model(image, blocks.finish(image, style, "a"))
    parts = keras.Model(image, blocks.activate(blocks.normalise(image, style, "b"), style, "b"))
    x = random(2, 4, 4, 6)
    np.testing.assert_allclose(run(whole, x, training=True), run(parts, x, training=True), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(run(whole, x), run(parts, x), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("rank", [2, 3])
@pytest.mark.parametrize("activation", ["leaky_relu", "prelu", "elu", "gelu", "silu"])
def test_activation_reaches_every_block(activation, rank):
    model = build(unet, rank, activation=activation)
    named = [layer for layer in model.layers if layer.name.endswith(f"_{activation}")]
    assert len(named) == 2 * 5  # two in each of five blocks
    for layer in layers_of(model, layers.PReLU):
        assert layer.alpha.shape == (*(1,) * rank, layer.output.shape[-1])


@pytest.mark.parametrize("rank", [2, 3])
def test_dropout_drops_whole_feature_maps_while_training(rank):
    image = keras.Input((*SIZES[rank], 400))
    model = keras.Model(image, blocks.dropout(image, Style(dropout=0.3), "a"))
    x = np.ones((1, *SIZES[rank], 400), "float32")
    np.testing.assert_array_equal(run(model, x), x)
    dropped = run(model, x, training=True).reshape(-1, 400)
    assert all(len(set(channel)) == 1 for channel in dropped.T)
    # 400 maps, each dropped with probability 0.3: 120 expected, standard deviation 9.2
    assert 90 < (dropped[0] == 0).sum() < 150
    np.testing.assert_allclose(dropped[0][dropped[0] > 0], 1 / 0.7, rtol=1e-6)


@pytest.mark.parametrize("net", NETS.values(), ids=NETS)
def test_dropout_is_in_every_block(net):
    model = build(net, dropout=0.5)
    assert len(layers_of(model, layers.SpatialDropout2D)) == 5
    assert not layers_of(build(net), layers.SpatialDropout2D)
    x = random(1, *SIZES[2], 1)
    assert (run(model, x, training=True) != run(model, x, training=True)).any()
    np.testing.assert_array_equal(run(model, x), run(model, x))


def test_depth_and_width():
    model = unet(TASKS[2], (16, 16), depth=3, width=2)
    assert model.get_layer("encoder2_pool").output.shape == (None, 2, 2, 8)
    assert model.get_layer("bottleneck_2_norm_relu").output.shape == (None, 2, 2, 16)
    assert model.get_layer("decoder0_2_norm_relu").output.shape == (None, 16, 16, 2)


def test_vnet_kernel():
    assert build(vnet, 3).get_layer("bottleneck_0_conv").kernel.shape == (5, 5, 5, 16, 16)
    assert build(vnet, 3, kernel=3).get_layer("bottleneck_0_conv").kernel.shape == (3, 3, 3, 16, 16)


@pytest.mark.parametrize("rank", [2, 3])
def test_gate_weighs_the_skip(rank):
    skip = keras.Input((*SIZES[rank], 4))
    gate = keras.Input((*(side // 2 for side in SIZES[rank]), 8))
    model = keras.Model([skip, gate], attention_gate(skip, gate, "a"))
    x = random(2, *SIZES[rank], 4)
    g = random(2, *(side // 2 for side in SIZES[rank]), 8)
    psi = model.get_layer("a_attention_psi")
    psi.kernel.assign(np.zeros(psi.kernel.shape))
    # sigmoid(0) = 1/2; sigmoid(ln 3) = 3/4
    np.testing.assert_allclose(run(model, [x, g]), x / 2, rtol=1e-6)
    psi.bias.assign(np.log([3.0]))
    np.testing.assert_allclose(run(model, [x, g]), x * 0.75, rtol=1e-6)
    psi.kernel.assign(np.ones(psi.kernel.shape))
    coefficient = run(model, [x, g]) / x
    assert (coefficient > 0).all()
    assert (coefficient < 1.001).all()
    # One coefficient for all channels of a position.
    np.testing.assert_allclose(coefficient, coefficient[..., :1].repeat(4, -1), rtol=1e-3)


def test_residual_block_adds_its_input():
    image = keras.Input((4, 4, 3))
    model = keras.Model(image, blocks.residual_convolution(image, 3, Style(norm="none"), "a"))
    model.get_layer("a_2_conv").kernel.assign(np.zeros((3, 3, 3, 3)))
    x = random(1, 4, 4, 3)
    np.testing.assert_array_equal(run(model, x), np.maximum(x, 0))


@pytest.mark.parametrize("upsampling", ["nearest", "bilinear"])
def test_decoder_shortcut_equals_the_convolution_of_the_joined_features(upsampling):
    low, skip = keras.Input((2, 3, 5)), keras.Input((4, 6, 4))
    style = Style(norm="none", upsampling=upsampling)
    block = keras.Model([low, skip], blocks.up_residual_convolution(low, skip, 4, style, "a"))
    shortcut = keras.Model([low, skip], block.get_layer("a_shortcut").output)
    x, y = random(1, 2, 3, 5), random(1, 4, 6, 4)
    if upsampling == "nearest":
        up = x.repeat(2, 1).repeat(2, 2)
    else:
        up = np.einsum("bhwc,ph,qw->bpqc", x, interpolation_matrix(2, 4), interpolation_matrix(3, 6))
    kernels = [block.get_layer(f"a_shortcut_{part}_conv").kernel for part in ("low", "skip")]
    kernel = np.concatenate([ops.convert_to_numpy(k)[0, 0] for k in kernels])
    np.testing.assert_allclose(run(shortcut, [x, y]), np.concatenate([up, y], -1) @ kernel, rtol=1e-4, atol=1e-5)


# Resampling


def test_linear_upsampling_by_hand():
    # Positions 0..3 of the output read the input at -0.25 (kept at 0), 0.25, 0.75, 1.25 (kept at 1).
    found = run(LinearUpsampling(2), np.array([[[[1.0], [3.0]]]], "float32"))
    np.testing.assert_allclose(found[0, :, :, 0], [[1, 1.5, 2.5, 3]] * 2, rtol=1e-6)
    # A factor of 4: -0.375, -0.125 (kept at 0), 0.125, 0.375, 0.625, 0.875, then kept at 1.
    found = run(LinearUpsampling(4), np.array([[[[0.0], [8.0]]]], "float32"))
    np.testing.assert_allclose(found[0, 0, :, 0], [0, 0, 1, 3, 5, 7, 8, 8], rtol=1e-6)


@pytest.mark.parametrize("factor", [2, 4, 8])
def test_linear_upsampling_equals_image_resizing(factor):
    x = random(2, 3, 5, 4)
    expected = ops.convert_to_numpy(ops.image.resize(x, (3 * factor, 5 * factor), interpolation="bilinear"))
    np.testing.assert_allclose(run(LinearUpsampling(factor), x), expected, rtol=1e-5, atol=1e-6)


def test_linear_upsampling_of_a_volume_is_linear_along_each_axis():
    x = random(2, 3, 4, 5, 2)
    m = [interpolation_matrix(n, 2 * n) for n in (3, 4, 5)]
    expected = np.einsum("bxyzc,ix,jy,kz->bijkc", x, *m)
    np.testing.assert_allclose(run(LinearUpsampling(2), x), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("dtype", ["mixed_float16", "mixed_bfloat16"])
def test_resampling_keeps_half_precision(dtype):
    x = random(1, 4, 4, 2)
    for layer in (LinearUpsampling(2, dtype=dtype), Resampling((2, 3), "average", dtype=dtype)):
        y = layer(x)
        assert keras.backend.standardize_dtype(y.dtype) == dtype.removeprefix("mixed_")
        assert tuple(y.shape) == layer.compute_output_shape(x.shape)


def test_averaging_by_hand():
    # 5 cells to 2: cell 0 touches 0..2.5 = cells 0, 1, 2; cell 1 touches 2.5..5 = cells 2, 3, 4.
    np.testing.assert_allclose(averaging_matrix(5, 2), np.array([[1, 1, 1, 0, 0], [0, 0, 1, 1, 1]]) / 3, rtol=1e-6)
    # 2 cells to 3, as a pyramid does on a tiny grid: 0..0.67, 0.67..1.33, 1.33..2
    np.testing.assert_allclose(averaging_matrix(2, 3), [[1, 0], [0.5, 0.5], [0, 1]], rtol=1e-6)
    np.testing.assert_allclose(averaging_matrix(6, 3), np.eye(3).repeat(2, 1) / 2, rtol=1e-6)


@pytest.mark.parametrize(("old", "new"), itertools.product([1, 2, 3, 6], [1, 2, 5, 7, 16]))
def test_interpolation_of_any_size_equals_image_resizing(old, new):
    if new < old:
        pytest.skip("used to enlarge only")
    x = random(1, old, old, 3)
    expected = ops.convert_to_numpy(ops.image.resize(x, (new, new), interpolation="bilinear"))
    np.testing.assert_allclose(run(Resampling((new, new), "linear"), x), expected, rtol=1e-5, atol=1e-6)


def test_resampling_averages_regions():
    x = random(2, 5, 4, 3)
    found = run(Resampling((2, 2), "average"), x)
    np.testing.assert_allclose(found[:, 0, 0], x[:, :3, :2].mean((1, 2)), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(found[:, 1, 1], x[:, 2:, 2:].mean((1, 2)), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(run(Resampling((1, 1), "average"), x)[:, 0, 0], x.mean((1, 2)), rtol=1e-5, atol=1e-6)
