"""The way of `seglab plan`: read the data, plan, measure, write the study."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from operator import getitem
from pathlib import Path
from typing import Any, Literal

from omegaconf import DictConfig

from seglab.command import composed_config, config_of_data
from seglab.config.former_names import current_setting
from seglab.config.places import STUDIES
from seglab.config.run_config import load_config
from seglab.config.scalars import meant, read_yaml, unquoted
from seglab.config.sections import DataConfig, SplitSettings
from seglab.config.value_checks import plain_values
from seglab.data.cases import Source, check_source
from seglab.data.digest import digest_values
from seglab.data.loading.training_data import examined
from seglab.data.splits import Split, split_for
from seglab.planning.budget import Budget
from seglab.planning.cascade_plans import (
    FIRST_STAGE,
    MASKS,
    OF_THE_SECOND,
    SECOND_STAGE,
    coarse_plan,
    first_stage,
    second_stage,
)
from seglab.planning.choices import AS_GIVEN, Choice
from seglab.planning.dry_run import Measured, measured
from seglab.planning.fingerprint import Fingerprint, fingerprint_of
from seglab.planning.forecast import Forecast, check_memory, epochs_for
from seglab.planning.plan import Plan, make_plan
from seglab.planning.study_files import (
    FORECAST,
    MEASURED,
    PLAN,
    STUDY,
    another_study,
    check_name,
    forecast_page,
    measured_file,
    measured_in,
    plan_page,
    study_yaml,
    words_of,
    write_study,
)
from seglab.planning.training_rules import FOLDS
from seglab.runtime.waiting import step

# A network alone, and the first and the second stage: they share the hours.
STUDIES_OF_A_CASCADE = 3
Make = Callable[..., Plan]
"""From a budget, settings that were said, and epochs or none, to a plan."""


@dataclass(frozen=True)
class PlanRequest:
    """What `seglab plan` is asked.

    Attributes:
        words: settings of the data, and any that are to stand in the place of the plan's own.
        budget: of the study.
        name: of the study; None: after the data.
        configuration: as of `make_plan`.
        measure: `once`: unless this very plan was measured; `again`; `never`.
        overwrite: whether another study of the name may be replaced.
    """

    words: tuple[str, ...]
    budget: Budget
    name: str | None = None
    configuration: str | None = None
    measure: Literal["once", "again", "never"] = "once"
    overwrite: bool = False


@dataclass(frozen=True)
class Planned:
    """A study that was written, or was there as it would be written.

    Attributes:
        folder: of the study.
        plan: its settings.
        forecast: what it takes; None where nothing was measured.
        written: False where it was there already.
        stages: of a cascade that was planned beside it, the studies of the first stage and of the second.
    """

    folder: Path
    plan: Plan
    forecast: Forecast | None
    written: bool
    stages: tuple[Planned, ...] = ()


def plan_study(request: PlanRequest, studies: Path = STUDIES) -> Planned:
    """Plan a study and write it, and beside it those of a cascade where a patch covers too little of the volumes.

    Raises:
        ConfigError: settings that cannot work, a budget without room, another study of the name.
        DataError: data that cannot be used or learnt from.
        TrainingError: the dry run did not come to its end.
    """
    # Settings of a model that the plan has yet to choose are checked with it.
    chosen = any(word.startswith("model=") for word in request.words)
    words = [word for word in request.words if chosen or not word.startswith("model.")]
    composed = composed_config(words)
    config = config_of_data(composed, words)
    given = given_in(request.words, composed, words)
    with step("finding the files"):
        source: Source = config.data.build()
    check_source(source)
    split = planning_split(source, config.data_config, config.seed, given)
    by_id = {case.id: case for case in source.cases}
    digest, facts = examined(source, config.data_config, [by_id[case_id] for case_id in split.train])
    with step("looking for objects in the masks"):
        fingerprint = fingerprint_of(source, split, facts)
    name = check_name(request.name or re.sub(r"\W+", "_", f"{source.name}_plan".lower()).strip("_"))
    studying = _Studying(request, given, fingerprint, digest, source.name, studies)
    coarse, why = first_stage(fingerprint, request.budget, given, studying.full(request.budget, given))
    if coarse is not None:
        request = replace(request, budget=replace(request.budget, studies=STUDIES_OF_A_CASCADE))
        studying = _Studying(request, given, fingerprint, digest, source.name, studies)
        shared, reason = first_stage(fingerprint, request.budget, given, studying.full(request.budget, given))
        why = why if shared is None else reason  # of the patches that the shared hours leave

    def make(budget: Budget, settings: Mapping[str, Any], epochs: int | None = None) -> Plan:
        plan = studying.full(budget, settings, epochs)
        return replace(plan, notes=(*plan.notes, *([why] if why else [])))

    planned = studying.write(name, make)
    if coarse is None:
        return planned
    first = f"{name}_{FIRST_STAGE}"
    masks = str((studies / first / MASKS).absolute())

    def fine(budget: Budget, settings: Mapping[str, Any], epochs: int | None = None) -> Plan:
        return second_stage(studying.full(budget, settings, epochs), masks, first)

    stages = studying.write(first, studying.coarse), studying.write(f"{name}_{SECOND_STAGE}", fine)
    return replace(planned, stages=stages)


class _Studying:
    """Writes the studies of one data set.

    Args:
        request, given: what was asked, and its settings by their keys.
        fingerprint, digest, data_name: of the data.
        studies: where the studies lie.
    """

    def __init__(
        self,
        request: PlanRequest,
        given: Mapping[str, Any],
        fingerprint: Fingerprint,
        digest: str,
        data_name: str,
        studies: Path,
    ):
        self._request, self._given, self._fingerprint = request, given, fingerprint
        self._digest, self._data_name, self._studies = digest, data_name, studies

    def full(self, budget: Budget, given: Mapping[str, Any], epochs: int | None = None) -> Plan:
        """The plan of a network that is alone."""
        return self._with_given(make_plan(self._fingerprint, budget, given, self._request.configuration, epochs), given)

    def coarse(self, budget: Budget, given: Mapping[str, Any], epochs: int | None = None) -> Plan:
        """The plan of the first stage."""
        full = make_plan(self._fingerprint, budget, given, self._request.configuration)
        plan = coarse_plan(self._fingerprint, budget, given, full, epochs)
        return self._with_given(plan, {key: value for key, value in given.items() if key != OF_THE_SECOND})

    def write(self, name: str, make: Make) -> Planned:
        """Measure a plan, unless this very plan was measured, and write its study."""
        request, folder = self._request, self._studies / name
        budget, given, plan = request.budget, self._given, make(request.budget, self._given)
        load_config(composed_config(_job_words(plan)))  # what cannot work is told now, and not by the study
        forecast, files = None, {}
        if request.measure != "never":
            of = digest_values([self._digest, [w for w in _job_words(plan) if not w.startswith("trainer.epochs")]])
            took = None if request.measure == "again" else measured_in(folder, of)
            if took is None and request.measure == "once" and (folder / STUDY).exists() and not request.overwrite:
                raise another_study(folder, STUDY)  # before minutes are spent on it
            if took is None:
                with step(f"measuring a dry run of three steps of {name}"):
                    took = measured(_job_words(plan))
                files[MEASURED] = measured_file(of, took)
            check_memory(took, budget, self._smaller(make, took))
            plan = make(budget, given, given.get("trainer.epochs") or epochs_for(took, budget, plan.jobs))
            forecast = Forecast(took, plan.value("trainer.epochs"), plan.jobs)
            files[FORECAST] = forecast_page(name, forecast)
        files |= {
            STUDY: study_yaml(name, plan, self._fingerprint, self._data_name),
            PLAN: plan_page(name, plan, self._fingerprint, self._data_name),
        }
        return Planned(folder, plan, forecast, write_study(folder, files, request.overwrite))

    def _smaller(self, make: Make, took: Measured) -> str:
        """The input of the plan that would have been made, had the rules known what was measured."""
        budget = self._request.budget
        less = replace(budget, memory_gb=budget.memory_gb**2 / max(took.memory_mb / 1000, 1e-3))
        free = {key: value for key, value in self._given.items() if key not in ("data.size", "data.batch_size")}
        return f"data.size=[{','.join(map(str, make(less, free).value('data.size')))}]"

    def _with_given(self, plan: Plan, given: Mapping[str, Any]) -> Plan:
        """A plan, and what was said that no rule is about."""
        chosen = {one.key for one in plan.choices}
        more = [
            Choice(key, value, AS_GIVEN) for key, value in given.items() if key not in chosen and key != plan.sweep[0]
        ]
        ordered = sorted([*more, *plan.choices], key=lambda one: "." in one.key)
        return replace(plan, choices=tuple(ordered))


def given_in(words: Sequence[str], composed: DictConfig, read: Sequence[str]) -> dict[str, Any]:
    """Values by their keys; a folder becomes a whole path.

    Args:
        words: `group=option` and `key=value`.
        composed: the config that some of them make, in which the folder `010` is a text and a number a number.
        read: those; the values of others are of the types that they look like.
    """
    given: dict[str, Any] = {}
    for word in words:
        key, _, text = word.partition("=")
        key = current_setting(key)
        group, *names = key.split(".")
        if not names:
            given[key] = unquoted(text)
        elif word in read:
            given[key] = reduce(getitem, names, plain_values(composed, group))
        else:
            given[key] = meant(read_yaml(text), Any)
    if "data.root" in given:
        given["data.root"] = str(Path(str(given["data.root"])).absolute())
    return given


def planning_split(source: Source, card: DataConfig, seed: int, given: Mapping[str, Any]) -> Split:
    """Whose training part a plan is made from: of the data set's own split, or of the first fold of the plan."""
    groups, own_folds = len({case.group for case in source.cases}), getattr(source, "folds", None)
    if source.split is not None and not own_folds and "data.folds" not in given:
        return split_for(source, card, seed)
    if groups < 2:
        return Split(tuple(case.id for case in source.cases), (), ())
    changes: dict[str, Any] = {"fold": 0, "folds": len(own_folds) if own_folds else min(FOLDS, groups)}
    changes |= {key: given[f"data.{key}"] for key in ("fold", "folds") if f"data.{key}" in given} | {"stratify": False}
    changes["split_seed"] = card.split_seed or 0
    if groups == 2:
        changes["split"] = SplitSettings(train=1.0, val=0.0, test=0.0)
    return split_for(source, card.model_copy(update=changes), seed)


def _job_words(plan: Plan) -> list[str]:
    """The first job of a plan, as `seglab train` is told it."""
    key, values, _ = plan.sweep
    return [*words_of(plan.choices), f"{key}={values[0]}"]
