"""From what was said on the command line to jobs with identities."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

from hydra.types import HydraContext
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from seglab.config.loading import Config, load_config
from seglab.config.vocabulary import own_folder
from seglab.data.digest import digest_values
from seglab.errors import SeglabError
from seglab.sweeping.job_identity import JobIdentity
from seglab.sweeping.jobs import Job

# Settings of the launcher; a job does not know who starts it.
_NOT_OF_A_JOB = ("launcher", "search")
_NOT_HANDED_ON = ("hydra.launcher", "hydra.sweeper", "hydra.mode", "hydra/launcher", "hydra/sweeper")


class SweepPreparation:
    """Composes and checks jobs as their own processes will; one mistaken job does not stop the others.

    Args:
        config: the composed config of the sweep.
        context: Hydra's, which knows where the yaml files lie.
    """

    def __init__(self, config: DictConfig, context: HydraContext):
        self._config, self._context = config, context
        self._identity = JobIdentity()
        said = config.hydra.overrides.hydra
        self._hydra_words = [word for word in said if not word.lstrip("+~").startswith(_NOT_HANDED_ON)]
        if (folder := own_folder()) is not None:
            self._hydra_words.append(f"--config-dir={folder}")

    def job(self, number: int, overrides: Sequence[str], label: str) -> Job:
        """One job."""
        return self._job(number, overrides, label, self._checked(overrides))

    def jobs(self, all_overrides: Sequence[Sequence[str]]) -> list[Job]:
        """The jobs of a grid. All are composed before the data and the code of the first are read, since a word that
        Hydra does not know stops them all."""
        common = set.intersection(*(set(overrides) for overrides in all_overrides)) if len(all_overrides) > 1 else set()
        checked = [self._checked(overrides) for overrides in all_overrides]
        return [
            self._job(number, overrides, " ".join(word for word in overrides if word not in common), config)
            for number, (overrides, config) in enumerate(zip(all_overrides, checked, strict=True))
        ]

    def plain(self, section: str) -> dict[str, Any]:
        """A section of the config of the sweep, before any job says otherwise."""
        found = OmegaConf.to_container(self._config[section], resolve=True)
        assert isinstance(found, dict)
        return {str(key): value for key, value in found.items()}

    @property
    def study(self) -> str | None:
        """The study or experiment that was chosen."""
        chosen = self._config.hydra.runtime.choices.get("experiment")
        return None if chosen is None else str(chosen)

    def _checked(self, overrides: Sequence[str]) -> Config | SeglabError:
        """The config of a job, or what is wrong with it."""
        try:
            return load_config(self._composed(overrides))
        except SeglabError as error:
            return error

    def _job(self, number: int, overrides: Sequence[str], label: str, config: Config | SeglabError) -> Job:
        own = tuple(word for word in overrides if word.partition("=")[0] not in _NOT_OF_A_JOB)
        words = (*own, *self._hydra_words)
        if isinstance(config, SeglabError):
            return Job(number, words, None, None, problem=str(config), label=label)
        try:
            return Job(number, words, self._identity.of(config), config, label=label)
        except SeglabError as error:
            return Job(number, words, None, config, problem=str(error), label=label)

    def _composed(self, overrides: Sequence[str]) -> DictConfig:
        composed = copy.deepcopy(self._context.config_loader.load_sweep_config(self._config, list(overrides)))
        with read_write(composed), open_dict(composed):
            del composed["hydra"]
        return composed


def sweep_digest(jobs: Sequence[Job]) -> str:
    """What a sweep is: the set of its jobs, in any order. Jobs that cannot be started count by what was said."""
    return digest_values(sorted({job.identity or f"unusable {job.overrides}" for job in jobs}))
