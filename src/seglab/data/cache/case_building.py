"""From the files of a case to those of the cache, which are temporary until somebody gives them their names."""

from __future__ import annotations

import io
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from seglab.data.cache.cache_folder import write_temporary
from seglab.data.cases import Case, Source
from seglab.data.preprocessing.case_fingerprint import CaseFingerprint, examine
from seglab.data.preprocessing.case_preprocessing import CaseMetadata, CasePreprocessing, read_labelled
from seglab.data.worker_processes import WorkerFailure, WorkerPool
from seglab.errors import DataError, naming


@dataclass(frozen=True)
class Built:
    """What a builder made of a case: its facts, its outline where arrays were asked for, and the files to commit: the
    temporary one, its name to be, and its CRC-32."""

    facts: CaseFingerprint
    outline: CaseMetadata | None
    files: tuple[tuple[Path, Path, int], ...]
    bytes: int


@dataclass(frozen=True)
class Build:
    """Reads a case, in this process or in a worker's, and leaves temporary files: `(case, key, whole)` → `Built`."""

    source: Source
    preparation: CasePreprocessing
    folder: Path
    tag: str

    def __call__(self, request: tuple[Case, str, bool], memory: memoryview | None = None) -> Built:
        case, key, whole = request
        sample = read_labelled(self.source, case)
        facts = examine(sample, self.source.task)
        if not whole:
            return Built(facts, None, (), 0)
        with naming(self.source.describe_files(case)):
            prepared = self.preparation(sample, self.source.task)
        arrays = {"image": prepared.image, "mask": prepared.mask, "places": prepared.places}
        files: list[tuple[Path, Path, int]] = []
        for kind, array in arrays.items():
            if not array.size:  # no places where whole images are taken
                continue
            path = self.folder / f"{key}.{kind}.npy"
            header = io.BytesIO()
            np.lib.format.write_array_header_1_0(header, np.lib.format.header_data_from_array_1_0(array))
            head, body = header.getvalue(), array.ravel().data
            checksum = zlib.crc32(body, zlib.crc32(head))
            files.append((write_temporary(path, self.tag, [head, body]), path, checksum))
        return Built(facts, prepared.outline, tuple(files), sum(array.nbytes for array in arrays.values()))


def build_in(pool: WorkerPool, request: tuple[Case, str, bool], source: Source) -> Built:
    """What a worker process makes of a case; raises `DataError` where it died or could not."""
    with pool.borrow() as worker:
        try:
            built: Built = worker.ask(request)
        except WorkerFailure as failure:
            raise DataError(
                "a process that reads cases was killed" if failure.died else "a case that cannot be read",
                code="process-killed" if failure.died else "case-unreadable",
                where=f"case {request[0].id}: {source.describe_files(request[0])}",
                found=failure.reason,
                remedy="the system kills processes when memory runs out (dmesg names them): close other programs"
                if failure.died
                else "check the case's files, or leave the case out",
            ) from failure
        return built
