"""From what was said on the command line to jobs with identities."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.types import HydraContext
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from seglab.config.run_config import Config, load_config
from seglab.config.sections import TrackingSettings
from seglab.config.vocabulary import groups, own_folder
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

    Attributes:
        tracking: where the first job that can be used is recorded; None while there is none.
    """

    def __init__(self, config: DictConfig, context: HydraContext):
        self._config, self._context = config, context
        self._identity = JobIdentity()
        self._composed_choices: dict[tuple[str, ...], DictConfig] = {}
        self.tracking: TrackingSettings | None = None
        overrides = config.hydra.overrides.hydra
        self._hydra_words = [word for word in overrides if not word.lstrip("+~").startswith(_NOT_HANDED_ON)]
        if (folder := own_folder()) is not None:
            self._hydra_words.append(f"--config-dir={folder}")

    def job(self, number: int, overrides: Sequence[str], label: str) -> Job:
        """One job."""
        return self._job(number, overrides, label, self._checked(overrides))

    def jobs(self, all_overrides: Sequence[Sequence[str]]) -> list[Job]:
        """The jobs of a grid. Each of its choices is composed before the data and the code of the first job are read,
        since a word that Hydra does not know stops them all; the jobs of a grid differ in no other key."""
        common = set.intersection(*(set(overrides) for overrides in all_overrides)) if len(all_overrides) > 1 else set()
        for overrides in {_parted(overrides)[0]: overrides for overrides in all_overrides}.values():
            self._composed(overrides)
        return [
            self.job(number, overrides, " ".join(word for word in overrides if word not in common))
            for number, overrides in enumerate(all_overrides)
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
            config = load_config(self._composed(overrides))
        except SeglabError as error:
            return error
        self.tracking = self.tracking or config.tracking
        return config

    def _job(self, number: int, overrides: Sequence[str], label: str, config: Config | SeglabError) -> Job:
        own = tuple(word for word in overrides if word.partition("=")[0] not in _NOT_OF_A_JOB)
        words = (*own, *self._hydra_words)
        if isinstance(config, SeglabError):
            return Job(number, words, None, problem=str(config), label=label)
        try:
            return Job(number, words, self._identity.of(config), label=label)
        except SeglabError as error:
            return Job(number, words, None, problem=str(error), label=label)

    def _composed(self, overrides: Sequence[str]) -> DictConfig:
        """What Hydra composes of these words: its files once for each set of choices, then the values of each job."""
        choices, values = _parted(overrides)
        if choices not in self._composed_choices:
            composed = copy.deepcopy(self._context.config_loader.load_sweep_config(self._config, list(choices)))
            with read_write(composed), open_dict(composed):
                del composed["hydra"]
            self._composed_choices[choices] = composed
        config = copy.deepcopy(self._composed_choices[choices])
        ConfigLoaderImpl._apply_overrides_to_config(OverridesParser.create().parse_overrides(values), config)
        return config


def _parted(overrides: Sequence[str]) -> tuple[tuple[str, ...], list[str]]:
    """Choices, which say what files are read, and values, which are put into what the files say."""
    chosen = tuple(word for word in overrides if _is_choice(word.lstrip("+~").partition("=")[0]))
    return chosen, [word for word in overrides if word not in chosen]


def _is_choice(key: str) -> bool:
    return key.partition("@")[0] in groups() or key.startswith(("hydra.", "hydra/"))


def sweep_digest(jobs: Sequence[Job]) -> str:
    """What a sweep is: the set of its jobs, in any order. Jobs that cannot be started count by what was said."""
    return digest_values(sorted({job.identity or f"unusable {job.overrides}" for job in jobs}))
