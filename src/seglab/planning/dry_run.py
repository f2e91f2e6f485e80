"""A few steps of a run, for their time and memory: in a process of its own, which nothing else has used before.

`measured` starts it; `python -m seglab.planning.dry_run` is what runs there. It goes the way of a run, from the files
to scored cases, and records nothing.
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seglab.errors import TrainingError

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.figure import Figure

    from seglab.data.loading.training_data import TrainingData
    from seglab.training.loader import BatchSource

# Of an epoch, so that steps are measured while the next batches are made.
STEPS = 3
EPOCHS = 3  # the first one compiles
CASES_SCORED = 2
# What records and draws: it is a tenth of the memory of a small run.
_LOADED_BY_A_RUN = ("seglab.tracking.tracker", "seglab.viz.figures", "seglab.inference.pyfunc")
_PREVIOUS = "data.previous_stage="
_MARK = "measured: "
_SHOWN = 2000  # last characters of what a process said before it died
_KILLED = -9


@dataclass(frozen=True)
class Measured:
    """What a configuration took.

    Attributes:
        memory_mb: the most that the process held.
        begin_seconds: from its start to the first step, with the cases prepared already, training samples drawn.
        compile_seconds: what the first steps took more than later ones.
        step_seconds: of a training step with its batch.
        val_seconds: of a validation step.
        end_seconds: from the last step on: the network is saved, loaded, and compiled for a case; pictures are drawn.
        case_seconds: of predicting and scoring a case.
        steps, val_steps: of an epoch of the run.
        test_cases: that the run scores, and `val_cases` that it is watched with.
        parameters: weights of the network.
        device: what it ran on.
    """

    memory_mb: int
    begin_seconds: float
    compile_seconds: float
    step_seconds: float
    val_seconds: float
    end_seconds: float
    case_seconds: float
    steps: int
    val_steps: int
    test_cases: int
    val_cases: int
    parameters: int
    device: str

    def run_seconds(self, epochs: int) -> float:
        """A whole run of so many epochs."""
        scored = self.case_seconds * (2 * self.test_cases + self.val_cases)  # once for quality, once for the score
        return self.begin_seconds + self.compile_seconds + epochs * self.epoch_seconds + self.end_seconds + scored

    @property
    def epoch_seconds(self) -> float:
        """An epoch with its validation."""
        return self.steps * self.step_seconds + self.val_steps * self.val_seconds


def measured(words: Sequence[str]) -> Measured:
    """Run a few steps of the config that some words make. Where these say `data.previous_stage`, whose masks need not
    be there yet, labels take the place of the masks.

    Raises:
        TrainingError: the process did not come to its end, with what it said last.
    """
    command = [sys.executable, "-m", "seglab.planning.dry_run"]
    alone = [word for word in words if not word.startswith(_PREVIOUS)]
    second = len(alone) < len(words)
    request = json.dumps({"words": alone, "second_stage": second, "began": time.time()})
    done = subprocess.run(command, input=request, capture_output=True, text=True, check=False)
    found = [line for line in done.stdout.splitlines() if line.startswith(_MARK)]
    if done.returncode == 0 and found:
        return Measured(**json.loads(found[-1].removeprefix(_MARK)))
    killed = done.returncode == _KILLED
    raise TrainingError(
        "a dry run that did not finish",
        code="plan-dry-run",
        where=" ".join(words),
        found="killed, as happens where the memory is used up" if killed else done.stderr.strip()[-_SHOWN:],
        expected=f"{STEPS} steps and a scored case",
        remedy="a smaller budget.memory_gb makes a smaller plan" if killed else "mend what it says; or measure=never",
    )


class _FirstBatches:
    """The first batches of a split, as if there were no more."""

    def __init__(self, batches: Any):
        self._batches, self.workers, self.epoch = batches, batches.workers, 0

    def __len__(self) -> int:
        return min(STEPS, len(self._batches))

    def __getitem__(self, step: int) -> tuple[np.ndarray, np.ndarray]:
        self._batches.epoch = self.epoch
        found: tuple[np.ndarray, np.ndarray] = self._batches[step]
        return found

    def case_ids(self, step: int) -> list[str]:
        self._batches.epoch = self.epoch
        found: list[str] = self._batches.case_ids(step)
        return found


def _measure(words: Sequence[str], second_stage: bool, began: float, place: Path) -> Measured:
    from seglab.command import composed_config
    from seglab.config.run_config import load_config
    from seglab.data.loading.training_data import gather
    from seglab.experiment.backend import check_backend, load_backend
    from seglab.experiment.record import draw_samples
    from seglab.experiment.run_parts import assemble, bundle_of, make_augmentation
    from seglab.run_record import Artifact, Metric, Tag

    config = load_config(composed_config(words))
    check_backend(config.backend)
    training_data = gather(config)
    if second_stage:
        from seglab.planning.stand_in_masks import behind_labels

        training_data = behind_labels(training_data, place)
    augmentation = make_augmentation(config, training_data.task)
    load_backend(config.backend, config.trainer.deterministic)
    from seglab.evaluation.scoring import score_cases
    from seglab.inference.bundle import save_bundle
    from seglab.inference.predictor import Predictor
    from seglab.runtime.memory import peak_memory
    from seglab.viz.figures import case_panels, curves, pick_examples

    for name in _LOADED_BY_A_RUN:
        importlib.import_module(name)
    parts = assemble(config, training_data, augmentation)
    first: dict[str, BatchSource] = {name: _FirstBatches(batches) for name, batches in parts.batches.items()}
    epochs: list[dict[str, float]] = []
    if second_stage:
        began += _written(training_data, first)
    _draw(place, {Artifact.TRAINING_SAMPLES: draw_samples(training_data, parts.batches["train"])})
    ready = time.time()
    settings = config.trainer.model_copy(update={"epochs": EPOCHS, "patience_epochs": None})
    replace(parts, batches=first).train(settings, place, lambda values, _: epochs.append(dict(values)), stream=None)
    trained = time.time()
    saved = save_bundle(place / "bundle", parts.model, bundle_of(config, training_data))
    name = next(name for name in ("test", "val", "train") if getattr(training_data.split, name))
    source, cases = training_data.scored(name, config.data_config, config.seed)
    predictor = Predictor.load(saved)
    score_cases(predictor, source, cases[:1])  # compiles
    compiled = time.time()
    scores = score_cases(predictor, source, cases[:CASES_SCORED])
    scored = time.time()
    case_seconds = (scored - compiled) / min(CASES_SCORED, len(cases))
    _draw(place, {Artifact.CURVES: curves(epochs)})
    _draw(place, case_panels(pick_examples(predictor, source, scores.cases), training_data.task))
    end_seconds = time.time() - scored + compiled - trained
    batch = config.data_config.batch_size
    later = epochs[1:]
    step = min(batch / values[Metric.IMAGES_PER_SECOND] for values in later)
    whole = min(values[Metric.EPOCH_SECONDS] for values in later)
    val_steps = len(first["val"]) if "val" in first else 0
    memory = peak_memory()
    return Measured(
        memory_mb=int(memory.get(Tag.PEAK_GPU_MEMORY_MB, memory[Tag.PEAK_MEMORY_MB])),
        begin_seconds=round(ready - began, 2),
        compile_seconds=round(max(epochs[0][Metric.EPOCH_SECONDS] - whole, 0.0), 2),
        step_seconds=round(step, 4),
        val_seconds=round(max(whole - len(first["train"]) * step, 0.0) / val_steps, 4) if val_steps else 0.0,
        end_seconds=round(end_seconds, 2),
        case_seconds=round(case_seconds, 3),
        steps=len(parts.batches["train"]),
        val_steps=len(parts.batches["val"]) if "val" in parts.batches else 0,
        test_cases=len(cases),
        val_cases=len(training_data.split.val),
        parameters=parts.model.count_params(),
        device=parts.device.name,
    )


def _draw(place: Path, pictures: Mapping[str, Figure]) -> None:
    """Draw pictures as a run does, which holds memory that it does not give back."""
    for name, figure in pictures.items():
        figure.savefig(place / f"{Path(name).stem}.png", bbox_inches="tight")


def _written(training_data: TrainingData, first: Mapping[str, BatchSource]) -> float:
    """Read the cases of all batches once, as what a cache has holds them; returns the seconds that this took."""
    start = time.time()
    for batches in first.values():
        for epoch in reversed(range(EPOCHS)):
            batches.epoch = epoch
            for case_id in (one for step in range(len(batches)) for one in batches.case_ids(step)):
                training_data.arrays.read(case_id)
    return time.time() - start


def _main() -> None:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    asked = json.loads(sys.stdin.read())
    with tempfile.TemporaryDirectory() as place:
        print(_MARK + json.dumps(asdict(_measure(**asked, place=Path(place)))))


if __name__ == "__main__":
    _main()
