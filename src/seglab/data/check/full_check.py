"""The check that reads every file: in processes, collecting every failure and not the first."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field, replace

import cv2
import numpy as np

from seglab.config.run_config import DataSettings
from seglab.config.sections import DataConfig
from seglab.data.cases import Case, Source
from seglab.data.check.augmenting import CASES, find_lost_in_augmentation
from seglab.data.check.config_conflicts import find_intentions
from seglab.data.check.findings import DataReport, Finding, check_names
from seglab.data.check.quick_check import find_in_split
from seglab.data.check.shrinking import Shrunk, evenly, find_thin_classes, shape_seen, shrinks
from seglab.data.labels.label_map import LabelMap
from seglab.data.labels.label_remedies import UndeclaredLabels
from seglab.data.preprocessing.case_fingerprint import CaseFingerprint, examine
from seglab.data.preprocessing.case_preprocessing import read_labelled
from seglab.data.splits import Split, split_for
from seglab.errors import DataError, naming
from seglab.runtime.waiting import step

MASKS_LOOKED_AT = 200
_CASES_A_TASK = 8  # sent to a process at once

Progress = Callable[[int, int], None]


@dataclass
class ExaminedCase:
    """What reading cases gave: the facts of those that can be read, a row for each that cannot, and those that cannot
    be read for their labels, which `_declare_all` makes rows of."""

    facts: dict[str, CaseFingerprint] = field(default_factory=dict)
    failures: list[Finding] = field(default_factory=list)
    undeclared: list[UndeclaredLabels] = field(default_factory=list)
    counts: list[Shrunk] = field(default_factory=list)


@dataclass(frozen=True)
class FullCheck:
    """A data set after the full check; source and split are None where there is none to speak of."""

    report: DataReport
    source: Source | None = None
    split: Split | None = None
    facts: Mapping[str, CaseFingerprint] = field(default_factory=dict)


def check_full(config: DataSettings, progress: Progress | None = None, processes: int | None = None) -> FullCheck:
    """Build the source, read all its cases, split them, and report whatever is wrong.

    Args:
        config: as a training would take it; without a model too.
        progress: called with the cases read and all of them.
        processes: that read; None: one for each core.

    Raises:
        ConfigError: a setting that cannot work, such as an unknown name in `data.allow`.
        DataError: a reading process was killed.
    """
    card = config.data_config
    check_names(card.allow)
    try:
        source: Source = config.data.build()
    except DataError as error:
        known = error.finding if error.finding != "unusable-case" else "unusable-source"
        return FullCheck(DataReport.of([Finding.from_error(error, known)], card.allow))
    read = read_all(source, card, progress, processes)
    try:
        scored = source.task.scored
        foreground = {i: read.facts[i].share_of(scored) if i in read.facts else 0.0 for i in _ids(source.cases)}
        split = split_for(source, card, config.seed, foreground)
    except DataError as error:
        return FullCheck(DataReport.of([*read.failures, Finding.from_error(error, "no-split")], card.allow), source)
    counts = Shrunk(source.task.unions, source.task.ignore_label)
    for one in read.counts:
        counts.merge(one)
    by_id = {case.id: case for case in source.cases}
    augmented = [by_id[i] for i in evenly([i for i in split.train if i in read.facts], CASES)]
    augmentation = config.augment.build(source.task)
    findings = [
        *read.failures,
        *find_in_split(source, split, read.facts, card, thorough=True),
        *find_thin_classes(counts, card, source.task),
        *find_lost_in_augmentation(source, augmented, augmentation, card, config.seed),
        *find_intentions(config, source, split, read.facts),
    ]
    return FullCheck(DataReport.of(findings, card.allow), source, split, read.facts)


def check_shown(config: DataSettings) -> FullCheck:
    """`check_full`, which says what it is doing when that takes long."""
    with step(f"reading {config.data.name}") as count:
        return check_full(config, count)


def read_all(
    source: Source, card: DataConfig, progress: Progress | None = None, processes: int | None = None
) -> ExaminedCase:
    """Read every case of a source in several processes."""
    ids = _ids(source.cases)
    reader = _Reader(source, card, set(evenly(ids, MASKS_LOOKED_AT)))
    tasks = [ids[start : start + _CASES_A_TASK] for start in range(0, len(ids), _CASES_A_TASK)]
    processes = min(processes or len(os.sched_getaffinity(0)), len(tasks))
    whole = ExaminedCase()
    done = 0

    def take(some: ExaminedCase) -> None:
        nonlocal done
        whole.facts |= some.facts
        whole.failures += some.failures
        whole.undeclared += some.undeclared
        whole.counts += some.counts
        done += len(some.facts) + len(some.failures) + len(some.undeclared)
        if progress is not None:
            progress(done, len(ids))

    if processes == 1:  # a few cases are read before another process would have started
        for part in tasks:
            take(reader.read(part))
        return _declare_all(whole, source)
    # Fresh processes: a fork would copy locks that OpenCV's and the progress bar's threads hold.
    with ProcessPoolExecutor(
        processes, multiprocessing.get_context("spawn"), initializer=_start, initargs=(reader,)
    ) as pool:
        try:
            for some in pool.map(_read_some, tasks):
                take(some)
        except BrokenProcessPool as error:
            raise DataError(
                "a process that read files was killed",
                code="process-killed",
                where=f"after {done} of {len(ids)} cases",
                found="no reason given; the system does this when memory runs out",
                expected=f"memory for {processes} cases at a time",
                remedy="close other programs; the log of the system (dmesg) names what it killed",
            ) from error
    return _declare_all(whole, source)


def _declare_all(whole: ExaminedCase, source: Source) -> ExaminedCase:
    """Rows of the masks with undeclared values, whose remedy declares what all of them hold, beside what the others do:
    following one after the other would take a check for each."""
    labels = getattr(source, "label_map", None)
    rows = [Finding.from_error(error) for error in whole.undeclared]
    if isinstance(labels, LabelMap) and any(error.values for error in whole.undeclared):
        pixels = sum((np.array(one.class_pixels) for one in whole.facts.values()), np.zeros(source.task.classes, int))
        seen = [value for value, n in zip(labels.first_values(), pixels, strict=False) if n]
        held = sorted({value for error in whole.undeclared for value in error.values} | set(seen))
        lossy = any(error.lossy for error in whole.undeclared)
        for n, error in enumerate(whole.undeclared):
            # A mask of black and white alone, where no mask holds a 1, is more likely one than a third class.
            if not set(error.values) <= {0, 255} or 1 in held or lossy:
                rows[n] = replace(rows[n], remedy=labels.remedy_for(held, lossy=lossy))
        greys = [n for n, error in enumerate(whole.undeclared) if error.lossy]
        if len(greys) > 1:  # each has values of its own, which say no more than how many they are
            counts = sorted(len(whole.undeclared[n].values) for n in greys)
            several = f"{len(greys)} masks with greys between black and white: {counts[0]} to {counts[-1]} values each"
            for n in greys:
                rows[n] = replace(rows[n], found=several)
    whole.failures += rows
    whole.undeclared = []
    return whole


class _Reader:
    """Reads cases of a source, collecting what is wrong with them; goes to the reading processes as it is."""

    def __init__(self, source: Source, card: DataConfig, looked_at: set[str]):
        self._source, self._card, self._looked_at = source, card, looked_at
        self._by_id = {case.id: case for case in source.cases}

    def read(self, ids: Sequence[str]) -> ExaminedCase:
        task, some = self._source.task, ExaminedCase()
        counts = Shrunk(task.unions, task.ignore_label)
        for case_id in ids:
            case = self._by_id[case_id]
            try:
                sample = read_labelled(self._source, case)
                facts = examine(sample, task)
                with naming(self._source.describe_files(case)):
                    shrunk = shrinks(self._card, facts.shape, facts.spacing)
            except UndeclaredLabels as error:
                some.undeclared.append(error)
                continue
            except DataError as error:
                some.failures.append(Finding.from_error(error))
                continue
            except Exception as error:
                error.add_note(f"while reading case {case_id}: {self._source.describe_files(case)}")
                raise
            some.facts[case_id] = facts
            if shrunk and case_id in self._looked_at and sample.mask is not None:
                counts.add(sample.mask, shape_seen(self._card, facts.shape, facts.spacing))
        if counts.masks:
            some.counts.append(counts)
        return some


_reader: _Reader  # of a reading process


def _start(reader: _Reader) -> None:
    global _reader
    cv2.setNumThreads(1)
    _reader = reader


def _read_some(ids: Sequence[str]) -> ExaminedCase:
    return _reader.read(ids)


def _ids(cases: Sequence[Case]) -> list[str]:
    return [case.id for case in cases]
