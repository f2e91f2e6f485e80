"""Weights of the architectures against the counts that were published, each by a formula of its own."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers

from seglab.models import encoders
from seglab.models.dynunet import dynunet
from seglab.models.linknet import linknet
from seglab.models.nested_unet import unetplusplus
from seglab.models.pyramid import fpn, upernet
from seglab.models.segformer import VARIANTS, segformer
from seglab.models.segresnet import segresnet
from seglab.models.summary import leaf_layers
from seglab.models.transformers import swin_unetr, unetr
from seglab.task import Task

RGB = Task(2, 3, ("background", "a"))
GREY = Task(2, 1, ("background", "a"))
ADE20K = Task(2, 3, tuple(f"class {i}" for i in range(150)))
# Of torchvision, without their last layer. keras.applications' ResNet-50 has a bias beside each of its kernels.
RESNET18, RESNET50, BIASES_OF_RESNET50, CONVNEXT_TINY = 11_176_512, 23_508_032, 26_560, 27_818_592


def trained(model: keras.Model) -> int:
    return sum(int(np.prod(weight.shape)) for weight in model.trainable_variables)


def stub(*channels: int) -> encoders.Encoder:
    """An encoder that has nothing to train, and features of as many channels as a published one has."""

    def build(include_top: bool, weights: str | None, input_shape: tuple) -> keras.Model:
        x = image = keras.Input(input_shape)
        for stage, count in enumerate(channels, start=1):
            x = layers.AveragePooling2D(2, name=f"pool{stage}")(x)
            x = layers.Conv2D(count, 1, use_bias=False, trainable=False, name=f"stage{stage}")(x)
        return keras.Model(image, x)

    return encoders.Encoder(build, "symmetric", {2**i: f"stage{i}" for i in range(1, len(channels) + 1)}, {})


def two(kernel: int, fan_in: int, filters: int) -> int:
    """Two convolutions with biases."""
    return kernel * filters * (fan_in + filters) + 2 * filters


def test_unetplusplus_is_as_large_as_published():
    # Zhou et al. 2018, table 2: 9.04 million. Node (i, j) sees j + 1 times the 32 * 2^i channels of its level, one of
    # which a 2-wide transposed convolution makes of the level below.
    width = [32 * 2**i for i in range(5)]
    expected = sum(two(9, fan_in, c) for fan_in, c in zip([3, *width[:-1]], width, strict=True)) + 32 + 1
    for i in range(4):
        for j in range(1, 5 - i):
            expected += 4 * width[i + 1] * width[i] + width[i] + two(9, (j + 1) * width[i], width[i])
    assert expected == 9_042_177
    assert unetplusplus(RGB, (32, 32), norm="none").count_params() == expected


def test_linknet_is_as_large_as_published(monkeypatch):
    # Chaurasia and Culurciello 2017, section 3: 11.5 million with ResNet-18. A block from m to n channels:
    # m * m/4 + 9 * (m/4)^2 + m/4 * n, and 2 numbers a channel of three batch norms.
    monkeypatch.setitem(encoders.ENCODERS, "resnet50", stub(64, 64, 128, 256, 512))
    blocks = [(512, 256), (256, 128), (128, 64), (64, 64)]
    decoder = sum(m * m // 4 + 9 * (m // 4) ** 2 + m // 4 * n + 2 * (m // 4 + m // 4 + n) for m, n in blocks)
    end = 9 * 64 * 32 + 9 * 32 * 32 + 2 * 2 * 32 + 32 + 1
    assert trained(linknet(RGB, (32, 32), weights=None)) == decoder + end
    assert round((RESNET18 + decoder + end) / 1e6, 1) == 11.5


def test_fpn_is_as_large_as_published(monkeypatch):
    # Wang et al. 2021 (https://arxiv.org/abs/2102.12122), table 5: semantic FPN with ResNet-50 for the 150 classes of
    # ADE20K has 28.5 million. Laterals, four 3-wide convolutions, 1 + 1 + 2 + 3 of the head with a batch norm each.
    monkeypatch.setitem(encoders.ENCODERS, "resnet50", stub(64, 256, 512, 1024, 2048))
    pyramid = (256 + 512 + 1024 + 2048) * 256 + 4 * 256 + 4 * (9 * 256 * 256 + 256)
    head = 4 * 9 * 256 * 128 + 3 * 9 * 128 * 128 + 7 * 2 * 128 + 128 * 150 + 150
    assert trained(fpn(ADE20K, (32, 32), weights=None)) == pyramid + head
    assert round((RESNET50 + pyramid + head) / 1e6, 1) == 28.5


def mix_transformer(widths: tuple[int, ...], depths: tuple[int, ...]) -> int:
    """Xie et al. 2021, section 3.1: patches of 7 x 7 and 3 x 3; queries, keys, values and their joining with biases;
    keys and values made coarser by a strided kernel; two linear maps to and from 4 C with a depthwise 3 x 3 between."""
    total, before = 0, 3
    for c, depth, kernel, reduction in zip(widths, depths, (49, 9, 9, 9), (8, 4, 2, 1), strict=True):
        total += kernel * before * c + c + 2 * c
        coarser = reduction**2 * c * c + c + 2 * c if reduction > 1 else 0
        block = 4 * (c * c + c) + coarser + (c * 4 * c + 4 * c) + (9 * 4 * c + 4 * c) + (4 * c * c + c) + 2 * 2 * c
        total += depth * block + 2 * c
        before = c
    return total


# Xie et al. 2021, table 1: encoder and head in millions, with the 150 classes of ADE20K.
SEGFORMERS = {"b0": 3.8, "b1": 13.7, "b2": 27.5, "b3": 47.3, "b4": 64.1, "b5": 84.7}


@pytest.mark.parametrize("name", ["b0", *(pytest.param(f"b{i}", marks=pytest.mark.slow) for i in range(1, 6))])
def test_segformer_is_as_large_as_published(name):
    sizes = VARIANTS[name]
    # Four linear maps, the 1-wide convolution of all, its batch norm, the logits.
    head = sum(c * sizes.head + sizes.head for c in sizes.widths) + 4 * sizes.head**2 + 2 * sizes.head
    expected = mix_transformer(sizes.widths, sizes.depths) + head + sizes.head * 150 + 150
    assert round(expected / 1e6, 1) == SEGFORMERS[name]
    assert trained(segformer(ADE20K, (32, 32), variant=name)) == expected


@pytest.mark.parametrize(("width", "channels", "classes", "published"), [(8, 1, 14, 1.18), (16, 4, 3, 4.70)])
def test_segresnet_is_as_large_as_published(width, channels, classes, published):
    # 1.18 million: Lee et al. 2023 (https://arxiv.org/abs/2209.15076), table 1; 4.7: MONAI's BraTS bundle, counted.
    # A block has two kernels of 27 C^2 and two norms of 2 C; strided kernels lead down, 1-wide ones up.
    c = [width * 2**i for i in range(4)]
    expected = 27 * channels * width + sum(27 * c[i] * c[i + 1] + c[i] * c[i + 1] for i in range(3))
    expected += sum(count * (2 * 27 * n * n + 2 * 2 * n) for count, n in zip((2, 3, 3, 4), c, strict=True))
    expected += 2 * width + width * classes + classes
    assert round(expected / 1e6, 2) == published
    task = Task(3, channels, tuple(f"class {i}" for i in range(classes)))
    model = segresnet(task, (8, 8, 8), width=width, upsampling="nearest")
    assert trained(model) == expected


NNUNET = (32, 64, 128, 256, 320, 320)


def of_dynunet(widths: tuple[int, ...], encoder: int, convolutions: int) -> int:
    """Kernels, norms and biases of nnU-Net's network in 3D with one channel: the encoder's, then transposed ones,
    convolutions of the joined features and logits of two classes at each finer stage."""
    total = encoder
    for coarse, c in zip(widths[:0:-1], widths[-2::-1], strict=True):
        joined = 27 * 2 * c * c + (convolutions - 1) * 27 * c * c + convolutions * 3 * c
        total += 8 * coarse * c + c + joined + 2 * c + 2
    return total


def as_counted(model: keras.Model) -> int:
    """With what nnU-Net has besides: a bias before each norm of a 3-wide convolution, which the norm takes out again,
    and a second class's logit at each stage."""
    norms = [x for x in leaf_layers(model) if isinstance(x, layers.GroupNormalization) and "shortcut" not in x.name]
    heads = [x for x in leaf_layers(model) if x.name.startswith("logits")]
    return trained(model) + sum(x.gamma.shape[0] for x in norms) + sum(x.count_params() for x in heads)


def test_dynunet_is_as_large_as_published():
    # Lee et al. 2023, table 1: nnU-Net has 31.2 million.
    pairs = zip((1, *NNUNET[:-1]), NNUNET, strict=True)
    encoder = sum(27 * c * (fan_in + c) + 2 * 3 * c for fan_in, c in pairs)
    expected = of_dynunet(NNUNET, encoder, 2)
    assert round(expected / 1e6, 1) == 31.2
    assert as_counted(dynunet(Task(3, 1, ("background", "a")), (32, 32, 32))) == expected


def test_upernet_is_as_large_as_published(monkeypatch):
    # Liu et al. 2022 (https://arxiv.org/abs/2201.03545), table 4: UPerNet with ConvNeXt-T has 60 million, with the
    # auxiliary branch. Of 27.8 million of the encoder; the pooled branches have a bias and no norm here.
    c, w = (96, 192, 384, 768), 512
    monkeypatch.setitem(encoders.ENCODERS, "resnet50", stub(8, *c))
    pooled = 4 * (c[3] * w + w) + 9 * (c[3] + 4 * w) * w + 2 * w
    levels = sum(n * w + 2 * w for n in c[:3]) + 3 * (9 * w * w + 2 * w) + 9 * 4 * w * w + 2 * w
    auxiliary = 9 * c[2] * 256 + 2 * 256 + 256 * 150 + 150
    model = upernet(ADE20K, (32, 32), weights=None, width=w, deep_supervision=True)
    assert trained(model) == pooled + levels + w * 150 + 150 + auxiliary
    assert round((CONVNEXT_TINY + trained(model)) / 1e6) == 60


def residual(fan_in: int, filters: int) -> int:
    """Two 3-wide kernels in 3D, and a 1-wide one where the channels differ."""
    return 27 * filters * (fan_in + filters) + (fan_in * filters if fan_in != filters else 0)


def without_norms(model: keras.Model) -> int:
    """MONAI's instance norms have no weights; those here have two for each channel."""
    return trained(model) - sum(
        x.count_params() for x in leaf_layers(model) if isinstance(x, layers.GroupNormalization)
    )


def unetr_weights(width: int, h: int, depth: int, patches: int, classes: int) -> int:
    block = 4 * h * h + h + 2 * 4 * h * h + 5 * h + 2 * 2 * h  # no bias of queries, keys and values
    total = 16**3 * h + h + patches * h + depth * block + 2 * h + residual(1, width)
    for level in (1, 2, 3):
        c = width * 2**level
        total += 8 * h * c + (3 - level) * (8 * c * c + residual(c, c))
    for below, c in zip((h, 8 * width, 4 * width, 2 * width), (8 * width, 4 * width, 2 * width, width), strict=True):
        total += 8 * below * c + residual(2 * c, c)
    return total + width * classes + classes


def swin_unetr_weights(w: int, depths: tuple[int, ...], heads: tuple[int, ...], window: int, classes: int) -> int:
    total = 8 * w + w
    for stage, (depth, shared) in enumerate(zip(depths, heads, strict=True)):
        c = w * 2**stage
        total += depth * (12 * c * c + 13 * c + (2 * window - 1) ** 3 * shared)
        total += 2 * 8 * c + 8 * c * 2 * c
    total += residual(1, w) + sum(residual(c, c) for c in (w, 2 * w, 4 * w, 16 * w))
    for below, c in zip((16 * w, 8 * w, 4 * w, 2 * w, w), (8 * w, 4 * w, 2 * w, w, w), strict=True):
        total += 8 * below * c + residual(2 * c, c)
    return total + w * classes + classes


ABDOMEN = Task(3, 1, tuple(f"class {i}" for i in range(14)))


def test_unetr_is_as_large_as_published():
    # Lee et al. 2023, table 1: 92.8 million, at 96 voxels a side and with 14 classes.
    assert round(unetr_weights(16, 768, 12, 6**3, 14) / 1e6, 1) == 92.8
    small = unetr(ABDOMEN, (32, 32, 48), width=4, hidden=12, depth=4, heads=3)
    assert without_norms(small) == unetr_weights(4, 12, 4, 2 * 2 * 3, 14)


def test_swin_unetr_is_as_large_as_published():
    # Lee et al. 2023, table 1: 62.2 million with 48 features and 14 classes.
    assert round(swin_unetr_weights(48, (2, 2, 2, 2), (3, 6, 12, 24), 7, 14) / 1e6, 2) == 62.19
    small = swin_unetr(ABDOMEN, (32, 32, 32), width=6, depths=(1, 2, 1, 1), heads=(3, 2, 1, 1), window=3)
    assert without_norms(small) == swin_unetr_weights(6, (1, 2, 1, 1), (3, 2, 1, 1), 3, 14)


@pytest.mark.slow
def test_both_are_so_at_their_full_size():
    assert without_norms(unetr(ABDOMEN, (96, 96, 96))) == 92_784_046
    assert without_norms(swin_unetr(ABDOMEN, (96, 96, 96))) == 62_187_296


@pytest.mark.slow
def test_residual_dynunet_is_as_large_as_its_formula_says():
    # nnU-Net's ResEnc L (https://arxiv.org/abs/2404.09556) with 1, 3, 4, 6, 6, 6 blocks: 102.35 million by this count.
    blocks, encoder, fan_in = (1, 3, 4, 6, 6, 6), 27 * 32 + 3 * 32, 32
    for c, count in zip(NNUNET, blocks, strict=True):
        encoder += 27 * fan_in * c + (2 * count - 1) * 27 * c * c + 2 * count * 3 * c
        encoder += fan_in * c + 2 * c if fan_in != c else 0
        fan_in = c
    expected = of_dynunet(NNUNET, encoder, 1)
    task = Task(3, 1, ("background", "a"))
    model = dynunet(task, (32, 32, 32), block="residual", encoder_blocks=blocks, decoder_blocks=1)
    assert as_counted(model) == expected == 102_349_770


@pytest.mark.slow
def test_the_real_encoder_is_as_large_as_it_is_stated_to_be():
    model = encoders.ENCODERS["resnet50"].build(include_top=False, weights=None, input_shape=(None, None, 3))
    assert trained(model) == RESNET50 + BIASES_OF_RESNET50
