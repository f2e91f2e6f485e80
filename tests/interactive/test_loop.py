"""The loop: prompts, accepted masks, a training on them, and the trained model's mask."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from seglab.data.synthetic.road_scenes import make_scene
from seglab.interactive.accepted import AcceptedMasks
from seglab.interactive.grabcut import GrabCut
from seglab.interactive.prompt import box_of
from seglab.interactive.session import Session


@pytest.mark.slow
def test_corrections_go_into_training(tmp_path: Path) -> None:
    accepted = AcceptedMasks(tmp_path / "accepted")
    model = GrabCut()
    for seed in range(8):
        image, _, instances = make_scene(np.random.default_rng(seed))
        car = instances == next(one for one in np.unique(instances) if one // 1000 == 26)
        session = Session(model, model.embed(image))
        reply = session.predict(box=box_of(car))
        accepted.add(image, reply.mask, {"model": model.name})
    words = [
        *("data=image_folder", f"data.root={accepted.folder}", "data.size=[64,64]", "data.batch_size=2"),
        *("model=unet_mini", "loss=dice", "trainer.epochs=1", "data.patches_per_case=1"),
    ]
    done = subprocess.run(
        [sys.executable, "-m", "seglab", "train", *words], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    bundle = next(path.parent for path in (tmp_path / "mlruns").rglob("bundle.json"))
    Image.fromarray(make_scene(np.random.default_rng(99))[0]).save(tmp_path / "new.png")
    words = [str(bundle), str(tmp_path / "new.png"), f"out={tmp_path / 'masks'}"]
    done = subprocess.run(
        [sys.executable, "-m", "seglab", "predict", *words], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert Image.open(tmp_path / "masks" / "new.png").size == (256, 128)
