"""Settings of a loss that cannot mean anything; asked by the config and by the losses themselves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from seglab.errors import ConfigError
from seglab.task import Task


def check_class_weights(weights: Sequence[float], classes: int, names: Sequence[str] = ()) -> None:
    """Refuse class weights that are not one for each class, 0 or more, one of them positive.

    Raises:
        ConfigError: see above.
    """
    if len(weights) != classes or min(weights) < 0 or max(weights) <= 0:
        raise ConfigError(
            "class weights do not fit the task",
            code="class-weights-mismatch",
            where="loss.class_weights",
            found=list(weights),
            expected=f"{classes} numbers of 0 or more, not all 0: one for each of "
            + (", ".join(names) or "the classes, background first"),
            remedy=f"loss.class_weights=[{','.join(['1.0'] * classes)}], or null, weighs all classes alike",
        )


def refuse_class_weights(
    task: Task, where: str = "loss.class_weights", remedy: str = "loss.class_weights=null"
) -> None:
    """Refuse a weight for each class where regions are trained, of which a pixel can be in several; `ConfigError`."""
    if task.regions:
        raise ConfigError(
            "a weight for each class, and regions that share classes",
            code="region-loss",
            where=where,
            found=f"regions {', '.join(region.name for region in task.regions)}",
            expected="a loss without class weights: each region is a task of in or out of its own",
            remedy=remedy,
        )


def refuse_for_regions(name: str, task: Task) -> None:
    """Refuse a loss or a metric of exclusive classes for a task with regions; raises `ConfigError`."""
    if task.regions:
        raise ConfigError(
            "a loss or metric of exclusive classes, and regions that overlap",
            code="region-loss",
            where="loss._target_" if ".losses." in name else "metrics",
            found=f"{name}, and regions {', '.join(region.name for region in task.regions)}",
            expected="a loss and metrics of seglab",
            remedy="loss=combined" if ".losses." in name else "leave it out: Dice and IoU of each region are there",
        )


def check_of_regions(task: Task, loss: str, arguments: Mapping[str, Any], metrics: Sequence[str]) -> None:
    """Refuse, before anything is loaded, a loss or metrics that cannot be of a task's regions.

    Args:
        task: with regions, or without.
        loss: the target of the loss.
        arguments: that its constructor is given.
        metrics: dotted paths.

    Raises:
        ConfigError: names the setting.
    """
    if loss == "seglab.losses.distribution.BalancedCrossEntropyLoss":
        refuse_class_weights(task, "loss=balanced_cross_entropy", "loss=combined")
    if loss.startswith("seglab.") and arguments.get("class_weights") is not None:
        refuse_class_weights(task)
    for name in (loss, *metrics):
        if name.startswith("keras."):
            refuse_for_regions(name, task)


def check_prices(alpha: float, beta: float) -> None:
    """Refuse a Tversky loss for which neither a false alarm nor a miss costs anything.

    Raises:
        ConfigError: see above.
    """
    if alpha == 0 and beta == 0:
        raise ConfigError(
            "false positives and false negatives both weigh 0",
            code="zero-penalty",
            where="loss.alpha, loss.beta",
            found="0 and 0",
            expected="a positive weight of the false positives, of the false negatives, or of both",
            remedy="for example loss.alpha=0.3 loss.beta=0.7",
        )


def check_terms(terms: Mapping[str, float]) -> None:
    """Refuse a sum of losses of which every weight, by its key, is 0.

    Raises:
        ConfigError: see above.
    """
    if not any(terms.values()):
        raise ConfigError(
            "a loss without terms",
            code="loss-without-terms",
            where=", ".join(f"loss.{key}" for key in terms),
            found="all 0",
            expected="a positive weight for one of them",
            remedy=f"loss.{next(iter(terms))}=1.0",
        )
