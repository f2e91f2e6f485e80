"""Losses, optimizers and metrics of Keras by their dotted path: which there are and what they take.

All of it is read from the text of the installed Keras, since importing it would load TensorFlow.
"""

from __future__ import annotations

import ast
import importlib.util
import inspect
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, NoReturn

from seglab.errors import ConfigError, nearest


@dataclass(frozen=True)
class Family:
    """A module of Keras whose classes can stand in a group.

    Attributes:
        adapter: dotted path of what makes a part of a run of one: `(what the run gives, *, name, settings)`.
        by_the_run: arguments that the run sets, with the reason.
        refused: classes that cannot work here, with the reason.
        must_take: an argument without which a class cannot work.
    """

    adapter: str
    by_the_run: Mapping[str, str]
    refused: Mapping[str, str]
    must_take: str | None = None


_REDUCTION = "the run takes the mean over the pixels that are labelled"
_CLASSES = "the run knows its classes"
_NUMBERS = "compares numbers, not classes"
FAMILIES: Mapping[str, Family] = {
    "keras.losses": Family(
        "seglab.losses.keras_loss.keras_loss",
        {
            "from_logits": "the run gives logits to a loss that takes them, and probabilities to the others",
            "ignore_class": "the run leaves out the ignored label",
            "reduction": _REDUCTION,
            "name": "the run is named by loss.name",
            "dtype": "losses are computed in float32",
            "axis": "classes lie along the last axis",
        },
        {
            "Loss": "a base class",
            "CTC": "compares sequences, not pixels",
            "Circle": "compares embeddings, not classes",
        },
    ),
    "keras.optimizers": Family(
        "seglab.optimizers.keras_optimizer",
        {
            "learning_rate": "",  # stands in the yaml, and comes as a schedule
            "name": "the run is named by optimizer.name",
            "loss_scale_factor": "the run scales the loss where the precision asks for it",
        },
        {"Optimizer": "a base class", "LossScaleOptimizer": "the run scales the loss: precision=mixed_float16"},
        must_take="learning_rate",
    ),
    "keras.metrics": Family(
        "seglab.metrics.keras_score.keras_metric",
        {
            "num_classes": _CLASSES,
            "num_labels": _CLASSES,
            "multi_label": _CLASSES,
            "from_logits": "the run gives probabilities to a metric",
            "ignore_class": "the run leaves out the ignored label",
            "sparse_y_true": "the run gives what the class takes",
            "sparse_y_pred": "the run gives what the class takes",
            "name": "it stands beside _target_",
            "dtype": "metrics are computed in float32",
            "axis": "classes lie along the last axis",
        },
        dict.fromkeys(("Metric", "Mean", "Sum", "MeanMetricWrapper"), "takes no truth and no prediction")
        | {"ConcordanceCorrelation": _NUMBERS, "PearsonCorrelation": _NUMBERS, "R2Score": _NUMBERS},
    ),
}
GROUP_MODULES = {"loss": "keras.losses", "optimizer": "keras.optimizers", "metrics": "keras.metrics"}
# Losses of overlap: sums over the axes that their `axis` names, all of them by default.
REGION_LOSSES = ("Dice", "Tversky")
_OPTIONS = {"loss": "keras_loss", "optimizer": "keras_optimizer"}


def is_of_keras(target: str) -> bool:
    """Whether a dotted path names something in a module of `FAMILIES`."""
    return target.rpartition(".")[0] in FAMILIES


def keras_parameters(target: str, where: str) -> dict[str, tuple[Any, bool]]:
    """Of each argument that a config may give: its annotation, after its default, and whether it must be given.

    Raises:
        ConfigError: Keras has no such class, or it cannot work here.
    """
    module, _, name = target.rpartition(".")
    arguments = _arguments(target, where)
    run = {key for key in FAMILIES[module].by_the_run if not (key == "axis" and name in REGION_LOSSES)}
    return {key: (_annotation(key, node), node is None) for key, node in arguments.items() if key not in run}


def check_keras(target: str, group: str, settings: Sequence[str]) -> None:
    """Refuse a class of Keras in another group than its own, and settings that it does not take.

    Raises:
        ConfigError: names what is allowed, and why not.
    """
    module, _, name = target.rpartition(".")
    where = f"{group}._target_"
    if GROUP_MODULES.get(group) != module:
        _refuse(where, target, f"a {group}", f"{module} has no {group}")
    allowed = keras_parameters(target, where)
    for key in settings:
        if key in allowed:
            continue
        reason = FAMILIES[module].by_the_run.get(key)
        afresh = f"{group}={_OPTIONS[group]} {where}={target} sets nothing else" if group in _OPTIONS else ""
        raise ConfigError(
            f"an argument that the run sets for {name}" if reason else f"an argument that {name} does not have",
            code="keras-arguments",
            where=f"{group}.{key}",
            found=key,
            expected="one of " + (", ".join(allowed) or "no arguments"),
            remedy=f"remove it: {reason}" if reason else f"{nearest(key, allowed)} {afresh}".strip(),
        )


@cache
def _arguments(target: str, where: str) -> dict[str, ast.expr | None]:
    """The arguments of the constructor, each with its default; None where it must be given."""
    module, _, name = target.rpartition(".")
    family = FAMILIES[module]
    root = _keras_folder(where, target)
    homes = _exported(root.joinpath(*module.split(".")[1:], "__init__.py"))
    classes = [known for known in homes if known[0].isupper() and known not in family.refused]
    if name in family.refused:
        _refuse(where, target, f"a class of {module} other than that", family.refused[name])
    if name not in classes:
        remedy = nearest(name, classes) or f"{module}.{classes[0]}"
        _refuse(where, target, "one of " + ", ".join(classes), remedy)
    file = root.joinpath(*homes[name].split(".")[1:]).with_suffix(".py")
    function = _constructor(ast.parse(file.read_text(encoding="utf-8")), name)
    found: dict[str, ast.expr | None] = {}
    if function is not None:
        names = [argument.arg for argument in function.args.args[1:]]
        defaults: list[ast.expr | None] = [None] * (len(names) - len(function.args.defaults))
        found = dict(zip(names, [*defaults, *function.args.defaults], strict=True))
    if family.must_take and family.must_take not in found:
        _refuse(where, target, f"an optimizer with a {family.must_take}", "optimizer=adam, or another of Keras's")
    return found


def _keras_folder(where: str, target: str) -> Path:
    spec = importlib.util.find_spec("keras")  # the name of a package alone imports nothing
    if spec is None or not spec.submodule_search_locations:
        _refuse(where, target, "that Keras is installed", "pip install 'seglab[train]'")
    return Path(spec.submodule_search_locations[0])


def _exported(file: Path) -> dict[str, str]:
    """The module that each name comes from."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    return {
        alias.asname or alias.name: node.module
        for node in tree.body
        if isinstance(node, ast.ImportFrom) and node.module
        for alias in node.names
    }


def _constructor(tree: ast.Module, name: str) -> ast.FunctionDef | None:
    """The `__init__` of a class, or of the base that it takes it from in the same file."""
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and node.name == name:
            for part in node.body:
                if isinstance(part, ast.FunctionDef) and part.name == "__init__":
                    return part
            bases = [base.id for base in node.bases if isinstance(base, ast.Name)]
            return next(filter(None, (_constructor(tree, base) for base in bases)), None)
    return None


def _annotation(name: str, default: ast.expr | None) -> Any:
    try:
        value = ast.literal_eval(default) if default is not None else None
    except ValueError:  # such as 2.0**15
        return Any
    if isinstance(value, float) and name == "alpha":
        return float | list[float]
    return type(value) if isinstance(value, (bool, int, float, str)) else Any


def _refuse(where: str, found: str, expected: str, remedy: str) -> NoReturn:
    raise ConfigError(
        "a class of Keras that cannot be used here",
        code="keras-class",
        where=where,
        found=found,
        expected=expected,
        remedy=remedy,
    )


@contextmanager
def naming_keras(where: str, name: str, kind: Any, settings: Mapping[str, Any]) -> Iterator[None]:
    """From within, what a constructor of Keras says of its arguments becomes the user's message.

    Args:
        where: the group of the part, such as `loss`.
        name: of the class.
        kind: the class itself.
        settings: that were given to it.
    """
    try:
        yield
    except (ValueError, TypeError) as error:
        raise ConfigError(
            f"{name} of Keras refuses its arguments",
            code="keras-arguments",
            where=where,
            found=f"{dict(settings)}: {error}",
            expected=f"{name}{inspect.signature(kind)}",
            remedy=f"https://keras.io/search.html?query={name}",
        ) from error
