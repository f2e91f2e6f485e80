"""The runs of a cross-validation, gathered by configuration and fold, and whether they may be chosen among."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from seglab.comparison.case_tables import CaseTable, read_tables
from seglab.comparison.runs import StoredRun, find_runs
from seglab.comparison.settings import CompareSettings
from seglab.comparison.variants import variants_of
from seglab.data.splits import Split
from seglab.errors import DataError, TrackingError
from seglab.run_record import Artifact, RunRecord, Tag
from seglab.tracking.bundles import run_file
from seglab.tracking.store import Store

Place = tuple[int, str]
"""A fold and the seed of the run that left it out."""
_SHOWN = 8


@dataclass(frozen=True)
class Configuration:
    """Runs that differ in fold and seed alone.

    Attributes:
        label: as `seglab compare` calls it.
        runs: by fold and seed.
        parameters: of its network.
    """

    label: str
    runs: Mapping[Place, StoredRun]
    parameters: int

    @property
    def any_run(self) -> StoredRun:
        """One of them, for what they share."""
        return next(iter(self.runs.values()))


@dataclass(frozen=True)
class CrossValidation:
    """What was found.

    Attributes:
        configurations: one or more, the one with the fewest parameters first.
        places: folds and seeds, the same of every configuration.
        splits: of each place, the same of every configuration.
        groups: of each tested case.
        notes: what a reader must know.
    """

    configurations: Sequence[Configuration]
    places: Sequence[Place]
    splits: Mapping[Place, Split]
    groups: Mapping[str, str]
    notes: Sequence[str]

    @property
    def folds(self) -> int:
        """How many parts the cases were dealt into."""
        return len({fold for fold, _ in self.places})


def gather(store: Store, *, study: str | None = None, runs: Sequence[str] = ()) -> CrossValidation:
    """The cross-validation of a study, or of some runs.

    Raises:
        ConfigError, TrackingError: as `seglab compare` chooses runs.
        DataError: runs that cannot be chosen among: on other data, without folds, with a fold missing, on other
            splits, or with a case that a network has both been trained and tested on. Names them.
    """
    settings = CompareSettings(study=study, runs=list(runs) or None)
    found = find_runs(store, settings)
    _check_data(found.runs)
    _check_folds(found.runs)
    notes: list[str] = []
    configurations = []
    for variant in variants_of(found.runs):
        by_place: dict[Place, StoredRun] = {}
        for run in variant.runs:  # oldest first, so that the newest of a fold stays
            by_place[_place(run)] = run
        if len(by_place) < len(variant.runs):
            notes.append(f"{variant.label}: {len(variant.runs) - len(by_place)} older run(s) of a fold are left out.")
        sizes = [RunRecord.of(run).number(Tag.PARAMETERS) for run in by_place.values()]
        configurations.append(Configuration(variant.label, by_place, int(sizes[0]) if sizes[0] == sizes[0] else 0))
    _check_complete(configurations, found.unfinished)
    places = sorted(configurations[0].runs)
    splits = {place: _same_split(store, configurations, place) for place in places}
    groups = _groups(store, configurations)
    for seed in sorted({seed for _, seed in places}):
        _check_no_leak({place: splits[place] for place in places if place[1] == seed}, configurations[0], groups)
    configurations.sort(key=lambda one: one.parameters)
    return CrossValidation(configurations, places, splits, groups, notes)


def _place(run: StoredRun) -> Place:
    return int(run.params["data.fold"]), run.seed


def _check_data(runs: Sequence[StoredRun]) -> None:
    by_data: dict[str, list[StoredRun]] = defaultdict(list)
    for run in runs:
        by_data[RunRecord.of(run).data_digest].append(run)
    if len(by_data) > 1:
        listed = "; ".join(f"{digest[:12] or 'unknown'}: {_names(some)}" for digest, some in by_data.items())
        raise _refused("runs on different data", "ensemble-data", listed, "runs of one data digest")


def _check_folds(runs: Sequence[StoredRun]) -> None:
    without = [run for run in runs if not run.params.get("data.fold", "").isdigit()]
    if without:
        raise _refused(
            "runs that are no folds of a cross-validation",
            "ensemble-folds",
            _names(without),
            "runs with data.fold=0, 1, …: a choice needs cases that no network was trained on",
            "seglab train -m … data.fold=0,1,2,3,4 data.split_seed=0; or leave these out: runs=<id>,<id>,…",
        )


def _check_complete(configurations: Sequence[Configuration], unfinished: Sequence[StoredRun]) -> None:
    """Every fold, and the same folds and seeds of all configurations."""
    seeds = sorted({seed for one in configurations for _, seed in one.runs})
    folds = {int(run.params.get("data.folds", "0")) for one in configurations for run in one.runs.values()}
    if len(folds) > 1:
        listed = "; ".join(f"{one.label}: {one.any_run.params['data.folds']}" for one in configurations)
        raise _refused("runs of different numbers of folds", "ensemble-folds", listed, "one data.folds for all")
    (count,) = folds
    missing = []
    for one in configurations:
        lacking = [f"{fold} of seed {seed}" for fold in range(count) for seed in seeds if (fold, seed) not in one.runs]
        if lacking:
            missing.append(f"{one.label}: fold {', '.join(lacking[:_SHOWN])}")
    if missing:
        ended = f"; not finished: {', '.join(f'{run.short} {run.status}' for run in unfinished[:_SHOWN])}"
        raise _refused(
            "folds that are missing",
            "ensemble-folds",
            "; ".join(missing) + (ended if unfinished else ""),
            f"a finished run of each of {count} folds of every configuration, with the same seeds",
            "start the same sweep again, which trains what is missing; or leave that configuration out: runs=<id>,…",
        )


def _same_split(store: Store, configurations: Sequence[Configuration], place: Place) -> Split:
    runs = [one.runs[place] for one in configurations]
    digests = {RunRecord.of(run).split_digest for run in runs}
    if len(digests) > 1:
        listed = "; ".join(f"{run.short}: {RunRecord.of(run).split_digest[:12]}" for run in runs)
        raise _refused(
            f"runs of fold {place[0]} over different splits",
            "ensemble-splits",
            listed,
            "one split digest for each fold, so that all are scored on the same unseen cases",
            "train all of them with the same data.split_seed, data.folds and data.split",
        )
    try:
        return Split.from_json(run_file(store, store.run(runs[0].id), Artifact.SPLIT).read_text(encoding="utf-8"))
    except (json.JSONDecodeError, KeyError) as error:
        raise TrackingError(
            "a recorded split that cannot be read",
            code="artifact-missing",
            where=f"{Artifact.SPLIT} of run {runs[0].short}",
            found=str(error),
            remedy="restore it from a copy of the folder of runs",
        ) from error


def _groups(store: Store, configurations: Sequence[Configuration]) -> dict[str, str]:
    runs = [run for one in configurations for run in one.runs.values()]
    tables, lacking = read_tables(store, runs, Artifact.TEST_CASES)
    if lacking:
        named = "; ".join(f"{run.short}: {lacking[run.id]}" for run in runs if run.id in lacking)
        raise _refused("runs without the scores of their test cases", "ensemble-folds", named, Artifact.TEST_CASES)
    return {case: group for table in tables.values() for case, group in _pairs(table)}


def _pairs(table: CaseTable) -> Sequence[tuple[str, str]]:
    return list(zip(table.ids, table.groups, strict=True))


def _check_no_leak(splits: Mapping[Place, Split], one: Configuration, groups: Mapping[str, str]) -> None:
    """No case, and no case of its group, is trained on where it is tested, or tested twice."""
    tested: dict[str, Place] = {}
    group_place: dict[str, Place] = {}
    leaks = []
    for place, split in splits.items():
        run = one.runs[place].short
        both = sorted(set(split.test) & {*split.train, *split.val})
        if both:
            leaks.append(f"{run}: {', '.join(both[:_SHOWN])} tested and trained on")
        for case in split.test:
            if case in tested:
                leaks.append(f"{case}: tested in fold {tested[case][0]} and in fold {place[0]}")
            tested[case] = place
            group = groups.get(case, case)
            if group_place.setdefault(group, place) != place and case not in leaks:
                leaks.append(f"group {group}: tested in fold {group_place[group][0]} and in fold {place[0]}")
    if leaks:
        more = f" and {len(leaks) - _SHOWN} more" if len(leaks) > _SHOWN else ""
        raise _refused(
            "folds that leak: what is tested was seen in training",
            "ensemble-leak",
            "; ".join(dict.fromkeys(leaks[:_SHOWN])) + more,
            "each case, and each group, tested in one fold and trained on in the others",
            "deal the folds anew, whole groups together: data.group_pattern=…, one data.split_seed for all of them",
        )


def _names(runs: Sequence[StoredRun]) -> str:
    more = f" and {len(runs) - _SHOWN} more" if len(runs) > _SHOWN else ""
    return ", ".join(run.short for run in runs[:_SHOWN]) + more


def _refused(what: str, code: str, found: str, expected: str, remedy: str = "") -> DataError:
    return DataError(
        what,
        code=code,
        where="study",
        found=found,
        expected=expected,
        remedy=remedy or "name runs that belong together: runs=<id>,<id>,…",
    )
