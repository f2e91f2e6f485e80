"""Settings of the training that cannot go together."""

from __future__ import annotations

from seglab.config.sections import TrainerSettings
from seglab.errors import ConfigError


def check_trainer(trainer: TrainerSettings, warmup_epochs: float) -> None:
    """Refuse what a training cannot do.

    Args:
        trainer: the checked section.
        warmup_epochs: of the schedule, 0 without one.

    Raises:
        ConfigError: a warm-up as long as the training; a trial by the clock where a run is to be repeatable; XLA for
            parts of batches.
    """
    if warmup_epochs and warmup_epochs >= trainer.epochs:
        raise ConfigError(
            "a warm-up that never ends",
            code="warm-up-too-long",
            where="schedule.warmup_epochs",
            found=f"{warmup_epochs} of {trainer.epochs} epochs",
            expected=f"fewer than trainer.epochs={trainer.epochs}",
            remedy="shorten the warm-up or train longer",
        )
    if trainer.xla == "auto" and trainer.deterministic:
        raise ConfigError(
            "steps that are compiled as a trial by the clock shows, in a run that is to be repeatable",
            code="settings-exclude",
            where="trainer.xla=auto, trainer.deterministic=true",
            found="a choice that may differ from run to run, and with it the last bits of each step",
            expected="the same steps in each run",
            remedy="trainer.deterministic=false, or say which: trainer.xla=true or trainer.xla=false",
        )
    if trainer.xla is True and trainer.fit_memory:
        raise ConfigError(
            "XLA for batches that may be computed in parts",
            code="settings-exclude",
            where="trainer.xla=true, trainer.fit_memory=true",
            found="parts of a batch, which XLA cannot compile",
            expected="one of the two",
            remedy="trainer.xla=false, or trainer.xla=auto with trainer.deterministic=false: batches may stay whole",
        )
