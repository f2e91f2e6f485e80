"""`seglab plan`: from a data set and a budget to a study, with a reason for every value."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from seglab.cli.words import read, setting
from seglab.config.types import PositiveFloat
from seglab.errors import ConfigError
from seglab.runtime.waiting import step

_GROUPS = ("data", "model", "loss", "optimizer", "schedule", "augment", "precision", "trainer")
_EXAMPLES = """examples:
  seglab plan data=nifti data.root=scans budget.hours=2 budget.memory_gb=16
  seglab plan data=nifti data.root=scans data.size=[64,64,48] model.width=24     these two as said, the rest planned
  seglab plan data=nifti data.root=scans configuration=slices name=scans_2d      a 2D network for the slices
  python train.py -m experiment=<name>                                           runs what was planned"""


def _instead(group: str) -> Any:
    return setting(f"{group}.…: in the place of what the plan would choose", default=(), prefix=True)


@dataclass(frozen=True, kw_only=True)
class PlanWords:
    """Write experiments/<name>/study.yaml, plan.md and forecast.md: what to train on a data set, why, and what it
    takes. Planned from the training cases alone, measured by a dry run of three steps."""

    data: tuple[str, ...] = setting("data=<name> data.root=… …, written as for seglab train", prefix=True)
    budget_hours: PositiveFloat = setting(
        "of the whole study, one run after the other; the three studies of a cascade share them",
        default=2.0,
        key="budget.hours",
    )
    budget_memory_gb: PositiveFloat = setting("of a run", default=8.0, key="budget.memory_gb")
    name: str | None = setting("of the study; null: after the data", default=None)
    configuration: Literal["volumes", "slices", "images"] | None = setting(
        "volumes or slices of 3D data, images of 2D; null: volumes, or images", default=None
    )
    measure: Literal["once", "again", "never"] = setting(
        "the dry run: once for the same plan, again, or never, which leaves epochs to an estimate", default="once"
    )
    overwrite: bool = setting("replace a study of this name that is another one", default=False)
    model: tuple[str, ...] = _instead("model")
    loss: tuple[str, ...] = _instead("loss")
    optimizer: tuple[str, ...] = _instead("optimizer")
    schedule: tuple[str, ...] = _instead("schedule")
    augment: tuple[str, ...] = _instead("augment")
    precision: tuple[str, ...] = _instead("precision")
    trainer: tuple[str, ...] = _instead("trainer")


def read_words(words: Sequence[str]) -> PlanWords:
    """What the words of the command line say; a data set is among them."""
    settings = read(PlanWords, words, "plan", _EXAMPLES)
    if not any(word.startswith("data=") for word in settings.data):
        raise ConfigError(
            "a plan without a data set",
            code="missing-setting",
            where="data",
            found=" ".join(settings.data),
            expected="data=<name>, written as for seglab train",
            remedy="data=nifti data.root=… for volumes, data=image_folder data.root=… for images",
        )
    return settings


def run(words: Sequence[str]) -> None:
    """Plan, and say what was planned."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    settings = read_words(words)
    with step("loading what reads the files"):
        from seglab.planning.budget import Budget
        from seglab.planning.plan_printing import print_planned
        from seglab.planning.planning import PlanRequest, plan_study

    request = PlanRequest(
        words=tuple(word for group in _GROUPS for word in getattr(settings, group)),
        budget=Budget(settings.budget_hours, settings.budget_memory_gb),
        name=settings.name,
        configuration=settings.configuration,
        measure=settings.measure,
        overwrite=settings.overwrite,
    )
    print_planned(plan_study(request))
