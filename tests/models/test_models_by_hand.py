"""Architectures whose weights and fields of view were counted by hand or published."""

from __future__ import annotations

import numpy as np
import pytest
from architectures import forward, task, tiny_encoder_and_clean_state

from seglab.errors import ConfigError
from seglab.models.unet import attention_unet, unet
from seglab.models.volumetric import conv3d, vnet

__all__ = ["tiny_encoder_and_clean_state"]


def test_rank_of_size_and_task_must_agree():
    with pytest.raises(ConfigError, match=r"wrong rank(.|\n)*data.size(.|\n)*\[32, 32\](.|\n)*3 numbers"):
        unet(task(3), (32, 32))


def test_classic_unet_has_the_weights_counted_by_hand():
    # 3x3 kernels without bias, in -> out channels, 9 * in * out each:
    #   1->32 288, 32->32 9216, 32->64 18432, 64->64 36864, 64->128 73728, 128->128 147456,
    #   128->256 294912, 256->256 589824                                      encoder and bottleneck: 1170720
    #   (256+128)->128 442368, 128->128 147456, (128+64)->64 110592, 64->64 36864,
    #   (64+32)->32 27648, 32->32 9216                                        decoder: 774144
    # Batch norms have 4 numbers for each channel (2 of them trained):
    #   4 * 2 * (32+64+128 + 256 + 128+64+32) = 5632. The logits: 32 + 1 = 33.
    model = unet(task(2), (128, 128))
    assert model.count_params() == 1170720 + 774144 + 5632 + 33
    assert sum(int(np.prod(w.shape)) for w in model.trainable_variables) == 1170720 + 774144 + 5632 // 2 + 33


def test_attention_unet_adds_its_gates_only():
    # A gate on C channels, gated by 2C: inner C/2. theta 2*2*C*C/2 = 2C^2, phi 2C*C/2 + C/2, psi C/2 + 1.
    # For C = 32, 64, 128: 3C^2 + C + 1 = 3105, 12353, 49281.
    plain = unet(task(2), (128, 128)).count_params()
    assert attention_unet(task(2), (128, 128)).count_params() == plain + 3105 + 12353 + 49281


def test_vnet_is_as_large_as_published():
    # Kernels 5^3 = 125 * in * out. Stages of the encoder (16, 32, 64, 128 channels; 1, 2, 3, 3 convolutions):
    #   1->16 2000, 2 * 32^2 * 125 = 256000, 3 * 64^2 * 125 = 1536000, 3 * 128^2 * 125 = 6144000   sum 7938000
    # bottleneck 3 * 256^2 * 125 = 24576000; decoder (256, 128, 64, 32 channels; 3, 3, 2, 1 convolutions):
    #   24576000 + 6144000 + 2 * 64^2 * 125 = 1024000 + 32^2 * 125 = 128000                          sum 31872000
    # Halving 8 * C * 2C for C = 16..128: 16 * (256 + 1024 + 4096 + 16384) = 348160
    # Doubling 8 * in * out: 256->128, 256->64, 128->32, 64->16: 262144 + 131072 + 32768 + 8192 = 434176
    # First shortcut 1 * 16, logits 32 + 1. Without normalisation each of these has a bias and a slope per channel
    # (but the shortcut, which is only added):
    #   encoder 16 + 2*32 + 3*64 + 3*128 = 656, bottleneck 768, decoder 768 + 384 + 128 + 32 = 1312,
    #   halving 32 + 64 + 128 + 256 = 480, doubling 128 + 64 + 32 + 16 = 240                        sum 3456
    model = vnet(task(3), (16, 16, 16), norm="none")
    kernels = 7938000 + 24576000 + 31872000 + 348160 + 434176
    assert model.count_params() == kernels + 16 + 33 + 2 * 3456


def test_conv3d_sees_as_far_as_it_says():
    # Depth 2: dilations 1 and 2, 2^3 - 1 = 7 voxels along each axis, 3 to each side.
    model = conv3d(task(3), (11, 11, 11), depth=2, width=2, norm="none", activation="elu")
    for weight in model.trainable_variables:
        weight.assign(np.full(weight.shape, 0.1))
    x = np.zeros((1, 11, 11, 11, 1), "float32")
    quiet = forward(model, x)
    x[0, 5, 5, 5] = 1
    seen = np.argwhere(forward(model, x)[0, ..., 0] != quiet[0, ..., 0])
    assert seen.min(0).tolist() == [2, 2, 2]
    assert seen.max(0).tolist() == [8, 8, 8]
