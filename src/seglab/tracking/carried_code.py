"""The code that a recorded model carries, so that its folder predicts where no seglab is installed: the loader, and the
part of this package that inference reaches."""

from __future__ import annotations

import ast
import shutil
from collections.abc import Iterator
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1]
# The module in the folder's code that MLflow calls, and its source.
LOADER = "seglab_model"
_LOADER_FILE = Path(__file__).with_name("model_loader.py")
CODE_FOLDER, CARRIED = "code", "carried"
_REACHED_FROM = ("seglab.inference.pyfunc",)
_FOUND_BY_NAME = "models"  # Keras looks their layers up, and nothing imports them


def write_code(folder: Path) -> list[Path]:
    """Write the loader and the carried package into `folder`, which is made; returns what lies in it."""
    target = folder / CARRIED
    for file in carried_files():
        copy = target / PACKAGE.name / file.relative_to(PACKAGE)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, copy)
    loader = Path(shutil.copyfile(_LOADER_FILE, folder / f"{LOADER}.py"))
    return [loader, target]


def carried_files() -> list[Path]:
    """The source files of this package that loading a bundle and predicting with it can import."""
    models = [file.relative_to(PACKAGE.parent).with_suffix("") for file in (PACKAGE / _FOUND_BY_NAME).rglob("*.py")]
    waiting, found = [*_REACHED_FROM, *(".".join(model.parts) for model in models)], set[Path]()
    while waiting:
        module = waiting.pop()
        file = _file(module)
        if file is None or file in found:
            continue
        found.add(file)
        waiting += [module.rpartition(".")[0], *imported(file)]
    return sorted(found)


def imported(file: Path) -> Iterator[str]:
    """Dotted names that a file of this package imports, from within functions too; some are no modules."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _file(module: str) -> Path | None:
    """The source of a module of this package; None for what is none."""
    first, *rest = module.split(".")
    if first != PACKAGE.name:
        return None
    stem = PACKAGE.joinpath(*rest)
    files = (stem / "__init__.py", stem.with_suffix(".py"))
    return next((file for file in files if file.is_file()), None)
