"""What a `_target_` accepts, read from its source text: importing it would load TensorFlow for seconds.

A target's positional arguments are injected by the experiment; its keyword-only arguments are exactly what its
config may hold. Their annotations (builtins, `Literal`, `Sequence`, `Mapping`, `seglab.constraints`) are checked
with pydantic.
"""

from __future__ import annotations

import ast
import importlib.util
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

from seglab import constraints
from seglab.errors import ConfigError, nearest

_ANNOTATION_NAMES: dict[str, Any] = {
    **{name: value for name, value in vars(constraints).items() if not name.startswith("_")},
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
    return annotation == constraints.Place or any(_is_place(part) for part in typing.get_args(annotation))


@cache
def parameters_of(target: str, where: str) -> Mapping[str, Parameter]:
    """Keyword-only parameters of the function or class at dotted path `target`; `where` is the config key to blame."""
    module, _, name = target.rpartition(".")
    tree = _parse(module, where, target)
    definition = _find(tree, name)
    if definition is None:
        imported = _imported_from(tree, name)
        if imported:
            return parameters_of(imported, where)
        known = [n.name for n in tree.body if isinstance(n, (ast.FunctionDef, ast.ClassDef)) and n.name[0] != "_"]
        raise ConfigError(
            f"the module {module} has no '{name}'",
            where=where,
            found=target,
            expected="one of " + ", ".join(known),
            remedy=nearest(name, known) or "name a public function or class of the module",
        )
    if isinstance(definition, ast.ClassDef):
        definition = _constructor(tree, definition)
    if definition is None:
        return {}
    arguments = definition.args
    return {
        argument.arg: Parameter(_annotation(argument.annotation), required=default is None)
        for argument, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
    }


def _parse(module: str, where: str, target: str) -> ast.Module:
    try:
        spec = importlib.util.find_spec(module) if module else None
    except ModuleNotFoundError:
        spec = None
    if spec is None or spec.origin is None or not spec.origin.endswith(".py"):
        raise ConfigError(
            "a _target_ that cannot be found",
            where=where,
            found=target,
            expected="the dotted path of a Python function or class, such as seglab.models.unet.unet",
            remedy="check the spelling, and that the module lies in the project folder or is installed",
        )
    return ast.parse(Path(spec.origin).read_text(encoding="utf-8"), filename=spec.origin)


def _find(tree: ast.Module, name: str) -> ast.FunctionDef | ast.ClassDef | None:
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and node.name == name:
            return node
    return None


def _imported_from(tree: ast.Module, name: str) -> str | None:
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                if (alias.asname or alias.name) == name:
                    return f"{node.module}.{alias.name}"
    return None


def _constructor(tree: ast.Module, definition: ast.ClassDef) -> ast.FunctionDef | None:
    for node in definition.body:
        if isinstance(node, ast.FunctionDef) and node.name == "__init__":
            return node
    for base in definition.bases:
        parent = _find(tree, base.id) if isinstance(base, ast.Name) else None
        if isinstance(parent, ast.ClassDef):
            return _constructor(tree, parent)
    return None


def _annotation(node: ast.expr | None) -> Any:
    if node is None:
        return Any
    # The text comes from installed source that this process is about to import anyway.
    return eval(ast.unparse(node), {"__builtins__": __builtins__, **_ANNOTATION_NAMES})
