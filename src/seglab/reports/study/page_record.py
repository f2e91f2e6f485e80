"""What a written page remembers of itself: its runs, those its conclusion is about, and what it said as written."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from seglab.errors import ConfigError
from seglab.reports.comparison.compare import Comparison

BEGIN, END = "<!-- conclusion -->", "<!-- /conclusion -->"
TO_BE_WRITTEN = "To be written by hand, here between the two marks; writing the report again keeps it."
STALE = "> **This conclusion was written for "
_MARK, _CLOSE = "<!-- scripts/report.py: ", " -->"
_LENGTH = 16  # of a digest
_SHORT = 8  # of a run id
_RUN_ID = re.compile(r"(?m)^\| ([0-9a-f]{32}) \|(?:[^|\n]*\|){6,}")  # of a finished run; others have fewer columns
_GIT_SECONDS = 20


@dataclass(frozen=True)
class Basis:
    """The runs that something was written about.

    Attributes:
        runs: the first letters of their ids, in order.
        metric: the score that decided.
        found: digest of each run's score and of the verdict on its variant; empty where it was not kept.
    """

    runs: tuple[str, ...]
    metric: str = ""
    found: str = ""

    @classmethod
    def of(cls, comparison: Comparison) -> Basis:
        """The runs of a comparison with what was found."""
        metric = comparison.settings.metric
        rows = []
        for ranking in comparison.rankings:
            for variant, verdict, mean in zip(ranking.cohort.variants, ranking.verdicts, ranking.means, strict=True):
                rows.append([sorted(run.id for run in variant.runs), verdict.place, f"{mean:.4f}"])
        ids = sorted(run.id[:_SHORT] for run in comparison.found.runs)
        return cls(tuple(ids), metric, _digest(json.dumps(sorted(rows))))

    def change(self, now: Basis) -> str:
        """What this was written for, where that is not what there is `now`; empty where it is."""
        if not self.runs:
            return "runs that are not named"
        if set(self.runs) != set(now.runs):
            still = len(set(self.runs) & set(now.runs))
            named = ", ".join(self.runs[:4]) + (", …" if len(self.runs) > 4 else "")
            of = f"{len(self.runs)} runs" if len(self.runs) != 1 else "1 run"
            return f"other runs ({of}, {named}; {still} of them are among these {len(now.runs)})"
        if self.metric and self.metric != now.metric:
            return f"another score ({self.metric})"
        if self.found and self.found != now.found:
            return "other scores or verdicts of the same runs"
        return ""


@dataclass(frozen=True)
class Record:
    """The last line of a README.

    Attributes:
        page: the runs of the page.
        done, jobs: how many of how many jobs of `study.yaml` had a finished run.
        conclusion: the runs that the conclusion is about; None while there is none.
        text: digest of the conclusion's text.
    """

    page: Basis
    done: int
    jobs: int
    conclusion: Basis | None
    text: str


@dataclass(frozen=True)
class Former:
    """A README as it lies there.

    Attributes:
        conclusion: what a person has written; None so far.
        record: what the page remembers; None for one of before it did.
        listed: the runs that its table lists.
    """

    conclusion: str | None
    record: Record | None
    listed: Basis

    def about(self) -> Basis | None:
        """The runs that the conclusion was written for, none where nothing tells; None without a conclusion.

        A conclusion that was changed since the page was written is about the runs which that page shows.
        """
        if self.conclusion is None:
            return None
        if self.record is None:
            return self.listed
        if self.record.conclusion is None or self.record.text != _digest(self.conclusion):
            return self.record.page
        return self.record.conclusion


def read_former(path: Path) -> Former:
    """What the README that is there keeps; all of it empty without one.

    Raises:
        ConfigError: a README without the two marks: to write over it would lose what a person has written.
    """
    if not path.exists():
        return Former(None, None, Basis(()))
    text = path.read_text(encoding="utf-8")
    if text.count(BEGIN) != 1 or text.count(END) != 1 or text.index(BEGIN) > text.index(END):
        raise ConfigError(
            "a README that would be written over",
            code="report-edited",
            where=str(path),
            found=f"{text.count(BEGIN)} × {BEGIN} and {text.count(END)} × {END}",
            expected="each once, around the words to keep",
            remedy="put the two marks around your conclusion, or move the file away",
        )
    kept = text.partition(BEGIN)[2].partition(END)[0].strip()
    listed = Basis(tuple(sorted({found[:_SHORT] for found in _RUN_ID.findall(text)})))
    return Former(None if kept == TO_BE_WRITTEN or not kept else kept, _record(_noted(text)), listed)


def noting(page: str, record: Record | None = None) -> bytes:
    """The page with a last line that a browser does not show: the digest of what stands above, and the record."""
    noted: dict[str, Any] = {"as_written": _digest(_by_program(page))}
    if record is not None:
        noted |= asdict(record)
    return f"{page.rstrip()}\n\n{_MARK}{json.dumps(noted, separators=(',', ':'))}{_CLOSE}\n".encode()


def make_record(former: Former, now: Basis, done: int, jobs: int, confirmed: bool) -> Record:
    """The record of a page about the runs of `now` that keeps the conclusion of the former one."""
    about = now if confirmed and former.conclusion is not None else former.about()
    return Record(now, done, jobs, about, _digest(former.conclusion) if former.conclusion is not None else "")


def edited_by_hand(path: Path) -> bool:
    """Whether a page holds what writing it again would lose: words of a person outside of the conclusion.

    Not so where the last commit has these words. Of a page of before it remembered its text nobody can tell: it
    counts as edited.
    """
    if not path.exists():
        return False
    text = path.read_text(encoding="utf-8")
    words = _by_program(text)
    return _noted(text).get("as_written") != _digest(words) and not _in_git(path, words)


def _by_program(text: str) -> str:
    """What the program wrote of a page: all but the conclusion, the mark above it, the last line and blank lines."""
    before, _, rest = text.partition(BEGIN)
    lines = [line.rstrip() for line in (before + rest.partition(END)[2]).splitlines()]
    return "\n".join(line for line in lines if line and not line.startswith((_MARK, STALE)))


def _noted(text: str) -> Mapping[str, Any]:
    """The last line as written; empty where it is not there or was damaged."""
    found = text.rpartition(_MARK)[2].partition(_CLOSE)[0] if _MARK in text else ""
    try:
        noted = json.loads(found)
    except (ValueError, RecursionError):
        return {}
    return noted if isinstance(noted, dict) else {}


def _record(noted: Mapping[str, Any]) -> Record | None:
    try:
        about = noted["conclusion"]
        return Record(
            _basis(noted["page"]),
            int(noted["done"]),
            int(noted["jobs"]),
            None if about is None else _basis(about),
            str(noted["text"]),
        )
    except (KeyError, TypeError, ValueError, OverflowError):
        return None


def _basis(noted: Mapping[str, Any]) -> Basis:
    runs: Sequence[Any] = noted["runs"]
    return Basis(tuple(str(run) for run in runs), str(noted["metric"]), str(noted["found"]))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:_LENGTH]


def committed(path: Path) -> bytes | None:
    """What the last commit has of a file; None where there is none."""
    command = ["git", "--no-optional-locks", "-C", str(path.parent), "show", f"HEAD:./{path.name}"]
    try:
        done = subprocess.run(command, capture_output=True, timeout=_GIT_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None


def _in_git(path: Path, words: str) -> bool:
    """Whether the last commit has the file with these words outside of the conclusion."""
    found = committed(path)
    return found is not None and _by_program(found.decode(errors="replace")) == words
