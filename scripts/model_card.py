"""Layers, parameters, FLOPs and memory of a model: python scripts/model_card.py model=unet data.batch_size=8"""

from __future__ import annotations

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from omegaconf import DictConfig

from seglab.command import command


@command(config_name="train", about=__doc__)
def main(cfg: DictConfig) -> None:
    """Print the card of the composed config's model for its data, at its precision and batch size."""
    from seglab.config import load_config

    config = load_config(cfg)
    task = config.data.build().task

    import keras

    from seglab.models.card import model_card
    from seglab.precision import choose_policy, find_device

    keras.config.set_dtype_policy(choose_policy(config.precision.policy, find_device()).policy)
    model = config.model.build(task, tuple(config.data_card.size))
    print(model_card(model, config.data_card.batch_size))


if __name__ == "__main__":
    main()
