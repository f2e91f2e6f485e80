"""Layers, parameters, FLOPs and memory of a model: seglab model-summary model=unet data.batch_size=8"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from seglab.cli.conf_options import page_of
from seglab.cli.verbs import wants_help

if TYPE_CHECKING:
    from omegaconf import DictConfig


def _summarise(cfg: DictConfig) -> None:
    """Print the summary of the composed config's model for its data, at its precision and batch size.

    Where no data is chosen, it is the built-in one of the model's rank.
    """
    import hydra
    from omegaconf import OmegaConf

    from seglab.command import task_overrides
    from seglab.config.run_config import load_config
    from seglab.data.prompts.prompted_cases import prompted_task

    words, rank = task_overrides(), OmegaConf.select(cfg, "model.rank")
    if rank in (2, 3) and rank != cfg.data.rank and not any(word.startswith("data=") for word in words):
        cfg = hydra.compose("train", overrides=[*words, f"data=synthetic{rank}d"])
    config = load_config(cfg)
    task = config.data.build().task
    if config.model_config.prompted:
        task = prompted_task(task)

    from seglab.experiment.backend import check_backend, load_backend

    check_backend(config.backend)
    load_backend(config.backend, config.trainer.deterministic)
    import keras

    from seglab.models.summary import model_summary
    from seglab.runtime.precision import choose_policy, find_device

    keras.config.set_dtype_policy(choose_policy(config.precision.policy, find_device()).policy)
    model = config.model.build(task, tuple(config.data_config.size))
    print(model_summary(model, config.data_config.batch_size))


def run(words: Sequence[str]) -> None:
    """The verb; its words are read by Hydra."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if wants_help(words):
        print(page_of(__doc__ or ""))
        return
    from seglab.command import command

    command(config_name="train")(_summarise)()
