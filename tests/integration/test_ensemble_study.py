"""A small study, trained: its folds become one model that is predicted with, promoted, exported and served."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from seglab.inference.bundle import read_bundle
from seglab.inference.predictor import Predictor
from seglab.serving.exported_model import load_model
from seglab.tracking.bundles import find_bundle

GATE = """rules:
  - {metric: test_dice, direction: higher, threshold: 0.0, not_worse_than_champion: true}
allowed_findings: true
"""


def seglab(where: Path, *words: str, code: int = 0) -> str:
    command = [sys.executable, "-m", "seglab", *words]
    done = subprocess.run(command, cwd=where, capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.mark.slow
def test_from_a_sweep_to_a_champion(tmp_path: Path) -> None:
    (tmp_path / "conf" / "gate").mkdir(parents=True)
    (tmp_path / "conf" / "gate" / "any.yaml").write_text(GATE)
    sweep = ["data=synthetic2d", "data.count=16", "data.size=[32,32]", "model=unet_mini", "trainer.epochs=2"]
    sweep += ["data.folds=2", "data.split_seed=0", "tracking.experiment=small"]
    seglab(tmp_path, "train", "-m", *sweep, "data.fold=0")
    refused = seglab(tmp_path, "ensemble", "study=small", code=2)
    assert "fold 1 of seed 42" in refused
    seglab(tmp_path, "train", "-m", *sweep, "data.fold=1")
    output = seglab(tmp_path, "ensemble", "study=small")
    found = re.search(r"run id     (\w{32})", output)
    assert found, output
    run = found[1]
    assert "ensemble   2 networks: UNetMini" in output
    assert "flips along 0, 1" in output
    bundle = find_bundle(run, directory=tmp_path / "mlruns")
    assert len(read_bundle(bundle).members) == 2
    picture = (np.random.default_rng(0).random((50, 40)) * 255).astype(np.uint8)
    cv2.imwrite(str(tmp_path / "a.png"), picture)
    seglab(tmp_path, "predict", run, "a.png", "out=masks", "values=[0,1]")
    mask = cv2.imread(str(tmp_path / "masks" / "a.png"), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(mask, Predictor.load(bundle).predict(picture[..., None]))
    assert "VALIDATED" in seglab(tmp_path, "promote", f"run={run}", "name=small", "gate=any")
    card = next((tmp_path / "mlruns").rglob("MODEL_CARD.md")).read_text()
    assert "not by all 2 together" in card
    seglab(tmp_path, "export", "model=models:/small@champion", "format=onnx", "accuracy=false", "out=dist")
    served = load_model(tmp_path / "dist", name="small")
    assert (served.served.members, served.served.run) == (2, run)
    same = served.predictor.predict(picture[..., None]) == Predictor.load(bundle).predict(picture[..., None])
    assert same.mean() > 0.99, "trained in bfloat16 where the processor has it, exported in float32"
    assert "no flips" in seglab(tmp_path, "ensemble", "study=small", "flips=[]"), "it can be made again"
