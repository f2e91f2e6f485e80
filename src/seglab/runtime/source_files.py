"""Which source files a function or class can reach: found by reading, since importing would load TensorFlow."""

from __future__ import annotations

import ast
import importlib.util
import sysconfig
from collections.abc import Iterable, Iterator
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1]
_INSTALLED = tuple(Path(sysconfig.get_path(name)).resolve() for name in ("purelib", "platlib", "stdlib"))


def sources_of(targets: Iterable[str]) -> dict[str, Path]:
    """Source files that functions and classes, given by their dotted paths, can reach, by the name of their module.

    These are the modules of the targets and whatever they import, from within functions too, less installed packages:
    this package and what is the user's own. Nothing is imported: that would load TensorFlow.
    """
    waiting = [(_folder(target), target.rpartition(".")[0]) for target in targets]
    found: dict[str, Path] = {}
    while waiting:
        folder, module = waiting.pop()
        parts = module.split(".")
        if parts[0] == PACKAGE.name:
            folder = PACKAGE.parent
        for depth in range(1, len(parts) + 1) if folder else ():
            assert folder is not None
            name, stem = ".".join(parts[:depth]), folder.joinpath(*parts[:depth])
            files = [file for file in (stem / "__init__.py", stem.with_suffix(".py")) if file.is_file()]
            if files and name not in found:
                found[name] = files[0]
                package = parts[:depth] if files[0].stem == "__init__" else parts[: depth - 1]
                waiting += [(folder, imported) for imported in _imports(files[0], package)]
    return found


def _folder(target: str) -> Path | None:
    """The folder that holds a target's module or outermost package; None where that is an installed one."""
    try:
        spec = importlib.util.find_spec(target.partition(".")[0])
    except ValueError:  # of a script that runs
        return None
    places = [] if spec is None else [*(spec.submodule_search_locations or ()), *([spec.origin] if spec.origin else [])]
    if not places:
        return None
    place = Path(places[0]).resolve()
    installed = "site-packages" in place.parts or any(place.is_relative_to(folder) for folder in _INSTALLED)
    return None if installed else place.parent


def _imports(file: Path, package: list[str]) -> Iterator[str]:
    """Dotted names that a source file imports, from within functions too; some are no modules but what is in them."""
    try:
        tree = ast.parse(file.read_bytes())  # in the encoding that it declares
    except (SyntaxError, ValueError):  # told when it is imported
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            yield from (f"{base}.{alias.name}" if base else alias.name for alias in node.names)
