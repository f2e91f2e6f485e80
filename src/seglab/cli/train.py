"""`seglab train`: one run, or with -m a sweep of them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from seglab.cli.verbs import wants_help

if TYPE_CHECKING:
    from omegaconf import DictConfig


def run(words: Sequence[str]) -> None:
    """Train as the words say; they are read by Hydra."""
    if wants_help(words):
        from seglab.cli.conf_options import train_page

        print(train_page())
        return
    from seglab.command import command
    from seglab.extras import check_extras
    from seglab.runtime.process_end import ending_together
    from seglab.runtime.process_group import PROCESSES, own_group

    group = own_group()
    if not group.alone:
        check_extras(("jax",), f"{PROCESSES}={group.count}")
    with ending_together(group):
        command(config_name="train")(_train)()


def _train(cfg: DictConfig) -> float:
    """Run one configuration and return its objective: the best value of trainer.monitor."""
    from seglab.command import sweep_tags, task_overrides
    from seglab.experiment.run import run as train
    from seglab.runtime.process_group import own_group
    from seglab.runtime.process_meeting import decline

    tags, group = sweep_tags(), own_group()
    if tags and "SLURM_RESTART_COUNT" in os.environ and group.first:
        from seglab.sweeping.restart import own_earlier_run

        earlier = own_earlier_run(cfg, tags)
        if earlier.finished:
            if not group.alone:
                decline(group)
            return earlier.objective
        cfg.resume = earlier.resume
    return train(cfg, task_overrides(), tags)
