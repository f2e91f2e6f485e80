"""The function or the `__init__` that makes a `_target_`, found in the text of its module, which is not imported."""

from __future__ import annotations

import ast
import importlib
import importlib.machinery
import importlib.util
import traceback
import typing
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import NoReturn

from seglab.errors import ConfigError, nearest
from seglab.runtime.source_files import PACKAGE

EXAMPLES = "docs/your_own.md has a working example of each kind"
# Packages that cost seconds to look into, for which no class of a user's is asked.
_HEAVY = ("keras", "tensorflow", "torch", "jax")
# What imports a target, and is not where a user's mistake lies.
_OURS = (__file__, str(Path(__file__).with_name("targets.py")))


@dataclass(frozen=True)
class Constructor:
    """What is called to make a target: a function, or the `__init__` of a class."""

    function: ast.FunctionDef
    file: str
    is_method: bool


@cache
def constructor_of(target: str, where: str) -> Constructor | None:
    """What makes a target; None where it cannot be seen from the text, such as for a class of Keras's.

    Raises:
        ConfigError: it is not there, or its text cannot be read.
    """
    module, _, name = target.rpartition(".")
    file, tree = _parse(module, where, target)
    definition = _find(tree, name)
    if isinstance(definition, ast.FunctionDef):
        return Constructor(definition, file, is_method=False)
    if isinstance(definition, ast.ClassDef):
        return _of_class(definition, tree, module, file, where)
    imported = _imported_from(tree, name, module, file)
    if imported:
        return constructor_of(imported, where)
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


def _of_class(definition: ast.ClassDef, tree: ast.Module, module: str, file: str, where: str) -> Constructor | None:
    for node in definition.body:
        if isinstance(node, ast.FunctionDef) and node.name == "__init__":
            return Constructor(node, file, is_method=True)
    for base in definition.bases:
        if not isinstance(base, ast.Name):
            continue
        parent = _find(tree, base.id)
        if isinstance(parent, ast.ClassDef):
            return _of_class(parent, tree, module, file, where)
        imported = _imported_from(tree, base.id, module, file)
        if imported and imported.split(".")[0] not in _HEAVY:
            try:
                return constructor_of(imported, where)
            except ConfigError:  # of a package without its text: nothing can be said
                return None
    if definition.bases:
        return None
    return Constructor(_NO_ARGUMENTS, file, is_method=True)


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
            cannot_import(target, where, error)
        spec = None
    except (ImportError, SyntaxError) as error:
        cannot_import(target, where, error)
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
        cannot_import(target, where, error)


def cannot_import(target: str, where: str, error: Exception) -> NoReturn:
    """Raise `ConfigError` with the line of the user's own file in which importing stopped."""
    lines = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith("<frozen importlib")
    ]
    own = [frame for frame in lines if frame.filename not in (*_OURS, importlib.__file__, importlib.util.__file__)]
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
        remedy="correct that line, or install what it imports into this environment",
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
