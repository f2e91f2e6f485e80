"""What makes two jobs the same job: the settings, the data, the split and the code."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any

from seglab.config.run_config import Config
from seglab.data.digest import digest_files, digest_values, remembered
from seglab.runtime.source_files import sources_of

RUN = "seglab.experiment.run.run"


def targets_in(part: object) -> set[str]:
    """Every `_target_` of a config, however deep."""
    if isinstance(part, Mapping):
        below = set().union(*(targets_in(value) for value in part.values()))
        return below | ({str(part["_target_"])} if "_target_" in part else set())
    return set().union(*(targets_in(value) for value in part)) if isinstance(part, list) else set()


class JobIdentity:
    """Computes identities, reading each data set only once.

    The identity of a job is a SHA-256 of its resolved config (less names, store and places on disk), the contents of
    its data, what its split is made of (ids and groups of the cases, and the data set's own split or folds), its
    classes, and the code that a run can reach: from `seglab.experiment.run.run` and from each `_target_`, the user's
    own included, so that an edited report is no other job. The seed and all settings of the split are in the config.
    """

    def __init__(self) -> None:
        self._known: dict[str, tuple[str, str]] = {}
        self._code: dict[tuple[str, ...], str] = {}

    def of(self, config: Config) -> str:
        """The identity of one job; raises `DataError` when its data cannot be used."""
        data, cases = self._material(config)
        parts = {"config": config.identity, "data": data, "cases": cases, "code": self._code_of(config)}
        return digest_values(parts)

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
            with remembered(Path(config.data_config.cache_dir)) if files else nullcontext():
                digest = str(source.digest())
            # The names of classes, and which of them count, are of the settings where a file of labels says them.
            parts: dict[str, Any] = {"groups": groups, "split": split, "task": asdict(source.task)}
            folds = getattr(source, "folds", None)  # of a file, such as nnU-Net's
            parts |= {"folds": [list(fold) for fold in folds]} if folds else {}
            self._known[key] = digest, digest_values(parts)
        return self._known[key]
