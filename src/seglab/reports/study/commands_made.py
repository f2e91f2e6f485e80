"""The command lines that made the runs of a study, as their sweeps recorded them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

from seglab.comparison.runs import FoundRuns, StoredRun
from seglab.comparison.variants import NO_PART, places
from seglab.reports.study.run_facts import read_json
from seglab.run_record import Artifact, RunRecord
from seglab.safety.secrets import redacted
from seglab.tracking.store import Store

_PLAIN = re.compile(r"[\w.,:=/@%+\[\]{}-]+")
_LINES = 12


def commands_made(store: Store, found: FoundRuns) -> list[str]:
    """One line for each sweep that runs were made by, oldest first, and a remark on runs that no sweep has recorded.

    Words that set no result (where runs are recorded, how they are named, who caches what) are left away, and where
    data lay on the machine is `<folder>`.
    """
    by_parent: dict[str, list[StoredRun]] = {}
    for run in found.runs:
        by_parent.setdefault(RunRecord.of(run).parent_run_id, []).append(run)
    lines: list[str] = []
    unknown = 0
    for parent, runs in by_parent.items():
        jobs = _jobs(store, parent) if parent else []
        if jobs:
            lines += [line for line in _lines(jobs, runs) if line not in lines]
        else:
            unknown += len(runs)
    if unknown:
        which = "these runs" if unknown == len(found.runs) else f"{unknown} of these runs"
        lines.append(f"# the command of {which} is not recorded; the configuration of each is, {Artifact.CONFIG}")
    return lines


def _jobs(store: Store, parent: str) -> list[list[str]]:
    """The words of each job of a sweep."""
    listed: Any = read_json(store, store.run(parent).info.artifact_uri, Artifact.SWEEP_JOBS)
    return [[str(word) for word in job["overrides"]] for job in listed or []]


def _lines(jobs: Sequence[Sequence[str]], runs: Sequence[StoredRun]) -> list[str]:
    """A grid as one line with every value of what varies; what is no grid as a line for each job."""
    elsewhere = {f"data.{name}" for run in runs for name in places(run.params.get("data._target_", ""))}
    settings = [_settings_of(words, elsewhere) for words in jobs]
    values: dict[str, dict[str, None]] = {}
    for job in settings:
        for key, value in job.items():
            values.setdefault(key, {})[value] = None
    distinct = {tuple(job.items()) for job in settings}
    if prod(len(found) for found in values.values()) == len(distinct):
        return [_line({key: ",".join(found) for key, found in values.items()}, several=len(distinct) > 1)]
    lines = [_line(job, several=False) for job in settings[:_LINES]]
    return [*lines, *([f"# and {len(settings) - _LINES} more jobs of this search"] if len(settings) > _LINES else [])]


def _settings_of(words: Sequence[str], elsewhere: set[str]) -> dict[str, str]:
    """The words of a job by their key, the study first."""
    settings = {}
    for word in sorted(words, key=lambda word: not word.startswith("experiment=")):
        key, _, value = word.partition("=")
        bare = key.lstrip("+~")
        if bare in NO_PART or bare.partition(".")[0] in (*NO_PART, "hydra"):
            continue
        settings[key] = "<folder>" if bare in elsewhere else redacted(f"{key}={value}").partition("=")[2]
    return settings


def _line(values: Mapping[str, str], several: bool) -> str:
    words = [f"{key}={value}" for key, value in values.items()]
    quoted = [
        word if _PLAIN.fullmatch(word) or word.endswith("=<folder>") else "'" + word.replace("'", "'\\''") + "'"
        for word in words
    ]
    return " ".join(["seglab train", *(["-m"] if several else []), *quoted])
