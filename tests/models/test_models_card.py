"""Operations and memory, counted by hand."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import keras
import pytest
from keras import layers

from seglab.models.network import Network
from seglab.models.summary import (
    estimated_training_bytes,
    forward_flops,
    layer_table,
    model_summary,
)
from seglab.models.unet import unet
from seglab.task import Task

SCRIPT = Path(__file__).parents[2] / "scripts" / "model_card.py"
TASKS = {rank: Task(rank=rank, channels=1, class_names=("background", "a")) for rank in (2, 3)}


def flops_of(layer: keras.layers.Layer, shape: tuple[int, ...]) -> int:
    image = keras.Input(shape)
    return forward_flops(keras.Model(image, layer(image)))


@pytest.mark.parametrize(
    ("layer", "shape", "expected"),
    [
        # Output 8 x 6, kernel 3 * 3, 5 -> 7 channels
        (layers.Conv2D(7, 3, padding="same"), (8, 6, 5), 2 * 48 * 9 * 5 * 7),
        # "valid": output 6 x 4
        (layers.Conv2D(7, 3), (8, 6, 5), 2 * 24 * 9 * 5 * 7),
        # Stride 2: output 4 x 3
        (layers.Conv2D(7, 3, strides=2, padding="same"), (8, 6, 5), 2 * 12 * 9 * 5 * 7),
        # Two groups of 3 of the 6 channels each
        (layers.Conv2D(8, 3, padding="same", groups=2), (4, 4, 6), 2 * 16 * 9 * 3 * 8),
        (layers.DepthwiseConv2D(3, padding="same", depth_multiplier=2), (4, 4, 6), 2 * 16 * 9 * 6 * 2),
        # Each of 4 * 4 input positions is spread over 2 * 2 outputs
        (layers.Conv2DTranspose(3, 2, strides=2), (4, 4, 5), 2 * 16 * 4 * 5 * 3),
        (layers.Conv3D(2, 3, padding="same"), (4, 4, 2, 3), 2 * 32 * 27 * 3 * 2),
        (layers.Conv3DTranspose(2, 2, strides=2), (2, 2, 2, 3), 2 * 8 * 8 * 3 * 2),
        (layers.Dense(4), (10,), 2 * 10 * 4),
        (layers.MaxPooling2D(), (4, 4, 1), 0),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, keras.layers.Layer) else str(value),
)
def test_operations_of_a_layer(layer, shape, expected):
    assert flops_of(layer, shape) == expected


def test_operations_of_the_classic_unet():
    # Each level has as many pixels times products as its first block, but for the input's one channel:
    #   encoder: 16384 * (288 + 9216), 4096 * (18432 + 36864), 1024 * (73728 + 147456), 256 * (294912 + 589824)
    #   decoder: 1024 * (442368 + 147456), 4096 * (110592 + 36864), 16384 * (27648 + 9216); logits 16384 * 32
    encoder = 16384 * 9504 + 4096 * 55296 + 1024 * 221184 + 256 * 884736
    decoder = 1024 * 589824 + 4096 * 147456 + 16384 * 36864
    assert forward_flops(unet(TASKS[2], (128, 128))) == 2 * (encoder + decoder + 16384 * 32)
    # 5.295 GFLOP forward; 15.9 with the backward pass.
    assert 3 * forward_flops(unet(TASKS[2], (128, 128))) / 1e9 == pytest.approx(15.886, abs=1e-3)


def test_nested_models_are_counted():
    inner_image = keras.Input((4, 4, 2))
    inner = keras.Model(inner_image, layers.Conv2D(3, 1)(inner_image))
    image = keras.Input((4, 4, 1))
    x = inner(layers.Conv2D(2, 1)(image))
    model = keras.Model(image, layers.Conv2D(1, 1)(x))
    assert forward_flops(model) == 2 * 16 * (1 * 2 + 2 * 3 + 3 * 1)


def test_memory_estimate_by_hand():
    image = keras.Input((4, 4, 2))
    x = layers.Conv2D(8, 1)(image)
    x = layers.BatchNormalization()(x)
    model = keras.Model(image, x)
    # Weights 2 * 8 + 8 = 24 and 16 of the norm are trained: each with gradient and two slots. 16 moving statistics.
    # Outputs for each image: 16 pixels * (2 + 8 + 8) channels. All in 4 bytes.
    assert estimated_training_bytes(model, 3) == 4 * (4 * 40 + 16 + 3 * 16 * 18)


def test_half_precision_halves_the_activations():
    try:
        keras.config.set_dtype_policy("mixed_bfloat16")
        image = keras.Input((4, 4, 2), dtype="float32")
        model = keras.Model(image, layers.Conv2D(8, 1)(image))
    finally:
        keras.config.set_dtype_policy("float32")
    assert estimated_training_bytes(model, 3) == 4 * 4 * 24 + 3 * 16 * (2 * 4 + 8 * 2)


def test_table_has_a_line_for_each_layer():
    model = unet(TASKS[2], (8, 8), depth=1, width=2)
    lines = layer_table(model).splitlines()
    assert len(lines) == 2 + len(model.layers)
    logits = next(line.split() for line in lines if line.startswith("logits"))
    # 64 pixels * 2 channels * 2 = 256 operations
    assert logits == ["logits", "Conv2D", "8", "x", "8", "x", "1", "3", "0.0"]
    assert len({len(line) for line in lines[1:]}) == 1


@pytest.mark.parametrize("deep_supervision", [False, True])
def test_card(deep_supervision):
    model = unet(TASKS[2], (8, 8), depth=2, width=2, deep_supervision=deep_supervision)
    assert isinstance(model, Network)
    card = model_summary(model, 2)
    facts = dict(line.split(":", 1) for line in card.splitlines() if ":" in line)
    assert facts["model"].strip() == "unet"
    assert facts["input"].split("(")[0].strip() == "8 x 8 x 1"
    assert facts["parameters"].split()[0] == f"{model.count_params():,}"
    assert facts["forward pass"].split()[0] == f"{forward_flops(model) / 1e9:.3f}"
    assert {"memory, estimated", "memory, measured"} <= set(facts)


def test_measured_memory_is_that_of_the_feature_maps():
    # 32 feature maps of 512 x 512 in 4 bytes are 32 MiB. Five layers are kept for the backward pass, and a gradient.
    code = """
import keras
from keras import layers
from seglab.models.summary import measured_training_bytes
x = image = keras.Input((512, 512, 1))
for _ in range(5):
    x = layers.Conv2D(32, 1, activation="tanh")(x)
print(measured_training_bytes(keras.Model(image, layers.Conv2D(1, 1)(x)), 1))
"""
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert 5 * 32 < int(found.stdout) / 2**20 < 40 * 32


def test_an_earlier_peak_does_not_hide_a_later_one():
    # In a process of its own: one that has learnt keeps the memory that it once had, and takes the 64 MiB from there.
    code = """
import numpy as np
from seglab.models.summary import ProcessMemory
np.ones(2**24)  # 128 MiB, freed at once
memory = ProcessMemory()
before = memory.start()
np.ones(2**23)  # 64 MiB
print(memory.peak() - before)
"""
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert 60 * 2**20 < int(found.stdout) < 100 * 2**20


def card_of(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, str(SCRIPT), *words], capture_output=True, text=True, check=False)


def test_the_command_takes_built_in_data_of_the_models_rank():
    done = card_of("model=conv3d", "model.width=2", "data.size=[16,16,16]", "data.batch_size=1")
    assert done.returncode == 0, done.stderr
    facts = dict(line.split(":", 1) for line in done.stdout.splitlines() if ":" in line)
    assert facts["model"].strip() == "conv3d"
    assert facts["input"].strip() == "16 x 16 x 16 x 1"


def test_the_command_leaves_data_that_was_chosen():
    done = card_of("model=conv3d", "data=synthetic2d")
    assert done.returncode == 2
    assert "a 3D model on 2D data" in done.stderr
