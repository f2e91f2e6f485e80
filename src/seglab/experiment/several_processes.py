"""A run of several processes: the first one leads and records it, the others take the same steps and write nothing."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

from seglab.config.run_config import Config, load_config
from seglab.errors import ConfigError, DataError
from seglab.experiment.backend import check_backend, load_backend
from seglab.experiment.record import without_secrets
from seglab.experiment.run_parts import assemble, make_augmentation
from seglab.runtime.process_group import ProcessGroup
from seglab.runtime.process_meeting import join, leave, publish, receive
from seglab.runtime.reproducibility import package_versions
from seglab.runtime.several_devices import check_devices
from seglab.runtime.source_files import PACKAGE
from seglab.runtime.terminal import tell

if TYPE_CHECKING:
    from seglab.data.loading.training_data import TrainingData

_CONFIG, _CODE, _DATA = "config", "code", "data"
# Packages that make batches and compute steps.
_COMPUTING = ("jax", "keras", "numpy", "albumentations", "nibabel", "opencv-python-headless", "scikit-image", "scipy")


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
    """The first process: meet the others and give them the config of the run, without what is secret in it.

    Raises:
        TrainingError: they did not all come, or one has failed.
    """
    tell(f"waiting for the other {group.count - 1} processes")
    join(group)
    publish(_CODE, code_of())
    words = without_secrets(config)
    publish(_CONFIG, {**words, "tracking": {**words["tracking"], "uri": None}})  # they need no store


def lead_data(training_data: TrainingData) -> None:
    """The first process: what the others have read is to be this."""
    publish(_DATA, _digests(training_data))


def code_of() -> dict[str, str]:
    """What all processes must have alike to take the same steps: digest of this package, versions of the others."""
    digest = hashlib.sha256()
    for file in sorted(PACKAGE.rglob("*.py")):
        digest.update(file.relative_to(PACKAGE).as_posix().encode() + b"\0" + file.read_bytes())
    return {"seglab": digest.hexdigest(), **{name: package_versions()[name] for name in _COMPUTING}}


def with_own_secrets(sent: Any, own: Any, own_starred: Any) -> Any:
    """What the first process has sent, with this one's own value wherever its own, with stars, would be the same words.

    Args:
        sent: of the first process, where stars stand in the place of what is secret.
        own: of this process.
        own_starred: the same with stars.
    """
    if isinstance(sent, Mapping) and isinstance(own, Mapping) and isinstance(own_starred, Mapping):
        return {
            key: with_own_secrets(value, own[key], own_starred[key]) if key in own and key in own_starred else value
            for key, value in sent.items()
        }
    return own if sent == own_starred != own else sent


def follow(cfg: DictConfig | Mapping[str, Any], group: ProcessGroup) -> None:
    """Train as the first process does, until its training is over.

    Args:
        cfg: the composed config; what counts is that of the first process, which may have been read from a run.
        group: of this process.

    Raises:
        DataError: other data than the first process has.
        ConfigError: other code than the first process has.
        TrainingError: another process has ended, or as the first process's training.
    """
    from seglab.data.loading.training_data import gather

    given = load_config(cfg)
    if not given.resume:
        check_together(given, group)
    if not join(group):
        tell("the first process has nothing left to do")
        return
    if differ := _differences(code_of(), receive(_CODE)):
        raise ConfigError(
            "processes that do not run the same code",
            code="processes-differ",
            where=f"process {group.number} of {group.count}",
            found=differ[0],
            expected=f"{differ[1]}, as the first process has",
            remedy="start all processes from one installation that their machines share, or with the same installed",
        )
    config = load_config(with_own_secrets(receive(_CONFIG), given.resolved, without_secrets(given)))
    check_together(config, group)
    training_data = gather(config)
    if differ := _differences(_digests(training_data), receive(_DATA)):
        raise DataError(
            "processes that do not read the same data",
            code="processes-differ",
            where=f"process {group.number} of {group.count}",
            found=differ[0],
            expected=f"{differ[1]}, as the first process has",
            remedy="start all processes in a folder that their machines share, or with the same data in the same place",
        )
    augmentation = make_augmentation(config, training_data.task)
    load_backend(config.backend, config.trainer.deterministic)
    parts = assemble(config, training_data, augmentation)
    parts.train(config.trainer, None, lambda *_: None, stream=None)
    leave()


def _differences(mine: Mapping[str, str], first: Mapping[str, str]) -> tuple[str, str] | None:
    """What differs, in words: of this process, of the first one."""
    names = [name for name in {**first, **mine} if mine.get(name) != first.get(name)]
    if not names:
        return None
    found, expected = (", ".join(f"{name} {str(one.get(name))[:16]}" for name in names) for one in (mine, first))
    return found, expected


def _digests(training_data: TrainingData) -> dict[str, str]:
    return {"data": training_data.digest, "split": training_data.split.digest()}
