"""What makes two jobs the same job: the settings, the data, the split and the code."""

from __future__ import annotations

import json
from contextlib import nullcontext
from functools import cache
from pathlib import Path

from seglab.config import Config
from seglab.data.digest import digest_files, digest_values, remembered

PACKAGE = Path(__file__).resolve().parents[1]


@cache
def code_digest() -> str:
    """SHA-256 of every source file of this package: the code that runs, committed or not."""
    files = {str(path.relative_to(PACKAGE)): path for path in PACKAGE.rglob("*.py")}
    return digest_files(files, {})


class JobIdentity:
    """Computes identities, reading each data set only once.

    The identity of a job is a SHA-256 of its resolved config (less names, store and places on disk), the contents of
    its data, what its split is made of (ids and groups of the cases, and the data set's own split), and the code. The
    seed and all settings of the split are in the config.
    """

    def __init__(self) -> None:
        self._known: dict[str, tuple[str, str]] = {}

    def of(self, config: Config) -> str:
        """The identity of one job; raises `DataError` when its data cannot be used."""
        data, cases = self._material(config)
        return digest_values({"config": config.identity, "data": data, "cases": cases, "code": code_digest()})

    def _material(self, config: Config) -> tuple[str, str]:
        key = json.dumps([config.data.target, dict(config.data.arguments)], sort_keys=True)
        if key not in self._known:
            source = config.data.build()
            groups = [(case.id, case.group) for case in source.cases]
            files = any(case.image for case in source.cases)
            split = {name: list(ids) for name, ids in source.split.items()} if source.split is not None else None
            with remembered(Path(config.data_card.cache_dir)) if files else nullcontext():
                digest = str(source.digest())
            self._known[key] = digest, digest_values({"groups": groups, "split": split})
        return self._known[key]
