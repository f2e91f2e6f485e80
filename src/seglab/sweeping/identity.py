"""What makes two jobs the same job: the settings, the data, the split and the code."""

from __future__ import annotations

import ast
import importlib.util
import json
import sysconfig
from collections.abc import Iterable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path

from seglab.config import Config
from seglab.data.digest import digest_files, digest_values, remembered

PACKAGE = Path(__file__).resolve().parents[1]
RUN = "seglab.experiment.run"
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
    spec = importlib.util.find_spec(target.partition(".")[0])
    places = [] if spec is None else [*(spec.submodule_search_locations or ()), *([spec.origin] if spec.origin else [])]
    if not places:
        return None
    place = Path(places[0]).resolve()
    return None if any(place.is_relative_to(installed) for installed in _INSTALLED) else place.parent


def _imports(file: Path, package: list[str]) -> Iterator[str]:
    """Dotted names that a source file imports, from within functions too; some are no modules but what is in them."""
    try:
        tree = ast.parse(file.read_text(encoding="utf-8"))
    except SyntaxError:  # told when it is imported
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            yield from (f"{base}.{alias.name}" if base else alias.name for alias in node.names)


def targets_in(part: object) -> set[str]:
    """Every `_target_` of a config, however deep."""
    if isinstance(part, Mapping):
        below = set().union(*(targets_in(value) for value in part.values()))
        return below | ({str(part["_target_"])} if "_target_" in part else set())
    return set().union(*(targets_in(value) for value in part)) if isinstance(part, list) else set()


class JobIdentity:
    """Computes identities, reading each data set only once.

    The identity of a job is a SHA-256 of its resolved config (less names, store and places on disk), the contents of
    its data, what its split is made of (ids and groups of the cases, and the data set's own split), its classes, and
    the code that a run can reach: from `seglab.experiment.run` and from each `_target_`, the user's own included, so
    that an edited report is no other job. The seed and all settings of the split are in the config.
    """

    def __init__(self) -> None:
        self._known: dict[str, tuple[str, str]] = {}
        self._code: dict[tuple[str, ...], str] = {}

    def of(self, config: Config) -> str:
        """The identity of one job; raises `DataError` when its data cannot be used."""
        data, cases = self._material(config)
        told = {"config": config.identity, "data": data, "cases": cases, "code": self._code_of(config)}
        return digest_values(told)

    def _code_of(self, config: Config) -> str:
        targets = (RUN, *sorted(targets_in(config.resolved)))
        if targets not in self._code:
            self._code[targets] = digest_files(sources_of(targets), {})
        return self._code[targets]

    def _material(self, config: Config) -> tuple[str, str]:
        key = json.dumps([config.data.target, dict(config.data.arguments)], sort_keys=True)
        if key not in self._known:
            source = config.data.build()
            groups = [(case.id, case.group) for case in source.cases]
            files = any(case.image for case in source.cases)
            split = {name: list(ids) for name, ids in source.split.items()} if source.split is not None else None
            with remembered(Path(config.data_card.cache_dir)) if files else nullcontext():
                digest = str(source.digest())
            # The names of classes, and which of them count, are of the settings where a file of labels says them.
            told = {"groups": groups, "split": split, "task": asdict(source.task)}
            self._known[key] = digest, digest_values(told)
        return self._known[key]
