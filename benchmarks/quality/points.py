"""The clock that every system trains by, and the masks that it leaves behind; for any Python, with nothing installed.

The clock of a system starts with its process and stops only while held-out cases are predicted. All that a system does
itself, from its imports over planning and preparing to its own validation, counts.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FILE = "points.jsonl"
# The first point, as a share of the minutes; each further one after so many times the time of the one before.
FIRST, GROWTH = 1 / 40, 1.2


@dataclass(frozen=True)
class Job:
    """What a system is told, as JSON.

    Attributes:
        data: folder as nnU-Net reads it, with `splits_final.json`; `name` is its own, such as Dataset004_Hippocampus.
        fold: whose cases are held out.
        minutes: after so many on its clock it stops.
        out: folder that is the system's own.
        began: when its process was started, in seconds since 1970.
        words: of seglab alone.
        iterations: between two looks at the clock, of nnU-Net alone.
    """

    data: str
    fold: int
    minutes: float
    out: str
    began: float
    words: list[str]
    iterations: int

    @classmethod
    def read(cls, text: str) -> Job:
        """From the JSON of its attributes."""
        return cls(**json.loads(text))

    def cases(self, part: str) -> list[str]:
        """Names of the cases of the fold: `train`, or `val`, which are held out."""
        found: list[str] = json.loads((Path(self.data) / "splits_final.json").read_text())[self.fold][part]
        return found

    def image(self, case: str) -> Path:
        """The file of the only channel of a case."""
        return Path(self.data) / "imagesTr" / f"{case}_0000.nii.gz"

    def label(self, case: str) -> Path:
        """The file of the truth of a case."""
        return Path(self.data) / "labelsTr" / f"{case}.nii.gz"


class Over(Exception):
    """The minutes are over."""


class Points:
    """The clock of a system, and its points: how long it had trained, and the masks that it made then.

    Args:
        job: what the system is told.
        now: seconds since 1970.
    """

    def __init__(self, job: Job, now: Callable[[], float] = time.time):
        self._job, self._now = job, now
        self._paused, self._count = 0.0, 0
        self._due = FIRST * job.minutes * 60
        (Path(job.out) / FILE).write_text("")

    @property
    def seconds(self) -> float:
        """On the clock."""
        return self._now() - self._job.began - self._paused

    @property
    def share(self) -> float:
        """Of the minutes that are over, up to 1."""
        return min(self.seconds / (60 * self._job.minutes), 1.0)

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """What is done here takes no time."""
        began = self._now()
        try:
            yield
        finally:
            self._paused += self._now() - began

    def predict_if_due(self, steps: int, predict: Callable[[Path], None], *, last: bool = False) -> None:
        """Make a point if it is time for one, or the system has come to its own end.

        Args:
            steps: that were trained.
            predict: writes `<case>.nii.gz` of each held-out case to a folder.
            last: whether the system has come to its own end.

        Raises:
            Over: after the point at the end of the minutes.
        """
        over = self.share >= 1
        if not (over or last or self.seconds >= self._due):
            return
        seconds = self.seconds
        self._due = max(self._due, seconds) * GROWTH
        with self.stopped():
            folder = Path(self._job.out) / "masks" / f"{self._count:03d}"
            folder.mkdir(parents=True)
            predict(folder)
            self._tell({"seconds": round(seconds, 2), "steps": steps, "masks": str(folder)})
            self._count += 1
        if over:
            raise Over

    def _tell(self, point: dict[str, Any]) -> None:
        with (Path(self._job.out) / FILE).open("a") as file:
            file.write(json.dumps(point) + "\n")
