"""Attention against its formula, stages that differ by axis, encoder weights from a file, and what is refused early."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import ops

from seglab.config.run_config import load_config
from seglab.config.stages import coarsest
from seglab.config.vocabulary import compose
from seglab.errors import ConfigError
from seglab.models import segformer as segformers
from seglab.models.attention import ScaledAttention
from seglab.models.dynunet import dynunet
from seglab.models.nested_unet import unetplusplus
from seglab.models.segformer import SegFormerSizes, segformer
from seglab.models.segresnet import segresnet
from seglab.models.summary import forward_flops
from seglab.models.swin import SpaceToDepth, WindowAttention
from seglab.models.transformers import swin_unetr, unetr
from seglab.task import Task

TASK = Task(2, 1, ("background", "a"))


@pytest.fixture
def _tiny(monkeypatch):
    monkeypatch.setitem(segformers.VARIANTS, "b0", SegFormerSizes((4, 8, 10, 16), (1, 1, 1, 1), 8))


def by_hand(q: np.ndarray, k: np.ndarray, v: np.ndarray, heads: int) -> np.ndarray:
    """Softmax attention of `(positions, C)`, head by head, in float64."""
    d = q.shape[-1] // heads
    found = []
    for h in range(heads):
        part = slice(h * d, (h + 1) * d)
        scores = q[:, part].astype("float64") @ k[:, part].T.astype("float64") / np.sqrt(d)
        weights = np.exp(scores - scores.max(-1, keepdims=True))
        found.append(weights / weights.sum(-1, keepdims=True) @ v[:, part])
    return np.concatenate(found, -1)


@pytest.mark.parametrize("other", [(2, 3), (4, 6)])
def test_attention_is_its_formula(other):
    rng = np.random.default_rng(0)
    q = rng.normal(size=(2, 4, 6, 12)).astype("float32")
    k, v = (rng.normal(size=(2, *other, 12)).astype("float32") for _ in range(2))
    layer = ScaledAttention(3)
    found = ops.convert_to_numpy(layer([q, k, v]))
    for i in range(2):
        expected = by_hand(q[i].reshape(-1, 12), k[i].reshape(-1, 12), v[i].reshape(-1, 12), 3)
        np.testing.assert_allclose(found[i].reshape(-1, 12), expected, rtol=1e-4, atol=1e-5)
    pairs = 24 * other[0] * other[1]
    assert layer.multiply_adds() == 2 * pairs * 12
    assert layer.inner_bytes() == 4 * 3 * pairs


def test_softmax_is_exact_in_half_precision():
    """Scores of 0 and 12 are 6e-6 apart in weight, which float16 knows of the softmax alone if that is float32."""
    layer = ScaledAttention(1, dtype="mixed_bfloat16")
    q, k = np.full((1, 1, 1, 1), 12.0, "float32"), np.array([0.0, 1.0], "float32").reshape(1, 1, 2, 1)
    found = ops.convert_to_numpy(ops.cast(layer([q, k, np.array([1.0, 0.0]).reshape(1, 1, 2, 1)]), "float32"))
    assert found.item() == pytest.approx(np.exp(-12.0), rel=0.02)


def regions_by_hand(side: int, window: int, shift: int) -> np.ndarray:
    """For each pair of positions of one axis, whether they share a window and did not meet around the edge."""
    filled = -(-side // window) * window
    where = np.arange(side)
    of_window = (where - shift) % filled // window
    wrapped = where < shift  # these come last, in the window that goes around
    return (of_window[:, None] == of_window[None]) & (wrapped[:, None] == wrapped[None])


@pytest.mark.parametrize(
    ("grid", "window", "shifted"),
    [((6, 6), 3, False), ((6, 9), 3, True), ((7, 5), 3, True), ((2, 8), 4, True), ((5, 7), 4, False),
     ((4, 3, 5), 2, True)],
)  # fmt: skip
def test_windows_see_what_they_may(grid, window, shifted):
    """Against dense attention over the whole grid, with a mask and offsets looked up pair by pair."""
    rng = np.random.default_rng(0)
    heads, d, rank = 2, 3, len(grid)
    q, k, v = (rng.normal(size=(2, *grid, heads * d)).astype("float32") for _ in range(3))
    layer = WindowAttention(heads, window, shifted)
    layer.build([q.shape] * 3)
    table = rng.normal(size=layer.offsets.shape).astype("float32")
    layer.offsets.assign(table)
    found = ops.convert_to_numpy(layer([q, k, v])).reshape(2, -1, heads * d)

    places = np.stack(np.meshgrid(*map(np.arange, grid), indexing="ij"), -1).reshape(-1, rank)
    allowed = np.ones((len(places), len(places)), bool)
    for axis, side in enumerate(grid):
        own = min(window, side)
        seen = regions_by_hand(side, own, own // 2 if shifted and side > own else 0)
        allowed &= seen[places[:, axis][:, None], places[:, axis][None]]
    rows = np.zeros_like(allowed, int)
    for axis in range(rank):
        apart = places[:, axis][:, None] - places[:, axis][None] + window - 1
        rows = rows * (2 * window - 1) + np.clip(apart, 0, 2 * window - 2)
    for i in range(2):
        for h in range(heads):
            part = slice(h * d, (h + 1) * d)
            flat = [x[i].reshape(-1, heads * d)[:, part].astype("float64") for x in (q, k, v)]
            scores = np.where(allowed, flat[0] @ flat[1].T / np.sqrt(d) + table[rows, h], -np.inf)
            weights = np.exp(scores - scores.max(-1, keepdims=True))
            expected = weights / weights.sum(-1, keepdims=True) @ flat[2]
            np.testing.assert_allclose(found[i][:, part], expected, rtol=1e-3, atol=1e-5)


def test_halving_keeps_every_value():
    x = np.arange(2 * 4 * 6 * 3, dtype="float32").reshape(2, 4, 6, 3)
    found = ops.convert_to_numpy(SpaceToDepth()(x))
    assert found.shape == (2, 2, 3, 12)
    np.testing.assert_array_equal(found[1, 1, 2], x[1, 2:, 4:].ravel())


@pytest.mark.usefixtures("_tiny")
def test_keys_are_coarser_than_queries():
    # At 512 x 1024, stage 1 has 128 x 256 queries; keys 8 times coarser are 16 x 32, and not as many as queries.
    model = segformer(TASK, (512, 1024))
    first = next(x for x in model.get_layer("encoder").layers if isinstance(x, ScaledAttention))
    assert first.inner_bytes() == 4 * (128 * 256) * (16 * 32)
    assert forward_flops(model) > 2 * first.multiply_adds() > 0


OWN = {
    "unetplusplus": (unetplusplus, TASK, (8, 8), {"depth": 2, "width": 2}),
    "segresnet": (segresnet, TASK, (8, 8), {"width": 2, "encoder_blocks": (1, 1)}),
    "unetr": (unetr, TASK, (16, 32), {"width": 2, "hidden": 4, "depth": 4, "heads": 1}),
    "swin_unetr": (swin_unetr, TASK, (32, 64), {"width": 2, "depths": (1,) * 4, "heads": (1,) * 4, "window": 2}),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", OWN)
def test_every_own_encoder_takes_weights_from_a_file(name, tmp_path):
    build, task, size, options = OWN[name]
    donor, path = build(task, size, **options), tmp_path / "encoder.weights.h5"
    donor.get_layer("encoder").save_weights(path)
    model = build(task, size, weights=str(path), freeze_epochs=1, **options)
    for mine, theirs in zip(model.get_layer("encoder").weights, donor.get_layer("encoder").weights, strict=True):
        np.testing.assert_array_equal(ops.convert_to_numpy(mine), ops.convert_to_numpy(theirs))


@pytest.mark.usefixtures("_tiny")
def test_encoder_weights_come_from_a_file(tmp_path):
    keras.utils.set_random_seed(1)
    donor, path = segformer(TASK, (32, 32)), tmp_path / "mit.weights.h5"
    donor.get_layer("encoder").save_weights(path)
    model = segformer(TASK, (64, 32), weights=str(path), freeze_epochs=2)
    for mine, theirs in zip(model.get_layer("encoder").weights, donor.get_layer("encoder").weights, strict=True):
        np.testing.assert_array_equal(ops.convert_to_numpy(mine), ops.convert_to_numpy(theirs))
    model.freeze_encoder(True)
    assert not any(w.path.startswith("stage") for w in model.trainable_variables)
    with pytest.raises(ConfigError, match="do not fit this model") as caught:
        segformer(Task(2, 3, TASK.class_names), (32, 32), weights=str(path))
    assert caught.value.code == "encoder-weights-mismatch"
    path.write_bytes(b"not an HDF5 file")
    with pytest.raises(ConfigError, match="do not fit this model"):
        segformer(TASK, (32, 32), weights=str(path))


ANISOTROPIC = {
    "widths": (4, 6, 8),
    "strides": (1, (1, 2, 2), 2),
    "kernels": ((1, 3, 3), 3, 3),
    "encoder_blocks": (1, 1, 1),
}


@pytest.mark.parametrize("block", ["plain", "residual"])
def test_stages_may_differ_by_axis(block):
    task = Task(3, 1, TASK.class_names)
    model = dynunet(task, (6, 8, 12), block=block, **ANISOTROPIC)
    assert [shape[1:-1] for shape in model.output_shape] == [(6, 8, 12), (6, 4, 6)]
    assert model.get_layer("decoder0_up_conv").kernel.shape[:3] == (1, 2, 2)
    assert model.get_layer("decoder0_0_conv").kernel.shape[:3] == (1, 3, 3)
    found = model(np.random.default_rng(0).normal(size=(1, 6, 8, 12, 1)).astype("float32"))
    assert all(np.isfinite(ops.convert_to_numpy(x)).all() for x in found)
    with pytest.raises(ConfigError) as caught:
        dynunet(task, (5, 8, 10), block=block, **ANISOTROPIC)
    assert caught.value.expected == "multiples of 2 x 4 x 4 (model.size_multiple)"
    assert "data.size=[6,8,12]" in caught.value.remedy


@pytest.mark.parametrize(
    ("strides", "expected"),
    [([1, 2, 2], 4), ([1], 1), ([[1, 1, 1], [1, 2, 2], 2], [2, 4, 4]), ([[1, 3], 2], [2, 6])],
)
def test_how_coarse_the_last_stage_is(strides, expected):
    assert coarsest(strides) == expected


REFUSED = [
    (["model=dynunet", "model.kernels=[3,3,3]"], ["model.kernels", "3 stages", "6 entries"]),
    (["model=dynunet", "model.kernels=[3,3,3,3,3,4]"], ["without a middle", "4 in stage 5"]),
    (["model=dynunet", "model.strides=[1,[2,2],2,2,2,2]"], ["another number of axes", "[2, 2] in stage 1"]),
    (["model=dynunet", "model.strides=[1,[1,2,2],2,2,2,2]", "data.size=[16,32,48]"], ["data.size=[16,32,64]"]),
    (["model=dynunet", "model.strides=[1,0,2,2,2,2]"], ["model.strides", "greater than 0"]),
    (["model=segresnet", "data.size=[20,24,24]"], ["multiples of 8", "data.size=[24,24,24]"]),
    (["model=unetr", "model.heads=7"], ["do not divide", "7 heads for 768 channels", "6 heads"]),
    (["model=swin_unetr", "model.depths=[2,2,2]"], ["model.depths", "3 stages", "4, at strides"]),
    (["model=swin_unetr", "model.heads=[3,6,12,25]"], ["25 heads for 384 channels in stage 3", "24 heads"]),
    (["model=segformer", "model.variant=b6"], ["model.variant", "b5"]),
    (["model=segformer", "model.weights=imagenet"], ["does not exist", "model.weights=null"]),
    (["model=segformer", "model.freeze_epochs=1"], ["random weights", "model.weights=<file>"]),
    (["model=segformer", "data.size=[48,64]"], ["multiples of 32", "data.size=[64,64]"]),
]


@pytest.mark.parametrize(("words", "message"), REFUSED, ids=[" ".join(row[0])[6:50] for row in REFUSED])
def test_what_cannot_be_built_is_refused_before_tensorflow(words, message):
    rank = 2 if words[0] == "model=segformer" else 3
    size = [] if any(word.startswith("data.size") for word in words) else [f"data.size={[64] * rank}"]
    with pytest.raises(ConfigError) as caught:
        load_config(compose("train", [f"data=synthetic{rank}d", *size, *words]))
    for part in message:
        assert part in str(caught.value), str(caught.value)
