"""Bundles that can be exported: a small net of a known look, with generated data that it can be scored on."""

from __future__ import annotations

from pathlib import Path

import hydra
import keras
import numpy as np
from omegaconf import OmegaConf

from seglab.config.run_config import load_config
from seglab.data.preprocessing.normalisation import Preprocessing
from seglab.data.splits import split_for
from seglab.inference.bundle import Bundle, save_bundle

ROOT = Path(__file__).parents[2]


def blurring(size: tuple[int, ...], channels: int = 1, sign: float = 1.0, width: int = 2) -> keras.Model:
    """Foreground is whatever is brighter than 0.46 after a mean over 3 pixels an axis; logits span about -9 to 9. It is
    computed `width` times and added up."""
    convolution = getattr(keras.layers, f"Conv{len(size)}D")
    blur, head = convolution(width, 3, padding="same", activation="relu"), convolution(1, 1, name="logits")
    image = keras.Input((*size, channels), name="image")
    model = keras.Model(image, head(blur(image)))
    kernel = np.full(blur.kernel.shape, 1 / np.prod(blur.kernel.shape[:-1]))
    blur.set_weights([kernel, np.zeros(width)])
    head.set_weights([np.full(head.kernel.shape, sign * 20.0 / width), np.array([sign * -9.2])])
    return model


def exportable(folder: Path, rank: int = 2, fit: str = "patch", width: int = 2) -> Path:
    """A bundle in `folder/bundle` with 20 generated cases, of which 14 are for training and 3 for the test."""
    side = 24 if rank == 2 else 16
    words = [f"data=synthetic{rank}d", f"model=unet{'' if rank == 2 else '3d'}", "data.count=20"]
    words += [f"data.image_size=[{','.join(['32'] * rank)}]", f"data.size=[{','.join([str(side)] * rank)}]"]
    words += [f"data.resize_mode={fit}", "model.depth=1", "data.split={train: 0.7, val: 0.15, test: 0.15}"]
    with hydra.initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        config = load_config(hydra.compose("train", overrides=words))
    source = config.data.build()
    split = split_for(source, config.data_config, config.seed)
    bundle = Bundle(
        source.task,
        Preprocessing("scale", 1, 255.0, scale="bytes"),
        (side,) * rank,
        fit,  # type: ignore[arg-type]
        split_digest=split.digest(),
        config=OmegaConf.to_container(OmegaConf.create(config.resolved), resolve=True),  # type: ignore[arg-type]
    )
    return save_bundle(folder / "bundle", blurring((side,) * rank, width=width), bundle)
