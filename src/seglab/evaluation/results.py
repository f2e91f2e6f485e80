"""What an evaluation leaves behind: tables, metrics and pictures in one folder."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from seglab.errors import TrackingError
from seglab.evaluation.scoring import CaseScores
from seglab.evaluation.subject import EvaluationSubject
from seglab.metrics.calibration import Reliability, bound_reached
from seglab.metrics.shape_scores import HD95, distance_unit, surface_dice_name
from seglab.run_record import EvaluationFile
from seglab.runtime import atomic_files
from seglab.safety.csv_text import csv_text
from seglab.viz.diagrams import confusion_diagram, reliability_diagram, spread_diagram
from seglab.viz.figures import case_panels, pick_examples

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from seglab.inference.predictor import Predictor


# All that `write_results` writes.
_WRITTEN = {EvaluationFile.CASES_PARQUET, EvaluationFile.CASES, EvaluationFile.METRICS, EvaluationFile.CALIBRATION} | {
    f"{name}.png" for name in ("reliability", "confusion", "spread", "cases", "best", "median", "worst")
}


@dataclass(frozen=True)
class ScoreIntervals:
    """How sure a model is and how right.

    Attributes:
        reliability, nll: of its probabilities; mean negative log likelihood in nats.
        temperature: that its logits are divided by; 1 as trained.
    """

    reliability: Reliability
    nll: float
    temperature: float = 1.0


@dataclass(frozen=True)
class CalibrationScores:
    """A model's certainty, as trained and mended.

    Attributes:
        as_trained: of the probabilities as they come.
        scaled: at the temperature of the validation cases; None where there were none apart from the scored ones.
    """

    as_trained: ScoreIntervals
    scaled: ScoreIntervals | None = None

    def metrics(self) -> dict[str, float]:
        """`ece`, `nll`, and with a temperature `temperature`, `temperature_at_bound` (1 where it is an end of the range
        that is searched, and so no fit), `ece_scaled`, `nll_scaled`."""
        found = {"ece": self.as_trained.reliability.ece, "nll": self.as_trained.nll}
        if self.scaled is not None:
            found |= {"temperature": self.scaled.temperature, "ece_scaled": self.scaled.reliability.ece}
            found["temperature_at_bound"] = float(bool(bound_reached(self.scaled.temperature)))
            found["nll_scaled"] = self.scaled.nll
        return found

    def panels(self) -> dict[str, Reliability]:
        """What the reliability diagram shows."""
        found = {"As trained": self.as_trained.reliability}
        if self.scaled is not None:
            found[f"Temperature {self.scaled.temperature:.2f}"] = self.scaled.reliability
        return found

    def line(self) -> str:
        """For a terminal."""
        line = f"calibration ECE {self.as_trained.reliability.ece:.4f}, NLL {self.as_trained.nll:.4f}"
        if self.scaled is None:
            return f"{line}; no validation cases apart from these to fit a temperature on"
        after = f"ECE {self.scaled.reliability.ece:.4f}, NLL {self.scaled.nll:.4f}"
        line = f"{line}; with temperature {self.scaled.temperature:.2f} of the validation cases {after}"
        note = bound_reached(self.scaled.temperature)
        return f"{line}\nnote        {note}" if note else line

    def to_dict(self) -> dict[str, Any]:
        """JSON values; None for NaN."""
        found: dict[str, Any] = {key: _finite(value) for key, value in self.metrics().items()}
        if self.scaled is not None and (note := bound_reached(self.scaled.temperature)):
            found["note"] = note
        for name, certainty in (("bins", self.as_trained), ("bins_scaled", self.scaled)):
            if certainty is not None:
                bins = certainty.reliability
                found[name] = {
                    "count": bins.count.astype(int).tolist(),
                    "confidence": [_finite(value) for value in bins.confidence],
                    "accuracy": [_finite(value) for value in bins.accuracy],
                }
        return found


def write_results(
    folder: Path,
    predictor: Predictor,
    subject: EvaluationSubject,
    case_scores: CaseScores,
    metrics: Mapping[str, float],
    calibration: CalibrationScores,
    tolerance: float,
) -> None:
    """Writes the tables, metrics and pictures of an evaluation into `folder`, which is made anew.

    Raises:
        TrackingError: no room or no permission; what was there before is left whole.
    """
    figures = _figures(predictor, subject, case_scores, calibration, tolerance)
    with _in_whole(folder) as part:
        case_scores.cases.to_parquet(part / EvaluationFile.CASES_PARQUET, index=False)
        (part / EvaluationFile.CASES).write_text(csv_text(case_scores.cases), encoding="utf-8")
        _write_json(part / EvaluationFile.METRICS, {key: _finite(value) for key, value in metrics.items()})
        _write_json(part / EvaluationFile.CALIBRATION, calibration.to_dict())
        for name, figure in figures.items():
            figure.savefig(part / f"{name}.png", bbox_inches="tight")


def check_place(folder: Path, inputs: Iterable[str] = ()) -> None:
    """See that results can be written to a folder, made or yet to be made, before the work is done.

    Args:
        folder: that of `write_results`, which makes it anew.
        inputs: files that are read.

    Raises:
        TrackingError: they cannot, or the folder holds what is no result of an evaluation and would be lost.
    """
    there = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    if not (there.is_dir() and os.access(there, os.W_OK)):
        raise _unwritable(folder, f"{there} can only be read" if there.is_dir() else f"{there} is a file")
    kept = {Path(file).name for file in inputs if Path(file).resolve().is_relative_to(folder.resolve())}
    held = {entry.name for entry in folder.iterdir()} if folder.is_dir() else set()
    foreign = sorted(kept | (held if held and EvaluationFile.METRICS not in held else held - _WRITTEN))
    if foreign or folder.is_symlink():
        raise TrackingError(
            "a folder in the place of the results, which holds something else",
            code="results-place-taken",
            where=str(folder),
            found=", ".join(foreign[:5]) or "a link to another folder",
            expected="no such folder, or the results of an evaluation, which are replaced",
            remedy="give another folder: out=…",
        )


def _figures(
    predictor: Predictor,
    subject: EvaluationSubject,
    case_scores: CaseScores,
    calibration: CalibrationScores,
    tolerance: float,
) -> dict[str, Figure]:
    """The pictures by name."""
    task = subject.bundle.task
    run = subject.found.run
    title = f"{run.info.run_name}: {subject.name}" if run else subject.name
    unit, nsd = distance_unit(task), surface_dice_name(task, tolerance)
    panels = {"dice": "Dice", nsd: f"Surface Dice at {tolerance:g} {unit}", HD95: f"HD95 in {unit}"}
    pictures: dict[str, Figure] = {
        "reliability": reliability_diagram(calibration.panels(), title),
        "confusion": confusion_diagram(case_scores.confusion, task, title),
        "spread": spread_diagram(case_scores.cases, panels, task, title),
    }
    examples = pick_examples(predictor, subject.source, case_scores.cases)
    return pictures | case_panels(examples, task)


@contextmanager
def _in_whole(folder: Path) -> Iterator[Path]:
    """A folder to fill, which takes the place of `folder` when that is done."""
    try:
        with atomic_files.folder(folder, replace=True) as part:
            yield part
    except OSError as error:
        raise _unwritable(folder, error.strerror or str(error)) from error


def _unwritable(folder: Path, found: str) -> TrackingError:
    return TrackingError(
        "the results cannot be written",
        code="results-unwritable",
        where=str(folder),
        found=found,
        expected="room and permission; nothing half-written is left",
        remedy="free some space, or give another folder: out=…",
    )


def _write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=1, ensure_ascii=False), encoding="utf-8")


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
