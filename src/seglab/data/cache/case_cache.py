"""Decoded cases on disk: written once, mapped into memory from then on.

A case is keyed by the contents of its files, the settings it is read and prepared with, and the code and the libraries
that do so: whatever changes one of them finds nothing and builds anew, so that nothing stale is ever read. The record
of a case is written last, with a CRC-32 of each of its files and of itself, and all of them are checked before a run
begins: what was cut off, what a disk has changed or a person zeroed is built anew. That reads every file once (7 GB/s
of one core beside the disk), and takes the place of waiting for the disk at each file that is written. A record of the
code before, without these sums, is built anew too. Arrays are `.npy` files in the number type of the image file, one
each for image, mask and places to draw around. They are not compressed: of photographs of 360×480, Blosc2 with LZ4
saves 16% of the room and takes as long to read, with Zstandard 42% and three times as long; and of a mapped volume no
more than the patch is read.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path
from typing import Any

import cv2

from seglab.data.cache.cache_folder import CacheFolder, Claim, cannot_write, commit, sum_of_file, write_temporary
from seglab.data.cache.cache_records import DamagedRecord, read_record, record_bytes
from seglab.data.cache.case_building import Build, Built, build_in
from seglab.data.cache.on_disk import DiskCaseStore
from seglab.data.cases import Case, Source
from seglab.data.digest import DataDigest, FileDigests, digest_files, digest_values
from seglab.data.preprocessing.case_fingerprint import CaseFingerprint
from seglab.data.preprocessing.case_preprocessing import CaseMetadata, CasePreprocessing
from seglab.data.worker_processes import WorkerPool
from seglab.errors import DataError
from seglab.runtime.source_files import sources_of
from seglab.runtime.waiting import step

# Below so many cases for each, processes take longer to start than they save.
CASES_A_PROCESS = 16
_THREADS = 4
_CASES_A_CHECK = 64  # whose files are checked by a thread at a time
_NAMED = 3  # damaged cases that are named
# What turns files into arrays, beside OpenCV, which is distributed under several names.
_DECODERS = ("pillow", "tifffile", "imagecodecs", "nibabel")

Say = Callable[[str], None]
# Facts and outline of a case where they are there and whole, and in a word what is damaged of it.
FoundCase = tuple[CaseFingerprint | None, CaseMetadata | None, str]


class Cache:
    """Facts and arrays of the cases of a source, from the cache's folder or built into it.

    Args:
        source: whose cases have files.
        digest: of the source.
        preparation: what is done to each case once.
        root, gigabytes: as of `CacheFolder`.
        say: receives what the user should know.
        processes: that build at the same time; None: as many as there are cores, for few cases fewer.
    """

    def __init__(
        self,
        source: Source,
        digest: str,
        preparation: CasePreprocessing,
        root: Path,
        gigabytes: float,
        *,
        say: Say = lambda _: None,
        processes: int | None = None,
    ):
        self._source, self._preparation, self._say = source, preparation, say
        self._processes = processes
        self._cache = CacheFolder(root, gigabytes)
        # A digest of an unknown make stands for its settings too: every change of any file builds all anew.
        reading = digest.reading if isinstance(digest, DataDigest) else str(digest)
        settings = {
            "reader": f"{type(source).__module__}.{type(source).__qualname__}",
            "reading": reading,
            "classes": source.task.classes,
            "ignore_label": source.task.ignore_label,
            "preparation": preparation.to_dict(),
            "code": code_digest(type(source)),
            "libraries": {name: version(name) for name in _DECODERS} | {"opencv": cv2.__version__},
        }
        self._name = digest_values(settings)[:16]
        self._folder = root / self._name
        known, sums = (digest.sums if isinstance(digest, DataDigest) else {}), FileDigests()
        self._keys = {case.id: _key(case, known, sums) for case in source.cases if case.image}

    def collect(
        self, whole: Sequence[Case], examined: Sequence[Case] = ()
    ) -> tuple[dict[str, CaseFingerprint], DiskCaseStore]:
        """Facts of all these cases, arrays of `whole`; what is not there yet is built, by several processes.

        Raises:
            DataError: a case that cannot be read (the first in order), a folder that cannot be written, is full, or may
                not hold so much.
        """
        ids = {case.id for case in whole}
        cases = list({case.id: case for case in [*whole, *examined]}.values())
        claim = self._cache.claim([f"{self._name}/{self._keys[case.id]}" for case in cases])
        facts: dict[str, CaseFingerprint] = {}
        outlines: dict[str, CaseMetadata] = {}
        missing, damaged = [], []
        for case, (found, outline, damage) in zip(cases, self._check_cases(cases, ids), strict=True):
            if found is not None:
                facts[case.id] = found
            if outline is not None:
                outlines[case.id] = outline
            if found is None or (case.id in ids and outline is None):
                missing.append(case)
            if damage:
                damaged.append(f"{case.id} ({damage})")
        if damaged:
            shown = ", ".join(damaged[:_NAMED]) + (", …" if len(damaged) > _NAMED else "")
            self._say(f"{len(damaged)} of {len(cases)} cases damaged in {self._folder}, built anew: {shown}")
        if missing:
            if claim is None:
                raise cannot_write(self._folder, OSError(30, os.strerror(30)), 0)
            for case, built in zip(missing, self._build(missing, ids, claim), strict=True):
                facts[case.id] = built.facts
                if built.outline is not None:
                    outlines[case.id] = built.outline
        ordered = {case.id: facts[case.id] for case in cases}
        return ordered, DiskCaseStore(self._folder, {i: self._keys[i] for i in ids}, outlines, claim)

    def _check_cases(self, cases: list[Case], whole: Collection[str]) -> Iterator[FoundCase]:
        """What is there of each case, in order, with every file checked."""
        tasks = [cases[start : start + _CASES_A_CHECK] for start in range(0, len(cases), _CASES_A_CHECK)]
        done = 0
        with step("checking cached cases") as count, ThreadPoolExecutor(_THREADS) as pool:
            for found in pool.map(lambda some: [self._found(case, case.id in whole) for case in some], tasks):
                yield from found
                done += len(found)
                count(done, len(cases))

    def _found(self, case: Case, whole: bool) -> FoundCase:
        """Facts and outline of a case, as far as they are there whole, and what is damaged of it."""
        facts, outline = None, None
        try:
            found = self._record(case, "facts")
            facts = None if found is None else CaseFingerprint.from_dict(found)
            found = self._record(case, "arrays") if whole else None
            outline = None if found is None else CaseMetadata.from_dict(found)
        except DamagedRecord as damage:
            return facts, outline, str(damage)
        return facts, outline, ""

    def _record(self, case: Case, kind: str) -> dict[str, Any] | None:
        path = self._folder / f"{self._keys[case.id]}.{kind}.json"
        record = read_record(path)
        if record is not None and record.pop("name", None) != path.name:  # another one, whose files are whole
            raise DamagedRecord("record")
        files = {} if record is None else record.pop("files")
        for name, (size, checksum) in files.items():
            if sum_of_file(path.with_name(name)) != (size, checksum):
                raise DamagedRecord(name.split(".")[-2])
        return record

    def _build(self, cases: list[Case], whole: Collection[str], claim: Claim) -> list[Built]:
        task = Build(self._source, self._preparation, self._folder, claim.tag)
        requests = [(case, self._keys[case.id], case.id in whole) for case in cases]
        processes = self._processes or min(len(os.sched_getaffinity(0)), len(cases) // CASES_A_PROCESS)
        pool = WorkerPool(task, processes) if processes > 1 else None

        def build(request: tuple[Case, str, bool]) -> Built:
            return task(request) if pool is None else build_in(pool, request, self._source)

        now = FileDigests()
        results: list[Built] = []
        finishing: list[Future[None]] = []
        try:
            # Bringing files to the disk is waiting; meanwhile the next cases are decoded.
            with (
                step("reading cases") as count,
                ThreadPoolExecutor(_THREADS) as disk,
                ThreadPoolExecutor(processes if pool else _THREADS) as builders,
            ):
                for request, built in zip(requests, builders.map(build, requests), strict=True):
                    results.append(built)
                    removed, freed = self._cache.make_room(claim, built.bytes, len(results), len(cases))
                    if removed:
                        self._say(f"{removed} cases that nobody is using, {freed / 1e6:,.0f} MB, made room for these")
                    finishing.append(disk.submit(self._finish, *request[:2], built, claim.tag, now))
                    count(len(results), len(cases))
                for future in finishing:
                    future.result()
        finally:
            if pool is not None:
                pool.close()
            for rest in self._folder.glob(f"{claim.tag}.*.tmp"):  # of what was cut short
                rest.unlink(missing_ok=True)
        size = sum(built.bytes for built in results)
        self._say(f"{len(cases)} cases read, {size / 1e6:,.0f} MB kept in {self._folder}")
        return results

    def _finish(self, case: Case, key: str, built: Built, tag: str, now: FileDigests) -> None:
        """Give the files their names, then write the records that say they are there; not for files that are no longer
        what they were when the digest was taken, by which they would be found again."""
        if _key(case, {}, now) != key:
            raise _changed(case, self._source)
        for temporary, path, _ in built.files:
            commit(temporary, path)
        records: list[tuple[str, dict[str, Any]]] = [("facts", {**built.facts.to_dict(), "files": {}})]
        if built.outline is not None:
            files = {path.name: (path.stat().st_size, checksum) for _, path, checksum in built.files}
            records.append(("arrays", {**built.outline.to_dict(), "files": files}))
        for kind, record in records:
            path = self._folder / f"{key}.{kind}.json"
            commit(write_temporary(path, tag, [record_bytes({**record, "name": path.name})]), path)


def _changed(case: Case, source: Source) -> DataError:
    return DataError(
        "a file that changed while it was read",
        code="file-changed",
        where=f"case {case.id}: {source.describe_files(case)}",
        found="other contents than when the digest of the data was taken",
        remedy="start again when nobody is writing to it",
    )


def code_digest(reader: type) -> str:
    """SHA-256 of the source that shapes a decoded case: whoever changes any of it need bump no version.

    This is the source of this module, of the reader and its bases, and what of `data` and of the user's own they can
    reach.
    """
    kinds = reader.__mro__[:-1]
    reached = sources_of(f"{module}.x" for module in (__name__, *(kind.__module__ for kind in kinds)))
    files = {name: file for name, file in reached.items() if f"{name}.".startswith("seglab.data.")}
    files |= {name: file for name, file in reached.items() if name.partition(".")[0] != "seglab"}
    for kind in kinds:  # one that was made in a script or a notebook has no dotted path
        file = getattr(sys.modules.get(kind.__module__), "__file__", None)
        files = ({kind.__module__: Path(file)} if file else {}) | files
    return digest_files(files, {})


def _key(case: Case, known: Mapping[str, str], sums: FileDigests) -> str:
    """The name of a case in its folder. The id counts because readers may go by it, as for pages of one file."""
    files = [*case.image, *(file for file in (case.label, case.region, case.previous) if file)]
    return digest_values([case.id, [known.get(path) or sums.of(Path(path)) for path in files]])[:32]
