"""What a `_target_` accepts, read from its source text: importing it would load TensorFlow for seconds.

A target's positional arguments are injected by the experiment; its keyword-only arguments are exactly what its
config may hold. Their annotations (builtins, `Literal`, `Sequence`, `Mapping`, `seglab.config.types`) are checked
with pydantic.
"""

from __future__ import annotations

import ast
import importlib
import importlib.machinery
import importlib.util
import inspect
import traceback
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal, NoReturn

from seglab.config import types
from seglab.config.keras_targets import FAMILIES, check_keras, is_of_keras, keras_parameters
from seglab.errors import ConfigError, nearest
from seglab.runtime.source_files import PACKAGE

# What a run gives to the constructor of each group, in front of the settings of its yaml.
GIVEN: Mapping[str, tuple[str, ...]] = {
    "data": (),
    "model": ("task", "size"),
    "loss": ("task",),
    "optimizer": ("learning_rate",),
    "schedule": ("learning_rate", "epochs", "steps_per_epoch"),
    "augment": ("task",),
}
EXAMPLES = "docs/your_own.md has a working example of each kind"
# Packages that cost seconds to look into, for which no class of a user's is asked.
_HEAVY = ("keras", "tensorflow", "torch", "jax")

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
    found = _constructor_of(target, where)
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
    found = _constructor_of(target, where)
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
    said = ast.unparse(arguments).removeprefix("self").removeprefix(", ")
    kwonly = [argument.arg for argument in arguments.kwonlyargs]
    behind = dict.fromkeys([*(name for name in positional if name in settings), *kwonly])
    wanted = ", ".join([*given, *(["*", *behind] if behind else ["*", "<settings>"])])
    raise ConfigError(
        f"a {group} that takes its settings by position" if fits else f"a {group} that does not take what a run gives",
        code="component-signature",
        where=where,
        found=f"{short}({said}) in {found.file}, line {found.function.lineno}",
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
        _cannot_import(target, "_target_", error)
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


@dataclass(frozen=True)
class _Constructor:
    """What is called to make a target: a function, or the `__init__` of a class."""

    function: ast.FunctionDef
    file: str
    is_method: bool


@cache
def _constructor_of(target: str, where: str) -> _Constructor | None:
    """None where it cannot be seen from the text, such as for a class of Keras's."""
    module, _, name = target.rpartition(".")
    file, tree = _parse(module, where, target)
    definition = _find(tree, name)
    if isinstance(definition, ast.FunctionDef):
        return _Constructor(definition, file, is_method=False)
    if isinstance(definition, ast.ClassDef):
        return _of_class(definition, tree, module, file, where)
    imported = _imported_from(tree, name, module, file)
    if imported:
        return _constructor_of(imported, where)
    assigned = [node.lineno for node in tree.body if isinstance(node, ast.Assign) and name in _names(node)]
    if assigned:
        raise ConfigError(
            "a _target_ that is neither a function nor a class",
            code="target-not-callable",
            where=where,
            found=f"{target}, assigned in {file}, line {assigned[0]}",
            expected="def or class, whose signature can be read",
            remedy=EXAMPLES,
        )
    known = [n.name for n in tree.body if isinstance(n, (ast.FunctionDef, ast.ClassDef)) and n.name[0] != "_"]
    raise ConfigError(
        f"the module {module} has no '{name}'",
        code="target-not-found",
        where=where,
        found=target,
        expected="one of " + (", ".join(known) or f"the functions and classes of {file}, which has none"),
        remedy=nearest(name, known) or "name a public function or class of the module",
    )


def _of_class(definition: ast.ClassDef, tree: ast.Module, module: str, file: str, where: str) -> _Constructor | None:
    for node in definition.body:
        if isinstance(node, ast.FunctionDef) and node.name == "__init__":
            return _Constructor(node, file, is_method=True)
    for base in definition.bases:
        if not isinstance(base, ast.Name):
            continue
        parent = _find(tree, base.id)
        if isinstance(parent, ast.ClassDef):
            return _of_class(parent, tree, module, file, where)
        imported = _imported_from(tree, base.id, module, file)
        if imported and imported.split(".")[0] not in _HEAVY:
            try:
                return _constructor_of(imported, where)
            except ConfigError:  # of a package without its text: nothing can be said
                return None
    if definition.bases:
        return None
    return _Constructor(_NO_ARGUMENTS, file, is_method=True)


_NO_ARGUMENTS = typing.cast("ast.FunctionDef", ast.parse("def __init__(self): ...").body[0])


def _found(module: str) -> importlib.machinery.ModuleSpec | None:
    """Where a module lies. To ask Python imports the packages above it; of seglab's own, `data.augment` loads SciPy."""
    parts = module.split(".")
    if parts[0] == PACKAGE.name:
        stem = PACKAGE.parent.joinpath(*parts)
        for file in (stem.with_suffix(".py"), stem / "__init__.py"):
            if file.is_file():
                return importlib.machinery.ModuleSpec(module, None, origin=str(file))
    return importlib.util.find_spec(module)


def _parse(module: str, where: str, target: str) -> tuple[str, ast.Module]:
    try:
        spec = _found(module) if module else None
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module}.".startswith(f"{error.name}."):
            _cannot_import(target, where, error)
        spec = None
    except (ImportError, SyntaxError) as error:
        _cannot_import(target, where, error)
    if spec is None or spec.origin is None or not spec.origin.endswith(".py"):
        raise ConfigError(
            "a _target_ that cannot be found",
            code="target-not-found",
            where=where,
            found=target,
            expected="the dotted path of a Python function or class, such as seglab.models.unet.unet",
            remedy="check the spelling, and that the module lies in the current folder, in one of PYTHONPATH, "
            "or is installed",
        )
    try:
        return spec.origin, ast.parse(Path(spec.origin).read_text(encoding="utf-8"), filename=spec.origin)
    except (SyntaxError, UnicodeDecodeError) as error:
        _cannot_import(target, where, error)


def _cannot_import(target: str, where: str, error: Exception) -> NoReturn:
    """Tell the line of the user's own file in which importing stopped."""
    lines = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith("<frozen importlib")
    ]
    own = [frame for frame in lines if frame.filename not in (__file__, importlib.__file__, importlib.util.__file__)]
    if isinstance(error, SyntaxError):
        place = f"{error.filename}, line {error.lineno}: {(error.text or '').strip()}"
    elif own:
        place = f"{own[-1].filename}, line {own[-1].lineno}: {own[-1].line}"
    else:
        place = target
    raise ConfigError(
        f"a _target_ that cannot be imported: {error}",
        code="target-not-importable",
        where=where,
        found=place,
        expected=f"that python -c 'import {target.rpartition('.')[0]}' works",
        remedy="mend that line, or install what it imports into this environment",
    ) from error


def _find(tree: ast.Module, name: str) -> ast.FunctionDef | ast.ClassDef | None:
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and node.name == name:
            return node
    return None


def _names(node: ast.Assign) -> list[str]:
    return [target.id for target in node.targets if isinstance(target, ast.Name)]


def _imported_from(tree: ast.Module, name: str, module: str, file: str) -> str | None:
    for node in ast.walk(tree):
        if not isinstance(node, ast.ImportFrom):
            continue
        origin = node.module or ""
        if node.level:
            parts = module.split(".")
            up = node.level - (Path(file).name == "__init__.py")
            origin = ".".join([*parts[: len(parts) - up], *([origin] if origin else [])])
        for alias in node.names:
            if origin and (alias.asname or alias.name) == name:
                return f"{origin}.{alias.name}"
    return None


def _annotation(node: ast.expr | None) -> Any:
    if node is None:
        return Any
    # The text comes from installed source that this process is about to import anyway.
    return eval(ast.unparse(node), {"__builtins__": __builtins__, **_ANNOTATION_NAMES})
