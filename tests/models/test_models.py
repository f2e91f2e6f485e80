"""Every architecture is one row of a table and passes the same tests."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np
import pytest
from architectures import forward, task, tiny_encoder_and_clean_state
from keras import ops

from seglab.errors import ConfigError
from seglab.models.context import deeplabv3plus, pspnet
from seglab.models.dynunet import dynunet
from seglab.models.encoder_unet import encoder_unet
from seglab.models.linknet import linknet
from seglab.models.nested_unet import unetplusplus
from seglab.models.network import Network
from seglab.models.pyramid import fpn, upernet
from seglab.models.segformer import segformer
from seglab.models.segresnet import segresnet
from seglab.models.summary import estimated_training_bytes, forward_flops, leaf_layers
from seglab.models.transformers import swin_unetr, unetr
from seglab.models.unet import attention_unet, residual_unet, unet
from seglab.models.volumetric import conv3d, vnet

__all__ = ["tiny_encoder_and_clean_state"]


@dataclass(frozen=True)
class Architecture:
    """One row: how to build a small one. `size` has a different side along each axis; `multiple` divides all."""

    build: Callable[..., Network]
    size: tuple[int, ...]
    multiple: int
    options: dict[str, Any] = field(default_factory=dict)
    supervised: tuple[int, ...] = ()  # strides of the outputs with deep supervision, where there is that

    def __call__(self, channels: int = 1, classes: int = 2, size: tuple[int, ...] | None = None, **options: Any):
        what = task(len(self.size), channels, classes)
        return self.build(what, size or self.size, **{**self.options, **options})


SMALL = {"depth": 2, "width": 4}


PRETRAINED = {"encoder": "mobilenetv3", "weights": None, "width": 8}


STAGES = {
    "widths": (4, 6, 8),
    "strides": (1, 2, 2),
    "kernels": (3, 3, 3),
    "encoder_blocks": (1, 2, 1),
    "decoder_blocks": 1,
    "deep_supervision": False,
}


VIT = {"width": 2, "hidden": 8, "depth": 4, "heads": 2}


SWIN = {"width": 4, "depths": (2, 1, 1, 1), "heads": (1, 2, 2, 2), "window": 3}


ARCHITECTURES = {
    "unet": Architecture(unet, (16, 24), 4, SMALL, (1, 2)),
    "unet3d": Architecture(unet, (8, 12, 16), 4, SMALL, (1, 2)),
    "attention_unet": Architecture(attention_unet, (16, 24), 4, SMALL, (1, 2)),
    "attention_unet3d": Architecture(attention_unet, (8, 12, 16), 4, SMALL, (1, 2)),
    "residual_unet": Architecture(residual_unet, (16, 24), 4, SMALL, (1, 2)),
    "residual_unet3d": Architecture(residual_unet, (8, 12, 16), 4, SMALL, (1, 2)),
    "unetplusplus": Architecture(unetplusplus, (16, 24), 4, SMALL, (1, 1)),
    "unetplusplus3d": Architecture(unetplusplus, (8, 12, 16), 4, SMALL, (1, 1)),
    "vnet": Architecture(vnet, (8, 12, 16), 4, SMALL, (1, 2)),
    "conv3d": Architecture(conv3d, (7, 8, 9), 1, {"depth": 3, "width": 4}),
    "encoder_unet": Architecture(encoder_unet, (32, 64), 32, PRETRAINED, (1, 2, 4, 8, 16)),
    "linknet": Architecture(linknet, (32, 64), 32, PRETRAINED, (1, 2, 4, 8, 16)),
    "fpn": Architecture(fpn, (32, 64), 32, {**PRETRAINED, "head_width": 4}, (1, 4, 8, 16, 32)),
    "deeplabv3plus": Architecture(deeplabv3plus, (48, 32), 16, PRETRAINED),
    "pspnet": Architecture(pspnet, (32, 48), 8, PRETRAINED, (1, 8)),
    "segresnet": Architecture(segresnet, (16, 24), 4, {"width": 4, "encoder_blocks": (1, 2, 1)}, (1, 2)),
    "segresnet3d": Architecture(segresnet, (8, 12, 16), 4, {"width": 4, "encoder_blocks": (1, 2, 1)}, (1, 2)),
    "dynunet": Architecture(dynunet, (16, 24), 4, STAGES, (1, 2)),
    "dynunet3d": Architecture(dynunet, (8, 12, 16), 4, {**STAGES, "block": "residual"}, (1, 2)),
    "upernet": Architecture(upernet, (32, 64), 32, PRETRAINED, (1, 16)),
    "unetr": Architecture(unetr, (16, 48), 16, VIT, (1, 2, 4, 8)),
    "unetr3d": Architecture(unetr, (16, 16, 32), 16, VIT, (1, 2, 4, 8)),
    "swin_unetr": Architecture(swin_unetr, (32, 96), 32, SWIN, (1, 2, 4, 8, 16)),
    "swin_unetr3d": Architecture(swin_unetr, (32, 32, 64), 32, SWIN, (1, 2, 4, 8, 16)),
    "segformer": Architecture(segformer, (32, 96), 32, {"variant": "b0", "drop_path": 0.0}),
}


SUPERVISED = [name for name, row in ARCHITECTURES.items() if row.supervised]


POLICIES = {"float32": "float32", "mixed_float16": "float16", "mixed_bfloat16": "bfloat16"}


# The first pass `test_in_one_go` in every run, and all others among the slow ones; those in 2D and 3D in one of them.
LATER = ("unetplusplus", "linknet", "fpn", "upernet", "segformer", "segresnet3d", "dynunet3d", "unetr3d", "swin_unetr")


OTHER_RANK = ("unetplusplus3d", "segresnet", "dynunet", "unetr", "swin_unetr3d")


def _marked(name: str, *values: Any) -> Any:
    return pytest.param(*values, id=name, marks=[pytest.mark.slow] if name in LATER + OTHER_RANK else [])


every_architecture = pytest.mark.parametrize("architecture", [_marked(n, row) for n, row in ARCHITECTURES.items()])


def images(model: keras.Model, batch: int = 2) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(batch, *model.inputs[0].shape[1:])).astype("float32")


@pytest.mark.parametrize("policy", POLICIES)
@every_architecture
def test_logits_are_float32_at_the_input_size(architecture, policy):
    keras.config.set_dtype_policy(policy)
    model = architecture(channels=2, classes=5)
    found = forward(model, images(model))
    assert isinstance(model, Network)
    assert found.shape == (2, *architecture.size, 5)
    assert found.dtype == np.float32
    assert np.isfinite(found).all()
    assert found.std() > 0
    # The policy has reached the convolutions, and has not reached the last one.
    kernels = [layer for layer in leaf_layers(model) if getattr(layer, "kernel", None) is not None]
    assert kernels[0].compute_dtype == POLICIES[policy]
    assert kernels[-1].compute_dtype == "float32"
    assert kernels[-1].name.startswith("logits")


@pytest.mark.parametrize(("channels", "classes", "logit_channels"), [(1, 2, 1), (5, 3, 3)])
@every_architecture
def test_any_number_of_channels_and_classes(architecture, channels, classes, logit_channels):
    model = architecture(channels, classes)
    assert model.inputs[0].shape == (None, *architecture.size, channels)
    assert model.inputs[0].dtype == "float32"
    assert model.output_shape == (None, *architecture.size, logit_channels)


@every_architecture
def test_every_weight_learns(architecture):
    model = architecture(channels=4, classes=3)
    x = images(model, batch=4)
    wanted = np.random.default_rng(1).normal(size=(4, *architecture.size, 3)).astype("float32")
    # With plain gradient descent at rate 1, what a weight moves by is its gradient.
    eager = keras.backend.backend() == "tensorflow"
    model.compile(keras.optimizers.SGD(1.0), loss=keras.losses.MeanSquaredError(), run_eagerly=eager)
    before = [ops.convert_to_numpy(w) for w in model.trainable_variables]
    assert np.isfinite(model.train_on_batch(x, wanted))
    for weight, old in zip(model.trainable_variables, before, strict=True):
        gradient = old - ops.convert_to_numpy(weight)
        assert np.isfinite(gradient).all(), weight.path
        assert np.abs(gradient).max() > 0, weight.path


@every_architecture
def test_saved_and_loaded_it_is_the_same(architecture, tmp_path):
    model = architecture(channels=2, classes=3)
    rng = np.random.default_rng(3)
    for weight in model.variables:
        if "seed" not in weight.path:
            weight.assign(rng.uniform(0.05, 0.2, weight.shape))
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert type(loaded) is Network
    assert [w.path for w in loaded.weights] == [w.path for w in model.weights]
    np.testing.assert_array_equal(forward(loaded, images(model)), forward(model, images(model)))


@pytest.mark.parametrize("name", [*LATER, *(_marked(name, name) for name in OTHER_RANK)])
def test_in_one_go(name, tmp_path):
    """Shape, finite logits, gradients of all weights, a refused size, the same after a load: of one network a row."""
    architecture = ARCHITECTURES[name]
    model = architecture(channels=2, classes=3)
    x = images(model, batch=4)
    model.compile(keras.optimizers.SGD(1.0), loss=keras.losses.MeanSquaredError(), run_eagerly=True)
    before = [ops.convert_to_numpy(w) for w in model.trainable_variables]
    wanted = np.random.default_rng(1).normal(size=(4, *architecture.size, 3)).astype("float32")
    assert np.isfinite(model.train_on_batch(x, wanted))
    still = [w.path for w, old in zip(model.trainable_variables, before, strict=True)
             if not np.abs(ops.convert_to_numpy(w) - old).max() > 0]  # fmt: skip
    assert still == []
    found = forward(model, x)
    assert (found.shape, found.dtype) == ((4, *architecture.size, 3), np.float32)
    assert np.isfinite(found).all()
    assert found.std() > 0
    model.save(tmp_path / "model.keras")
    np.testing.assert_array_equal(forward(keras.saving.load_model(tmp_path / "model.keras"), x), found)
    assert forward_flops(model) > 0
    assert estimated_training_bytes(model, 1) > 4 * 4 * sum(w.numpy().size for w in model.trainable_variables)
    with pytest.raises(ConfigError, match=f"multiples of {architecture.multiple}"):
        architecture(size=(architecture.size[0] + 1, *architecture.size[1:]))


@every_architecture
def test_seed_decides_the_weights(architecture):
    def weights(seed: int) -> list[np.ndarray]:
        keras.utils.set_random_seed(seed)
        return [ops.convert_to_numpy(w) for w in architecture().trainable_variables]

    first, again, other = weights(5), weights(5), weights(6)
    for a, b in zip(first, again, strict=True):
        np.testing.assert_array_equal(a, b)
    drawn = [(a, c) for a, c in zip(first, other, strict=True) if a.std() > 0]
    assert drawn
    assert all((a != c).any() for a, c in drawn)
    shapes = [a.shape for a, _ in drawn]
    alike = [
        shape for shape in set(shapes) if len({a.tobytes() for a, _ in drawn if a.shape == shape}) < shapes.count(shape)
    ]
    assert not alike, "weights that begin as others do"


@every_architecture
def test_odd_sizes_are_refused_with_the_next_valid_one(architecture):
    if architecture.multiple == 1:
        pytest.skip("takes any size")
    first = architecture.size[0]
    wrong = (first + 1, *architecture.size[1:])
    right = [first + architecture.multiple, *architecture.size[1:]]
    with pytest.raises(ConfigError) as caught:
        architecture(size=wrong)
    assert caught.value.where == "data.size"
    assert caught.value.found == list(wrong)
    assert caught.value.expected == f"multiples of {architecture.multiple} (model.size_multiple)"
    assert str(right).replace(" ", "") in caught.value.remedy
    assert architecture(size=tuple(right)).output_shape[1:-1] == tuple(right)


@pytest.mark.parametrize("name", [_marked(name, name) for name in SUPERVISED])
def test_deep_supervision_returns_a_list_finest_first(name, tmp_path):
    architecture = ARCHITECTURES[name]
    model = architecture(classes=3, deep_supervision=True)
    shapes = [shape[1:-1] for shape in model.output_shape]
    expected = [tuple(side // stride for side in architecture.size) for stride in architecture.supervised]
    assert shapes == expected
    assert all(shape[-1] == 3 for shape in model.output_shape)
    assert all(output.dtype == "float32" for output in model.outputs)

    x = images(model)
    all_of_them = forward(model, x)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    for mine, theirs in zip(all_of_them, forward(loaded, x), strict=True):
        np.testing.assert_array_equal(mine, theirs)
