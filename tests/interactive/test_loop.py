"""The loop: prompts, accepted masks, a training on them, its promotion, and the service of the champion that takes new
prompts."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from PIL import Image
from served import Running

from seglab.data.synthetic.road_scenes import make_scene
from seglab.interactive.accepted import AcceptedMasks
from seglab.interactive.grabcut import GrabCut
from seglab.interactive.prompt import box_of
from seglab.interactive.session import Session
from seglab.interactive.volume_prompts import VolumeSession

GATE = """
rules:
  - {metric: test_dice, direction: higher, threshold: 0.0}
allowed_findings: true
"""


def seglab(folder: Path, *words: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "seglab", *words], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:] + done.stdout[-2000:]
    return done.stdout


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_corrections_go_into_training_and_the_champion_is_served(tmp_path: Path) -> None:
    accepted = AcceptedMasks(tmp_path / "accepted")
    model = GrabCut()
    for seed in range(8):
        image, _, instances = make_scene(np.random.default_rng(seed))
        car = instances == next(one for one in np.unique(instances) if one // 1000 == 26)
        session = Session(model, model.embed(image))
        reply = session.predict(box=box_of(car))
        accepted.add(image, reply.mask, {"model": model.name})
    data = ("data=image_folder", f"data.root={accepted.folder}", "data.size=[64,64]", "data.batch_size=2")
    seglab(tmp_path, "train", *data, "model=unet_mini", "loss=dice", "trainer.epochs=1", "data.patches_per_case=1")
    bundle = next(path.parent for path in (tmp_path / "mlruns").rglob("bundle.json"))
    scene = make_scene(np.random.default_rng(99))[0]
    Image.fromarray(scene).save(tmp_path / "new.png")
    seglab(tmp_path, "predict", str(bundle), str(tmp_path / "new.png"), f"out={tmp_path / 'masks'}")
    mask = np.asarray(Image.open(tmp_path / "masks" / "new.png"))
    assert mask.shape == (128, 256)

    gate = tmp_path / "conf" / "gate" / "any.yaml"
    gate.parent.mkdir(parents=True)
    gate.write_text(GATE)
    (run,) = (path.name for path in (tmp_path / "mlruns" / "runs").iterdir())
    seglab(tmp_path, "promote", f"run={run}", "name=cars", "gate=any")
    words = ("interactive=true", f"accepted={accepted.folder}")
    with Running("models:/cars@champion", *words, cwd=tmp_path) as running:
        content = (tmp_path / "new.png").read_bytes()
        answer = running.predict(content)
        served = np.asarray(Image.open(io.BytesIO(answer.content)))
        assert (served == mask).mean() > 0.99  # another runtime, and a network that is unsure of much
        begun = running.client.post("/sessions", content=content, headers={"Content-Type": "image/png"})
        where = begun.headers["location"]
        assert running.client.post(f"{where}/predict", json={"points": [[128, 90]], "labels": [1]}).status_code == 200
        assert running.client.post(f"{where}/accept").status_code == 200
    assert len(list((accepted.folder / "masks").iterdir())) == 9


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_corrected_volumes_go_into_training(tmp_path: Path) -> None:
    volumes = AcceptedMasks(tmp_path / "accepted").volumes
    affine = np.diag([-0.8, 1.2, 2.5, 1.0])
    off = np.ogrid[:24, :28, :12]
    for seed in range(5):
        rng = np.random.default_rng(seed)
        truth = sum((axis - at) ** 2 for axis, at in zip(off, (12 + rng.integers(-3, 4), 14, 6), strict=True)) <= 25
        values = (100 + 300 * truth + rng.normal(0, 20, truth.shape)).astype(np.int16)
        session = VolumeSession(GrabCut(), values)
        session.predict(
            2, 6, box=[*(np.argwhere(truth[..., 6]).min(0) - 0.5), *(np.argwhere(truth[..., 6]).max(0) + 0.5)]
        )
        session.predict(2, 4, [[14, 14]], [1])
        image = nib.Nifti1Image(values, affine)
        volumes.add_volume(image.to_bytes(), session.mask, affine, {"model": "grabcut"})
    data = ("data=nifti", f"data.root={volumes.folder}", "data.size=[16,16,8]", "data.batch_size=2")
    words = (
        "model=unet3d",
        "loss=dice",
        "trainer.epochs=1",
        "data.patches_per_case=1",
        "model.depth=1",
        "model.width=4",
    )
    done = subprocess.run(
        [sys.executable, str(Path(__file__).parents[2] / "train.py"), *data, *words],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:] + done.stdout[-2000:]
    assert next((tmp_path / "mlruns").rglob("bundle.json"))
