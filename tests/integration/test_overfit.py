"""Can each variant learn four cases by heart? One that cannot do this cannot learn at all."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest
from omegaconf import OmegaConf

from seglab.config.run_config import load_config
from seglab.metrics.keras_scores import SegmentationScores
from seglab.task import Task

CONF = Path(__file__).parents[2] / "conf"
# Promptable ones are a U-Net whose samples are made otherwise: they have a test of their own, beside their run.
MODELS = sorted(path.stem for path in (CONF / "model").glob("*.yaml") if not OmegaConf.load(path).get("prompted"))
LOSSES = sorted(path.stem for path in (CONF / "loss").glob("*.yaml"))
PRECISIONS = ["float32", "mixed_bfloat16", "mixed_float16"]
# Learning by heart takes these longer: they are among the slow ones alone.
LATER = {
    *("unetplusplus", "linknet", "fpn", "upernet", "segformer", "segresnet", "segresnet2d"),
    *("dynunet", "dynunet2d", "unetr", "swin_unetr"),
}
_STAGES = ("widths=[8,16,32]", "strides=[1,2,2]", "kernels=[3,3,3]", "encoder_blocks=[1,1,1]", "decoder_blocks=1")
# Settings beside those of `compose` that make a small one.
FEW = {
    "dynunet": (*_STAGES, "deep_supervision=false"),
    "dynunet2d": (*_STAGES, "deep_supervision=true"),
    "segresnet": ("encoder_blocks=[1,1,1]",),
    "segresnet2d": ("encoder_blocks=[1,1,1]",),
    "segformer": ("drop_path=0.0",),
    "unetr": ("hidden=48", "heads=4", "depth=4"),
    "swin_unetr": ("width=12", "depths=[2,1,1,1]", "heads=[1,2,2,2]", "window=4"),
}
# PSPNet and those after it decide at an eighth or a quarter of the size; Swin UNETR needs 32 voxels.
SIDES = {"pspnet": 64, "fpn": 64, "upernet": 64, "segformer": 64, "swin_unetr": 32}
# Every other architecture, every loss and every precision at least once; those behind the first ones are slow.
TABLE = [
    ("unet", "dice", "float32"),
    ("unet_mini", "cross_entropy", "mixed_bfloat16"),
    ("unet_mini", "tversky", "float32"),
    ("unet3d", "generalized_dice", "mixed_bfloat16"),
    ("attention_unet", "focal_tversky", "float32"),
    ("deeplabv3plus", "total", "float32"),
    ("conv3d", "combined", "float32"),
    ("unet3d_res", "balanced_cross_entropy", "float32"),
    ("unet", "lovasz", "mixed_float16"),
    ("vnet", "jaccard", "float32"),
    ("unet_encoder", "focal", "float32"),
    ("pspnet", "focal", "float32"),
    ("unet_mini", "keras_loss", "float32"),
]
STEPS = 300


def four_cases(size: tuple[int, ...], seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Bright boxes on noise: images `(4, *size, 1)`, masks `(4, *size)`."""
    rng = np.random.default_rng(seed)
    masks = np.zeros((4, *size), np.int32)
    for mask in masks:
        start = [int(rng.integers(1, side // 3)) for side in size]
        mask[tuple(slice(s, s + side // 2) for s, side in zip(start, size, strict=True))] = 1
    images = masks[..., None] * 1.0 + 0.3 * rng.standard_normal((*masks.shape, 1))
    return images.astype(np.float32), masks


def compose(model: str, loss: str):
    import hydra

    card = OmegaConf.load(CONF / "model" / f"{model}.yaml")
    overrides = [f"model={model}", f"loss={loss}", f"data=synthetic{card.rank}d"]
    small = {"width": 8, "depth": 2, "encoder": "mobilenetv3", "weights": "null", "kernel": 3, "dropout": 0.0}
    overrides += [
        f"model.{key}={value}" for key, value in small.items() if key in card or (key == "weights" and key in card)
    ]
    overrides += [f"model.{word}" for word in FEW.get(model, ())]
    side = SIDES.get(model, 32 if card.rank == 2 else 16)
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        return hydra.compose("train", overrides=[*overrides, f"data.size={[side] * card.rank}"])


def overfits(model: str, loss: str, policy: str, settle: int = 0) -> float:
    """The best Dice on the four cases within `STEPS` steps; with `settle`, that in inference so many steps later."""
    config = load_config(compose(model, loss))
    keras.utils.set_random_seed(0)
    keras.config.set_dtype_policy(policy)
    try:
        size = tuple(config.data_config.size)
        x, y = four_cases(size)
        share = float((y == 1).mean())
        task = Task(len(size), 1, ("background", "object")).with_frequencies((1 - share, share))
        network = config.model.build(task, size)
        optimizer: keras.optimizers.Optimizer = keras.optimizers.Adam(0.01)
        if policy == "mixed_float16":
            optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
        network.compile(optimizer, config.loss.build(task), metrics=[SegmentationScores(task)], jit_compile=False)
        optimizer.build(network.trainable_variables)  # variables that the first step made would trace it twice
        best = 0.0
        for _ in range(STEPS):
            logs = network.train_on_batch(x, y, return_dict=True)
            network.reset_metrics()
            best = max(best, float(logs["dice"]))
            if best > 0.95:
                break
        for _ in range(settle):
            network.train_on_batch(x, y)
        return float(network.evaluate(x, y, verbose=0, return_dict=True)["dice"]) if settle else best
    finally:
        keras.config.set_dtype_policy("float32")
        keras.backend.clear_session()  # hundreds of networks in one process


@pytest.mark.parametrize(
    ("model", "loss", "policy"), [*TABLE[:4], *(pytest.param(*row, marks=pytest.mark.slow) for row in TABLE[4:])]
)
def test_a_variant_learns_four_cases_by_heart(model: str, loss: str, policy: str) -> None:
    assert overfits(model, loss, policy) > 0.95


def test_the_small_table_leaves_nothing_out() -> None:
    models, losses, policies = (set(names) for names in zip(*TABLE, strict=True))
    assert (models, losses, policies) == (set(MODELS) - LATER, set(LOSSES), set(PRECISIONS))
    assert set(MODELS) > LATER


@pytest.mark.parametrize(("model", "loss"), [("unet_mini", "dice"), ("conv3d", "combined")])
def test_what_was_learnt_by_heart_is_known_in_inference(model: str, loss: str) -> None:
    # By then the moving statistics of the norms, of momentum 0.9, are those of the data.
    assert overfits(model, loss, "float32", settle=60) > 0.95


@pytest.mark.slow
@pytest.mark.parametrize("model", sorted(LATER))
def test_a_larger_one_learns_four_cases_by_heart(model: str) -> None:
    assert overfits(model, "combined", "float32") > 0.95


@pytest.mark.slow
@pytest.mark.parametrize("policy", PRECISIONS)
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("model", MODELS)
def test_every_variant_learns_four_cases_by_heart(model: str, loss: str, policy: str) -> None:
    assert overfits(model, loss, policy) > 0.95
