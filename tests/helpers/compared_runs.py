"""Shared by the tests of comparisons: runs with scores, recorded and compared."""

from __future__ import annotations

from pathlib import Path

import pytest
import toys
from recorded_runs import Recorder, level

from seglab.comparison.settings import CompareSettings
from seglab.reports.comparison.compare import Comparison, compare, open_runs


@pytest.fixture
def recorder(tmp_path: Path) -> Recorder:
    return Recorder(toys.fresh_store(tmp_path / "mlruns"))


def compared(recorder: Recorder, **settings: object) -> Comparison:
    chosen = CompareSettings.model_validate({**settings})
    return compare(chosen, open_runs(chosen, recorder.store.directory))


def grid(recorder: Recorder, seeds: int = 3) -> None:
    """Two losses with and without augmentation: the loss is worth 0.1, the augmentation 0.05."""
    tags = {"study": "grid", "peak_memory_mb": "1536"}
    for seed in range(seeds):
        for loss, gain in (("DiceLoss", 0.0), ("FocalLoss", 0.1)):
            for augment, more in (("NoAugmentation", 0.0), ("Light", 0.05)):
                recorder.run(level(0.6 + gain + more), loss=loss, augment=augment, seed=seed, tags=tags)
