"""Golden losses: 20 seeded steps in 2D and 3D. A refactor that changes them must say so.

Measured in float32 on one x86-64 machine; another CPU sums in another order, hence the tolerance.
"""

from __future__ import annotations

from pathlib import Path

import hydra
import keras
import numpy as np
import pytest

from seglab.config import load_config
from seglab.data.batches import Batches
from seglab.data.material import gather

CONF = Path(__file__).parents[2] / "conf"
COMMON = ["model.depth=2", "model.width=4", "data.count=10", "data.batch_size=2", "augment=light", "loss=combined"]
TWO_D = ["data=synthetic2d", "model=unet", "data.size=[32,32]"]
THREE_D = ["data=synthetic3d", "model=unet3d", "data.size=[16,16,16]"]
# Losses of the steps 1, 2, 5, 10 and 20.
GOLDEN = {
    "2D": [1.826636, 1.868765, 1.774476, 1.738193, 1.816456],
    "3D": [1.813945, 1.841529, 1.761396, 1.708487, 1.683948],
}


def losses(overrides: list[str]) -> list[float]:
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        config = load_config(hydra.compose("train", overrides=[*overrides, *COMMON]))
    keras.config.set_dtype_policy("float32")
    keras.utils.set_random_seed(config.seed)
    material = gather(config)
    model = config.model.build(material.task, tuple(config.data_card.size))
    batches = Batches(
        material, "train", config.data_card, seed=config.seed, augmentation=config.augment.build(material.task)
    )
    optimizer = config.optimizer.build(config.schedule.build(config.learning_rate, 4, len(batches)))
    model.compile(optimizer, config.loss.build(material.task), jit_compile=False)
    found = []
    for step in range(20):
        batches.epoch = step // len(batches)
        found.append(float(model.train_on_batch(*batches[step % len(batches)])))
        model.reset_metrics()
    return found


@pytest.mark.parametrize(("rank", "overrides"), [("2D", TWO_D), ("3D", THREE_D)])
def test_twenty_seeded_steps_have_the_golden_losses(rank: str, overrides: list[str]) -> None:
    found = losses(overrides)
    np.testing.assert_allclose([found[i] for i in (0, 1, 4, 9, 19)], GOLDEN[rank], rtol=2e-3)
