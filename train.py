"""Train a segmentation model: python train.py model=unet loss=dice   (python train.py --help)."""

from __future__ import annotations

from omegaconf import DictConfig

from seglab.command import command, sweep_tags, task_overrides


@command(config_name="train")
def main(cfg: DictConfig) -> float:
    """Run one configuration and return its objective: the best value of trainer.monitor."""
    from seglab.experiment.run import run

    return run(cfg, task_overrides(), sweep_tags())


if __name__ == "__main__":
    main()
