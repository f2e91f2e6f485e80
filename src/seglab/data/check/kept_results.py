"""Answers of a check that take long, kept in the cache's folder by what they are the answer to."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

import numpy as np
import scipy

from seglab.data.cache.cache_records import DamagedRecord, read_record, record_bytes
from seglab.data.check.findings import KINDS, Finding
from seglab.data.digest import digest_values
from seglab.runtime.atomic_files import write_bytes

FOLDER = "answers"
_WORTH_KEEPING = 2.0  # seconds of a processor
# What decides the answers, beside the question: the modules of the check, and those that they compute with.
_CODE = (
    *Path(__file__).parent.glob("*.py"),
    *(Path(__file__).parents[1] / "preprocessing" / f"{n}.py" for n in ("image_detail", "geometry")),
)

Answer = Callable[[], Sequence[Finding]]


class KeptResults:
    """Findings that were found before, by a digest of the question, the code and its libraries.

    Args:
        cache: the folder of `data.cache_dir`; None keeps nothing. One that cannot be written costs time alone.
    """

    def __init__(self, cache: Path | None):
        self._folder = None if cache is None else cache / FOLDER

    def known(self, question: object) -> list[Finding] | None:
        """The answer, if there is one that is whole."""
        if self._folder is None:
            return None
        file = self._file(question)
        try:
            record = read_record(file)
        except DamagedRecord:
            return None
        if not isinstance(record, dict) or record.get("name") != file.name:  # the answer to another question
            return None
        if any(row["name"] not in KINDS for row in record["findings"]):
            return None
        return [Finding(**{**row, "paste": tuple(map(tuple, row["paste"]))}) for row in record["findings"]]

    def of(self, question: object, answer: Answer) -> list[Finding]:
        """What is known, or what `answer` finds, which is kept if it took long."""
        found = self.known(question)
        if found is not None:
            return found
        began = time.process_time()
        found = list(answer())
        if self._folder is not None and time.process_time() - began > _WORTH_KEEPING:
            self._keep(self._file(question), found)
        return found

    def _file(self, question: object) -> Path:
        assert self._folder is not None
        code = [file.read_text(encoding="utf-8") for file in sorted(_CODE)]
        return self._folder / f"{digest_values([question, code, np.__version__, scipy.__version__])[:32]}.json"

    def _keep(self, path: Path, found: Sequence[Finding]) -> None:
        with suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            write_bytes(path, record_bytes({"name": path.name, "findings": [asdict(finding) for finding in found]}))
