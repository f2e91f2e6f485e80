"""Generated data sets in real layouts: the sources read them, and every hard case is in them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from seglab.data.sources.cityscapes import Cityscapes
from seglab.data.sources.image_folder import ImageFolder
from seglab.data.sources.nifti import Nifti
from seglab.data.synthetic.layouts import LAYOUTS, write_dataset
from seglab.data.synthetic.road_scenes import make_scene
from seglab.errors import ConfigError, DataError

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sets")
    for kind in LAYOUTS:
        write_dataset(kind, folder / kind, count=10)
    return folder


def _read(source):
    return {case.id: source.read(case) for case in source.cases}


def test_cityscapes_has_its_hard_cases(written):
    source = Cityscapes(root=str(written / "cityscapes"), labels="classes", test_on="none")
    samples = _read(source)
    assert {sample.image.shape for sample in samples.values()} == {(128, 256, 3)}
    assert {name: len(ids) for name, ids in source.split.items()} == {"train": 8, "val": 2}
    assert sum((sample.mask == 255).all() for sample in samples.values()) == 1
    train_class = source.task.class_names.index("train")
    assert {i for i, s in samples.items() if (s.mask == train_class).any()} == set(source.split["val"])
    with pytest.raises(DataError, match="a test folder without labels"):
        Cityscapes(root=str(written / "cityscapes"), test_on="test")
    assert Cityscapes(root=str(written / "cityscapes")).split["test"]


def test_instances_agree_with_labels_and_crowds_have_none(written):
    crowds = single = 0
    for case in Cityscapes(root=str(written / "cityscapes")).cases:
        ids, labels = np.asarray(Image.open(case.instances)), np.asarray(Image.open(case.label))
        assert np.array_equal(np.where(ids >= 1000, ids // 1000, ids), labels)
        crowds += (ids == 24).any()
        single += len(np.unique(ids[ids >= 1000]))
    assert crowds >= 8
    assert single > 40


def test_a_scene_is_made_from_its_stream_alone():
    one, other = (make_scene(np.random.default_rng(5)) for _ in range(2))
    assert all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))
    assert not (one[1] == 31).any()
    assert (make_scene(np.random.default_rng(5), with_train=True)[1] == 31).any()


def test_image_folder_has_its_hard_cases(written):
    root = written / "image_folder"
    source = ImageFolder(root=str(root), label_schema=str(root / "labels.csv"))
    samples = _read(source)
    assert len(samples) == 12  # three pages in one of ten files
    assert source.task.unscored == (0,)
    assert len({sample.mask.shape for sample in samples.values()}) > 7
    assert sum((sample.mask == 0).all() for sample in samples.values()) == 1
    assert sum((sample.mask == 2).any() for sample in samples.values()) == 1
    assert sum(sample.image.dtype == np.uint16 for sample in samples.values()) == 1
    assert {"scan 001 wide", "scan_002_é", "scan_005#3"} <= samples.keys()
    assert {path.suffix for path in (root / "images").iterdir()} == {".png", ".PNG", ".bmp", ".tif"}


def test_nifti_has_its_hard_cases(written):
    root = written / "nifti"
    samples = _read(Nifti(root=str(root)))
    assert sum((sample.mask == 0).all() for sample in samples.values()) == 1
    assert sum((sample.mask == 2).any() for sample in samples.values()) == 3
    codes = {"".join(nib.aff2axcodes(nib.load(path).affine)) for path in (root / "imagesTr").iterdir()}
    assert codes == {"RAS", "LPS", "LAS", "PIR"}
    spacings = {tuple(round(step, 3) for step in sample.spacing) for sample in samples.values()}
    assert spacings == {(1.0, 1.0, 1.0), (0.8, 0.8, 3.0), (1.0, 1.0, 2.0)}
    assert json.loads((root / "dataset.json").read_text())["numTraining"] == 10
    for sample in samples.values():
        assert all(edge <= limit for edge, limit in zip(sample.mask.shape, (48, 64, 48), strict=True))


def test_the_turned_volumes_hold_what_was_made(written):
    # Objects are brighter than the median of their volume in every orientation, so image and label were turned alike.
    for case_id, sample in _read(Nifti(root=str(written / "nifti"))).items():
        inside = sample.image[..., 0][sample.mask > 0]
        assert not inside.size or inside.mean() > np.median(sample.image), case_id


def test_the_same_seed_writes_the_same_files(written, tmp_path):
    write_dataset("image_folder", tmp_path / "again", count=10)
    write_dataset("image_folder", tmp_path / "other", count=10, seed=1)
    first, again, other = (
        ImageFolder(root=str(root), label_values=[0, 1, 2]).digest()
        for root in (written / "image_folder", tmp_path / "again", tmp_path / "other")
    )
    assert first == again != other


def test_what_cannot_be_written_is_refused(written, tmp_path):
    with pytest.raises(DataError, match="a folder that is not empty"):
        write_dataset("nifti", written)
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="a folder that is not empty"):
        write_dataset("nifti", tmp_path / "file")
    with pytest.raises(ConfigError, match="too few cases"):
        write_dataset("nifti", tmp_path / "few", count=3)
    with pytest.raises(ConfigError, match="cityscapes, nifti, image_folder"):
        write_dataset("coco", tmp_path / "few")
    assert not (tmp_path / "few").exists()


def _command(*words):
    return subprocess.run([sys.executable, *words], capture_output=True, text=True, cwd=ROOT, timeout=300)


def test_the_script_says_what_it_made_and_how_to_train(tmp_path):
    script = str(ROOT / "scripts" / "synthetic_dataset.py")
    done = _command(script, "--kind", "image_folder", "--out", str(tmp_path / "set"), "--count", "8")
    assert done.returncode == 0, done.stderr
    assert f"written    8 labelled files below {tmp_path / 'set'}" in done.stdout
    assert f"data.root={tmp_path / 'set'}" in done.stdout
    again = _command(script, "--kind", "image_folder", "--out", str(tmp_path / "set"))
    assert (again.returncode, "not empty" in again.stderr) == (2, True)
    assert "Traceback" not in again.stderr


@pytest.mark.slow
@pytest.mark.parametrize("kind", list(LAYOUTS))
def test_training_on_each_layout_works(written, tmp_path, kind):
    words = LAYOUTS[kind].train.format(out=written / kind).split()[1:]
    words[0] = str(ROOT / "train.py")
    store = f"tracking.uri=sqlite:///{tmp_path}/mlflow.db"
    done = subprocess.run(
        [sys.executable, *words, "debug=fast", store], capture_output=True, text=True, cwd=tmp_path, timeout=600
    )
    assert done.returncode == 0, done.stderr
    assert "test cases" in done.stdout
