"""Metrics of Keras that a run measures beside its own: a list of dotted paths, checked without importing Keras."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from seglab.config.keras_targets import check_keras, is_of_keras, keras_parameters
from seglab.config.targets import construct
from seglab.config.types import Title
from seglab.config.value_checks import check_value
from seglab.errors import ConfigError
from seglab.task import Task

KEY = "metrics"
_TAKEN = ("loss", "dice", "iou")


@dataclass(frozen=True)
class KerasMetric:
    """One metric: its name in `train_<name>` and `val_<name>`, the class's dotted path, and its arguments."""

    name: str
    target: str
    arguments: Mapping[str, Any]

    def build(self, task: Task) -> Any:
        """The metric for a task; loads Keras."""
        return construct(self.target, (task,), {**self.arguments, "name": self.name})


def check_metrics(entries: list[Any] | None) -> tuple[KerasMetric, ...]:
    """What `metrics` lists: a dotted path each, or `_target_` with arguments and, for two of one class, a `name`.

    Raises:
        ConfigError: no metric of Keras, arguments that it does not take, a name that is taken.
    """
    found: list[KerasMetric] = []
    for number, entry in enumerate(entries or []):
        where = f"{KEY}[{number}]"
        arguments = dict(entry) if isinstance(entry, Mapping) else {"_target_": entry}
        target, name = arguments.pop("_target_", None), arguments.pop("name", None)
        if not isinstance(target, str) or not is_of_keras(target) or not target.startswith("keras.metrics."):
            raise ConfigError(
                "not a metric of Keras",
                code="keras-class",
                where=where,
                found=target if target is not None else entry,
                expected="keras.metrics.<class>, alone or as _target_ beside its arguments",
                remedy=f"such as {KEY}=[keras.metrics.MeanIoU]; in yaml a list, as docs/your_own.md shows",
            )
        check_keras(target, KEY, [*arguments])
        parameters = keras_parameters(target, f"{where}._target_")
        for key, value in arguments.items():
            check_value(value, parameters[key][0], f"{where}.{key}")
        missing = [key for key, (_, required) in parameters.items() if required and key not in arguments]
        if missing:
            raise ConfigError(
                "an argument that a metric must be given",
                code="missing-setting",
                where=where,
                found=f"no {missing[0]}",
                expected=f"a value for it, beside _target_: {target}",
                remedy=f"in yaml: {{_target_: {target}, {missing[0]}: …}}",
            )
        check_value(name, Title | None, f"{where}.name")
        name = name or _snake(target.rpartition(".")[2])
        if name in _TAKEN or name in [other.name for other in found]:
            raise ConfigError(
                "a metric under a name that is taken",
                code="setting-twice",
                where=where,
                found=name,
                expected=f"another name than {', '.join([*_TAKEN, *(other.name for other in found)])}",
                remedy=f"name it: {{_target_: {target}, name: my_{name}}}",
            )
        found.append(KerasMetric(name, target, arguments))
    return tuple(found)


def _snake(name: str) -> str:
    """`MeanIoU` as Keras writes it: `mean_io_u`."""
    parts = re.sub(r"(.)([A-Z][a-z0-9]+)", r"\1_\2", name)
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", parts).lower()
