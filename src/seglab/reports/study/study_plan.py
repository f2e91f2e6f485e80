"""What a study asks for, job by job, and how its runs stand to that."""

from __future__ import annotations

import copy
import re
import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import hydra
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from seglab.command import kept
from seglab.comparison.runs import StoredRun
from seglab.comparison.variants import what_counts
from seglab.config.places import CONF
from seglab.config.vocabulary import quoted_place
from seglab.reports.study.study import Study
from seglab.tracking.operations import flat_params

_CONFIG = "train"
_PLACEHOLDER = re.compile(r"(?:^|\s)[\w.]+=<[^>]*>")  # data.root=<folder of the volumes>
_GROUP_SETTING = re.compile(r"\w+\.name")
# Of these a smaller number makes a smaller run.
_SIZES = {"trainer.epochs": "fewer epochs", "data.limit_cases": "a part of the data"}
_SHOWN = 6  # of the jobs or differences that are named, the rest is counted


@dataclass(frozen=True)
class PlannedJob:
    """A run that the study asks for: the words that not all of them share, and its settings as a run has them."""

    words: tuple[str, ...]
    settings: Mapping[str, str]


@dataclass(frozen=True)
class StudyPlan:
    """How the runs of a study stand to what its `study.yaml` asks for now.

    Attributes:
        jobs: that it asks for; empty where it cannot be composed, or names no set of jobs, as a search does not.
        missing: those without a finished run.
        others: runs that are none of these jobs, by what is different in them.
        problem: why there are no jobs.
    """

    jobs: Sequence[PlannedJob]
    missing: Sequence[PlannedJob]
    others: Mapping[str, Sequence[StoredRun]]
    problem: str = ""

    @property
    def done(self) -> int:
        """How many jobs have a finished run."""
        return len(self.jobs) - len(self.missing)

    @property
    def limits(self) -> list[str]:
        """What a reader must know: what is missing, and what is another run than the study's."""
        if not self.jobs:
            return [f"How far these runs are those of study.yaml is not known: {self.problem}."]
        notes = [f"{self.done} of the {len(self.jobs)} jobs of study.yaml have a finished run here."]
        if self.missing:
            named = "; ".join(" ".join(job.words) for job in self.missing[:_SHOWN])
            more = f"; and {len(self.missing) - _SHOWN} more" if len(self.missing) > _SHOWN else ""
            notes = [f"{notes[0][:-1]}; without one: {named}{more}."]
        for difference, runs in self.others.items():
            count = f"{len(runs)} runs are" if len(runs) > 1 else "1 run is"
            notes.append(f"{count} no job of study.yaml: {difference}.")
        return notes


def plan_of(study: Study, runs: Sequence[StoredRun]) -> StudyPlan:
    """Hold finished runs against the jobs of the study's command lines, composed anew from today's files."""
    try:
        jobs = _jobs(study)
    except (HydraException, OmegaConfBaseException, ValueError) as error:
        first = (str(error).splitlines() or [type(error).__name__])[0]
        return StudyPlan([], [], {}, f"its commands cannot be composed ({first})")
    if not jobs:
        return StudyPlan([], [], {}, "its command lists no jobs")
    found: set[int] = set()
    others: dict[str, list[StoredRun]] = {}
    for run in runs:
        settings = what_counts(run.params)
        differences = [_differences(settings, job.settings) for job in jobs]
        nearest = min(range(len(jobs)), key=lambda i: len(differences[i]))
        if differences[nearest]:
            others.setdefault(", ".join(_shortened(differences[nearest])), []).append(run)
        else:
            found.add(nearest)
    missing = [job for number, job in enumerate(jobs) if number not in found]
    return StudyPlan(jobs, missing, others)


def _jobs(study: Study) -> list[PlannedJob]:
    """Each job once, with the words that not all of them share."""
    made: dict[frozenset[tuple[str, str]], tuple[tuple[str, ...], dict[str, str]]] = {}
    parser = OverridesParser.create()
    beside = f"hydra.searchpath=[{quoted_place('studies', study.folder.parent.resolve())}]"
    for line in study.command.splitlines():
        words = _words(line)
        if not words:
            continue
        with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
            plain = [one.input_line or "" for one in parser.parse_overrides(words) if not one.is_sweep_override()]
            whole = hydra.compose(_CONFIG, overrides=[*plain, beside], return_hydra_config=True)
            swept = whole.hydra.sweeper.get("params") or {}
            overrides = parser.parse_overrides([*(f"{key}={values}" for key, values in swept.items()), *words])
            bases: dict[tuple[str, ...], DictConfig] = {}
            for combination in BasicSweeper.split_arguments(overrides, None)[0]:
                choices = tuple(word for word in combination if (CONF / word.partition("=")[0]).is_dir())
                if choices not in bases:
                    bases[choices] = hydra.compose(_CONFIG, overrides=[*choices, beside])
                composed = copy.deepcopy(bases[choices])
                for one in parser.parse_overrides([word for word in combination if word not in choices]):
                    OmegaConf.update(composed, one.key_or_group, one.value(), force_add=True)
                settings = what_counts(flat_params(OmegaConf.to_container(composed, resolve=True)))  # type: ignore[arg-type]
                made.setdefault(frozenset(settings.items()), (tuple(combination), settings))
    counts = Counter(word for words, _ in made.values() for word in words)
    return [
        PlannedJob(tuple(word for word in words if counts[word] < len(made)) or words, settings)
        for words, settings in made.values()
    ]


def _words(line: str) -> list[str]:
    """The overrides of a command line of the study; what stands for a folder of the reader's is left out."""
    words = shlex.split(_PLACEHOLDER.sub("", line))
    return kept([word for word in words if "=" in word and not word.startswith("-")], _CONFIG)


def _differences(settings: Mapping[str, str], planned: Mapping[str, str]) -> list[str]:
    """What is other in a run; of a part that is another one altogether only its name."""
    differences = []
    common = [key for key in settings if key in planned]
    parts = {key.partition(".")[0] for key in common if _GROUP_SETTING.fullmatch(key) and settings[key] != planned[key]}
    for key in common:
        if settings[key] == planned[key] or (key.partition(".")[0] in parts and not _GROUP_SETTING.fullmatch(key)):
            continue
        size = f" ({_SIZES[key]})" if key in _SIZES and _less(settings[key], planned[key]) else ""
        differences.append(f"{key}={settings[key]} where it says {planned[key]}{size}")
    return differences


def _less(value: str, than: str) -> bool:
    return value.isdigit() and (not than.isdigit() or int(value) < int(than))


def _shortened(differences: Sequence[str]) -> list[str]:
    first = sorted(differences, key=lambda text: not text.endswith(")"))  # the smaller size first
    return [*first[:_SHOWN], *([f"and {len(first) - _SHOWN} more"] if len(first) > _SHOWN else [])]
