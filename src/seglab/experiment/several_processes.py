"""A run of several processes: the first one leads and records it, the others take the same steps and write nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

from seglab.config.run_config import Config, load_config
from seglab.errors import ConfigError, DataError
from seglab.experiment.backend import check_backend, load_backend
from seglab.experiment.run_parts import assemble, make_augmentation
from seglab.runtime.process_group import ProcessGroup, join, leave, publish, receive
from seglab.runtime.several_devices import check_devices
from seglab.runtime.terminal import tell

if TYPE_CHECKING:
    from seglab.data.loading.training_data import TrainingData

_CONFIG, _DATA = "config", "data"


def check_together(config: Config, group: ProcessGroup) -> None:
    """Refuse what the processes of a group cannot compute together; imports nothing.

    Raises:
        ConfigError: as `check_backend` and `check_devices`; or batches in parts, which one alone would choose.
    """
    check_backend(config.backend)
    check_devices(config.trainer.devices, config.data_config.batch_size, config.backend, group.count)
    if not group.alone and config.trainer.fit_memory:
        raise ConfigError(
            "settings that exclude each other",
            code="settings-exclude",
            where="trainer.fit_memory=true",
            found=f"{group.count} processes",
            expected="one process, which tries alone what its memory holds",
            remedy="trainer.fit_memory=false: each process holds but its share of a batch",
        )


def lead(config: Config, group: ProcessGroup) -> None:
    """The first process: meet the others and give them the config of the run; they need no store."""
    tell(f"waiting for the other {group.count - 1} processes")
    join(group)
    publish(_CONFIG, {**config.resolved, "tracking": {**config.resolved["tracking"], "uri": None}})


def lead_data(training_data: TrainingData) -> None:
    """The first process: what the others have read is to be this."""
    publish(_DATA, _digests(training_data))


def follow(cfg: DictConfig | Mapping[str, Any], group: ProcessGroup) -> None:
    """Train as the first process does, until its training is over.

    Args:
        cfg: the composed config; what counts is that of the first process, which may have been read from a run.
        group: of this process.

    Raises:
        DataError: other data than the first process has.
        TrainingError: another process has ended, or as the first process's training.
    """
    from seglab.data.loading.training_data import gather

    given = load_config(cfg)
    if not given.resume:
        check_together(given, group)
    join(group)
    config = load_config(receive(_CONFIG))
    check_together(config, group)
    training_data = gather(config)
    if (mine := _digests(training_data)) != (others := receive(_DATA)):
        raise DataError(
            "processes that do not read the same data",
            code="processes-differ",
            where=f"process {group.number} of {group.count}",
            found=", ".join(f"{name} {digest[:16]}…" for name, digest in mine.items()),
            expected=", ".join(f"{name} {digest[:16]}…" for name, digest in others.items()),
            remedy="start all processes in a folder that their machines share, or with the same data in the same place",
        )
    augmentation = make_augmentation(config, training_data.task)
    load_backend(config.backend, config.trainer.deterministic)
    from seglab.metrics.keras_scores import SegmentationScores
    from seglab.training.fit import train

    parts = assemble(config, training_data, augmentation)
    train(
        parts.model,
        parts.loss,
        parts.optimizer,
        [SegmentationScores(training_data.task), *parts.metrics],
        parts.batches["train"],
        parts.batches.get("val"),
        config.trainer,
        None,
        lambda *_: None,
        schedule=parts.schedule,
        stream=None,
    )
    leave()


def _digests(training_data: TrainingData) -> dict[str, str]:
    return {"data": training_data.digest, "split": training_data.split.digest()}
