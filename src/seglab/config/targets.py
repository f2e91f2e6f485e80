"""What a `_target_` accepts, read from its source text: importing it would load TensorFlow for seconds.

A target's positional arguments are injected by the experiment; its keyword-only arguments are exactly what its
config may hold. Their annotations (builtins, `Literal`, `Sequence`, `Mapping`, `seglab.config.types`) are checked
with pydantic.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

from seglab.config import types
from seglab.config.constructors import EXAMPLES, cannot_import, constructor_of
from seglab.config.keras_targets import FAMILIES, check_keras, is_of_keras, keras_parameters
from seglab.errors import ConfigError

# What a run gives to the constructor of each group, in front of the settings of its yaml.
GIVEN: Mapping[str, tuple[str, ...]] = {
    "data": (),
    "model": ("task", "size"),
    "loss": ("task",),
    "optimizer": ("learning_rate",),
    "schedule": ("learning_rate", "epochs", "steps_per_epoch"),
    "augment": ("task",),
}

_ANNOTATION_NAMES: dict[str, Any] = {
    **{name: value for name, value in vars(types).items() if not name.startswith("_")},
    "Literal": Literal,
    "Sequence": Sequence,
    "Mapping": Mapping,
    "Annotated": typing.Annotated,
    "Any": Any,
}


@dataclass(frozen=True)
class Parameter:
    """A keyword-only argument: its annotation (`Any` when it has none) and whether it must be given."""

    annotation: Any
    required: bool


def places_of(target: str, where: str) -> set[str]:
    """Which parameters of a target name a file or folder: those annotated as a `Place`, and `root` of anybody's class.

    Raises:
        ConfigError: as `parameters_of`.
    """
    found = parameters_of(target, where)
    return {name for name, parameter in found.items() if name == "root" or _is_place(parameter.annotation)}


def _is_place(annotation: Any) -> bool:
    return annotation == types.Place or any(_is_place(part) for part in typing.get_args(annotation))


@cache
def parameters_of(target: str, where: str) -> Mapping[str, Parameter]:
    """Keyword-only parameters of the function or class at dotted path `target`; `where` is the config key to blame."""
    if is_of_keras(target):
        return {key: Parameter(*known) for key, known in keras_parameters(target, where).items()}
    found = constructor_of(target, where)
    if found is None:
        return {}
    arguments = found.function.args
    return {
        argument.arg: Parameter(_annotation(argument.annotation), required=default is None)
        for argument, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
    }


def check_given(target: str, group: str, settings: Sequence[str]) -> None:
    """Refuse a target that does not take what a run gives to its group, or its settings only by position.

    Args:
        settings: the names in the yaml that are for the target.

    Raises:
        ConfigError: shows the signature that is there and the one that is wanted.
    """
    if is_of_keras(target):
        check_keras(target, group, settings)
        return
    where, given = f"{group}._target_", GIVEN[group]
    found = constructor_of(target, where)
    if found is None:
        return
    arguments = found.function.args
    positional = [argument.arg for argument in (*arguments.posonlyargs, *arguments.args)][found.is_method :]
    needed = len(positional) - len(arguments.defaults)
    swallowed = [name for name in settings if name in positional[len(given) :]]
    fits = needed <= len(given) and (len(positional) >= len(given) or arguments.vararg is not None)
    if fits and not swallowed:
        return
    short = target.rpartition(".")[2]
    signature = ast.unparse(arguments).removeprefix("self").removeprefix(", ")
    kwonly = [argument.arg for argument in arguments.kwonlyargs]
    behind = dict.fromkeys([*(name for name in positional if name in settings), *kwonly])
    wanted = ", ".join([*given, *(["*", *behind] if behind else ["*", "<settings>"])])
    raise ConfigError(
        f"a {group} that takes its settings by position" if fits else f"a {group} that does not take what a run gives",
        code="component-signature",
        where=where,
        found=f"{short}({signature}) in {found.file}, line {found.function.lineno}",
        expected=f"{short}({wanted}): first what a run gives, then *, then the settings of the yaml",
        remedy=EXAMPLES,
    )


def construct(target: str, given: Sequence[Any], settings: Mapping[str, Any]) -> Any:
    """Import a target and call it with what a run gives and with its settings.

    Raises:
        ConfigError: it cannot be imported, which tells the line, or takes other arguments.
    """
    module, _, name = target.rpartition(".")
    if is_of_keras(target):
        return construct(FAMILIES[module].adapter, given, {"name": name, "settings": settings})
    try:
        found = getattr(importlib.import_module(module), name)
    except (ImportError, SyntaxError, AttributeError) as error:
        cannot_import(target, "_target_", error)
    try:
        inspect.signature(found).bind(*given, **settings)
    except (TypeError, ValueError) as error:
        raise ConfigError(
            "a _target_ that takes other arguments",
            code="target-arguments",
            where=target,
            found=f"{error}" if not callable(found) else f"{name}{inspect.signature(found)}: {error}",
            expected=f"{len(given)} arguments by position, and the settings {', '.join(settings) or '(none)'} by name",
            remedy=EXAMPLES,
        ) from error
    return found(*given, **settings)


def _annotation(node: ast.expr | None) -> Any:
    if node is None:
        return Any
    # The text comes from installed source that this process is about to import anyway.
    return eval(ast.unparse(node), {"__builtins__": __builtins__, **_ANNOTATION_NAMES})
