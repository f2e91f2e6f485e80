"""Processes that are kept alive and asked in turn, so that a machine that drifts drifts for all of them."""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
# A worker finds its neighbours and seglab; a peer without it borrows the augmentation.
_PATH = [str(ROOT), str(ROOT / "src"), *filter(None, [os.environ.get("PYTHONPATH")])]


@dataclass(frozen=True)
class Ratio:
    """How many times as fast (or as large) one thing is as another.

    Attributes:
        what: in words.
        value: the median over pairs.
        low, high: the smallest and the largest pair.
        target: what is wanted.
        at_most: the target is an upper bound.
        detail: the absolute medians behind it.
    """

    what: str
    value: float
    low: float
    high: float
    target: float
    at_most: bool
    detail: str

    @property
    def met(self) -> bool:
        """Whether the median reaches the target."""
        return self.value <= self.target if self.at_most else self.value >= self.target


def ratio(
    what: str, above: Sequence[float], below: Sequence[float], target: float, detail: str, *, at_most: bool = False
) -> Ratio:
    """The median of the pairwise ratios `above[i] / below[i]`."""
    pairs = [a / b for a, b in zip(above, below, strict=True)]
    return Ratio(what, statistics.median(pairs), min(pairs), max(pairs), target, at_most, detail)


def keep(
    found: Sequence[Ratio], folder: Path, name: str, lines: Sequence[str] = (), more: Mapping[str, Any] | None = None
) -> None:
    """Print the ratios as a table and keep it as `<name>.md` and `<name>.json` in `folder`.

    Args:
        found: the rows.
        folder: to write to.
        name: of the files.
        lines: in Markdown, to stand below the table.
        more: to stand beside the ratios in JSON.
    """
    rows = ["| ratio | median | pairs | target | | absolute |", "| --- | --- | --- | --- | --- | --- |"]
    for r in found:
        sign, verdict = ("≤" if r.at_most else "≥"), ("met" if r.met else "missed")
        rows.append(
            f"| {r.what} | {r.value:.2f} | {r.low:.2f}–{r.high:.2f} | {sign} {r.target:.2f} | {verdict} | {r.detail} |"
        )
    rows += ["", *lines] if lines else []
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.md").write_text("\n".join(rows) + "\n", encoding="utf-8")
    record: dict[str, Any] = {
        "machine": platform.processor() or platform.machine(),
        "ratios": [asdict(r) for r in found],
    }
    record |= more or {}
    (folder / f"{name}.json").write_text(json.dumps(record, indent=1), encoding="utf-8")
    print("\n".join(["", *rows, "", f"kept in {folder}/{name}.md and {name}.json"]))


class BenchWorker:
    """A process that says `ready`, then answers each line that it is sent with one number.

    Raises:
        RuntimeError: it ended, with the last thing that it said.
    """

    def __init__(self, python: str, script: str, *arguments: str):
        command = [python, str(HERE / script), *arguments]
        # A pipe that nobody reads would fill up and stop the process; closed with the worker.
        self._stderr = tempfile.TemporaryFile("w+")  # noqa: SIM115
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(_PATH)},
        )
        self._answer()

    def ask(self, question: str = "go") -> float:
        """Send one line, wait for the number."""
        assert self.process.stdin is not None
        self.process.stdin.write(question + "\n")
        self.process.stdin.flush()
        return float(self._answer())

    def close(self) -> None:
        """End the process."""
        self.process.kill()
        self.process.wait()
        self._stderr.close()

    def _answer(self) -> str:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith("=> "):
                return line[3:].strip()
        self.process.wait()
        self._stderr.seek(0)
        errors = self._stderr.read()
        raise RuntimeError(f"{' '.join(map(str, self.process.args))} ended:\n{errors[-2000:]}")  # type: ignore[arg-type]


def interleaved(workers: Mapping[str, BenchWorker], rounds: int, warm_up: int = 2) -> dict[str, list[float]]:
    """Ask all workers in turn, `rounds` times after `warm_up` times that do not count: name → numbers."""
    found: dict[str, list[float]] = {name: [] for name in workers}
    for number in range(warm_up + rounds):
        for name, worker in workers.items():
            seconds = worker.ask()
            if number >= warm_up:
                found[name].append(seconds)
        print(f"\r  round {number + 1} of {warm_up + rounds}", end="", file=sys.stderr, flush=True)
    print("\r" + " " * 30 + "\r", end="", file=sys.stderr)
    return found
