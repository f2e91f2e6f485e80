"""Shared by the tests of slides: a study whose scores are known, and its deck read again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest
import toys
from bundled_study import record
from pptx import Presentation
from promotable import GATE

from seglab.registry.promotion import promote
from seglab.reports.study.write_report import write_report
from seglab.tracking.store import open_store

STUDY = "# Which loss finds <small> cells, and what is augmentation worth?\nhydra: {}\n"


MEANS = {("DiceLoss", "NoAugmentation"): 0.6, ("DiceLoss", "Strong"): 0.64}
MEANS |= {("TverskyLoss", "NoAugmentation"): 0.7, ("TverskyLoss", "Strong"): 0.75}


CASES = np.array([0.0, 0.05, 0.1, -0.08])


class Deck:
    """Slides as they are read again."""

    def __init__(self, file: Path):
        self.presentation = Presentation(str(file))
        self.pages = {page.shapes.title.text_frame.text: page for page in self.presentation.slides}

    def table(self, title: str) -> list[list[str]]:
        (shape,) = [shape for shape in self.pages[title].shapes if shape.has_table]
        return [[cell.text_frame.text for cell in row.cells] for row in shape.table.rows]

    def words(self, title: str) -> str:
        shapes = [shape for shape in self.pages[title].shapes if shape.has_text_frame and shape.name == "text"]
        return "\n".join(shape.text_frame.text for shape in shapes)

    def foot(self, title: str) -> str:
        return "".join(shape.text_frame.text for shape in self.pages[title].shapes if shape.name == "runs")

    def notes(self, title: str) -> str:
        return self.pages[title].notes_slide.notes_text_frame.text

    def pictures(self) -> Iterator[Any]:
        yield from (shape for page in self.presentation.slides for shape in page.shapes if shape.shape_type == 13)


class StoreAgain:
    """The store as MLflow itself reads it."""

    def __init__(self, directory: Path):
        self.client = mlflow.MlflowClient(f"sqlite:///{directory / 'mlflow.db'}")
        (experiment,) = [one for one in self.client.search_experiments() if one.name != "Default"]
        self.runs = {run.info.run_id: run for run in self.client.search_runs([experiment.experiment_id])}

    def ids(self, shown: str) -> list[str]:
        """The whole ids of `a1b2c3d4, …`."""
        found = [[run for run in self.runs if run.startswith(short)] for short in shown.split(", ")]
        assert all(len(one) == 1 for one in found), shown
        return [one for (one,) in found]

    def dice(self, run: str, column: str = "dice") -> np.ndarray:
        folder = Path(mlflow.artifacts.download_artifacts(f"{self.runs[run].info.artifact_uri}/test_cases.csv"))
        return pd.read_csv(folder).sort_values("id")[column].to_numpy()

    def mean(self, shown: str, column: str = "dice") -> float:
        return float(np.mean([self.dice(run, column).mean() for run in self.ids(shown)]))

    def seconds(self, run: str) -> float:
        return sum(point.value for point in self.client.get_metric_history(run, "epoch_seconds"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study of four variants and two seeds, of which the best run is complete, exported and promoted."""
    place = tmp_path_factory.mktemp("slides")
    toys.fresh_store(place / "mlruns")
    number = 0
    for (loss, augment), mean in MEANS.items():
        for seed in (0, 1):
            number += 1
            best = (loss, augment, seed) == ("TverskyLoss", "Strong", 1)
            scores = mean + CASES + np.random.default_rng(number).normal(0, 0.01, 4)
            exported = {"export_onnx_float32_dice": 0.7512, "export_onnx_float32_dice_difference": -0.00123}
            run = record(
                place,
                loss,
                scores.tolist(),
                augment=augment,
                seed=seed,
                epoch_seconds=10.0 + number,
                tags={"parameters": str(7000 + number), "peak_memory_mb": str(900 * number)},
                metrics={"test_dice": float(scores.mean()), "val_dice": 0.5 + best / 10, **(exported if best else {})},
                pictures=("training_samples", "test_cases"),
                with_bundle=best or number == 1,
            )
    store = open_store(None, place / "mlruns")
    assert promote(store, store.run(run), "cells", GATE.model_copy(update={"allowed_findings": True})).passed
    (place / "experiments" / "cells").mkdir(parents=True)
    (place / "experiments" / "cells" / "study.yaml").write_text(STUDY)
    return place


def report(folder: Path, **options: object) -> Path:
    """Write the study with its slides; returns their file."""
    kept = {"cases": 0, "slides": True, "directory": folder / "mlruns", "studies": folder / "experiments", **options}
    files = write_report("cells", **kept)  # type: ignore[arg-type]
    (made,) = [file for file in files if file.name == "slides.pptx"]
    return made


@pytest.fixture(scope="module")
def deck(folder: Path) -> Iterator[Deck]:
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("PATH", str(folder))  # no browser: to print takes seconds
        yield Deck(report(folder))


@pytest.fixture(scope="module")
def store(folder: Path) -> StoreAgain:
    return StoreAgain(folder / "mlruns")
