"""Image files to mask files, as a function and as the command."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from PIL import Image
from predicted_files import above_half, pictures, predict_files

from seglab.cli.predict import run as predict_words
from seglab.config.sections import TrackingSettings
from seglab.data.labels.label_schema import built_in_schema, declared_classes
from seglab.errors import DataError, TrackingError
from seglab.inference.bundle import save_bundle
from seglab.inference.predict_files import plan_files, predict_plan
from seglab.inference.predictor import Predictor
from seglab.metrics.cityscapes_scores import label_ids_of

SCRIPT = Path(__file__).parents[2] / "scripts" / "predict.py"


def test_pictures(tmp_path: Path) -> None:
    files, truth = pictures(tmp_path)
    reported: list[Path] = []
    predictor = Predictor.of(*above_half(2))
    plan = plan_files(predictor.task, files, tmp_path / "masks", values=(0, 255))
    written = predict_plan(predictor, plan, written=reported.append).masks
    assert [path.name for path in written] == ["ä one.png", "two.png", "three.png"]
    assert reported == written
    for path in written:
        np.testing.assert_array_equal(np.asarray(Image.open(path)), truth * np.uint8(255))


@pytest.mark.parametrize(("rank", "file"), [(2, "two.png"), (3, "two.nii.gz")])
def test_a_file_that_is_no_predicted_mask_is_not_written_over(tmp_path: Path, rank: int, file: str) -> None:
    """The truth lies where the masks are to go, under the names that they would get."""
    out, source = tmp_path / "masks", tmp_path / ("two.TIF" if rank == 2 else "two.nii.gz")
    out.mkdir()
    if rank == 2:
        pictures(tmp_path)
        Image.fromarray(np.ones((11, 19), np.uint8)).save(out / file)
    else:
        for path in (source, out / file):
            nib.save(nib.Nifti1Image(np.ones((9, 9, 9), np.uint8), np.eye(4)), path)
    predictor, before = Predictor.of(*above_half(rank)), (out / file).read_bytes()
    with pytest.raises(DataError, match="not written by this program"):
        predict_files(predictor, [source], out)
    assert (out / file).read_bytes() == before
    (out / file).unlink()
    assert predict_files(predictor, [source], out) == [out / file]
    with pytest.raises(DataError, match="predicted before"):
        predict_files(predictor, [source], out)
    assert predict_files(predictor, [source], out, existing="replace") == [out / file]


def test_two_masks_that_some_disks_take_for_one_are_refused(tmp_path: Path) -> None:
    files, _ = pictures(tmp_path)
    other = files[2].rename(tmp_path / "TWO.bmp")
    with pytest.raises(DataError, match="would have one name"):
        predict_files(Predictor.of(*above_half(2)), [files[1], other], tmp_path / "masks")
    assert not (tmp_path / "masks").exists()


def test_masks_are_stored_in_the_values_of_the_training_masks(tmp_path: Path) -> None:
    files, truth = pictures(tmp_path)
    model, bundle = above_half(2)
    # A black membrane on a white ground: the second class is 0 in the files.
    task = declared_classes([255, 0], ["cell", "membrane"], None, None).task(rank=2, channels=1)
    saved = save_bundle(tmp_path / "bundle", model, replace(bundle, task=task))
    predictor = Predictor.load(saved)
    assert predictor.task.label_values == (255, 0)
    (written, *_) = predict_files(predictor, files, tmp_path / "masks")
    np.testing.assert_array_equal(np.asarray(Image.open(written)), np.where(truth, 0, 255))
    (written, *_) = predict_files(predictor, files, tmp_path / "ids", values=(0, 1))
    np.testing.assert_array_equal(np.asarray(Image.open(written)), truth)


@pytest.mark.parametrize("level", ["classes", "categories"])
@pytest.mark.parametrize("void", ["ignored", "class"])
def test_classes_of_a_schema_are_stored_as_official_ids(level, void) -> None:
    schema = built_in_schema("cityscapes")
    task = schema.classes(level, void).task(rank=2, channels=3)
    assert task.label_values == tuple(label_ids_of(task.class_names, schema.labels))
    assert task.label_values[0] == 7  # road, which also stands for flat


def test_volumes_in_their_own_geometry(tmp_path: Path) -> None:
    voxels = np.random.default_rng(0).random((9, 13, 7), np.float32)
    affine = np.array([[0, -0.5, 0, 4], [0, 0, 3, 5], [-0.8, 0, 0, 6], [0, 0, 0, 1.0]])
    nib.save(nib.Nifti1Image(voxels, affine), tmp_path / "scan.nii")
    (path,) = predict_files(Predictor.of(*above_half(3)), [tmp_path / "scan.nii"], tmp_path / "masks")
    assert path.name == "scan.nii.gz"
    written = nib.load(path)
    np.testing.assert_array_equal(np.asarray(written.dataobj), voxels > 0.5)
    np.testing.assert_array_equal(written.affine, nib.load(tmp_path / "scan.nii").affine)


def test_refuses_before_it_predicts(tmp_path: Path) -> None:
    files, _ = pictures(tmp_path)
    predictor = Predictor.of(*above_half(2))
    twin = tmp_path / "two.png"
    Image.open(files[1]).save(twin)
    with pytest.raises(DataError, match="one name"):
        predict_files(predictor, [*files, twin], tmp_path / "masks")
    with pytest.raises(DataError, match="overwrite"):
        predict_files(predictor, files, tmp_path)
    (tmp_path / "scan.nii.gz").touch()
    with pytest.raises(DataError, match=r"2D model cannot read"):
        predict_files(predictor, [*files, tmp_path / "scan.nii.gz"], tmp_path / "masks")
    for values, what in (
        ((0, 1, 2), "2 values, for background, object"),
        ((0, 0), "one value for several classes"),
        ((-1, 1), "values that masks cannot hold"),
        ((0, 65536), "from 0 to 65535"),
    ):
        with pytest.raises(DataError, match=what):
            predict_files(predictor, files, tmp_path / "masks", values=values)
    assert not (tmp_path / "masks").exists()


def test_a_bad_file_is_named(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(tmp_path / "rgb.png")
    with pytest.raises(DataError, match=r"rgb\.png"):
        predict_files(Predictor.of(*above_half(2)), [tmp_path / "rgb.png"], tmp_path / "masks")
    (tmp_path / "cut.png").write_bytes((tmp_path / "rgb.png").read_bytes()[:40])
    with pytest.raises(DataError, match=r"cut\.png"):
        predict_files(Predictor.of(*above_half(2)), [tmp_path / "cut.png"], tmp_path / "masks")
    nib.save(nib.Nifti1Image(np.zeros((30, 30, 30)), np.eye(4)), tmp_path / "whole.nii.gz")
    (tmp_path / "cut.nii.gz").write_bytes((tmp_path / "whole.nii.gz").read_bytes()[:100])
    for name in ("cut.nii.gz", "nowhere.nii"):
        with pytest.raises(DataError, match=name):
            predict_files(Predictor.of(*above_half(3)), [tmp_path / name], tmp_path / "masks")


def test_what_another_process_wrote_meanwhile_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files, truth = pictures(tmp_path)
    model, bundle = above_half(2)
    first, later = Predictor.of(model, bundle), Predictor.of(model, replace(bundle, threshold=0.99))
    out = tmp_path / "masks"
    plans = {how: plan_files(bundle.task, files, out, overlays=True, existing=how) for how in ("refuse", "skip")}
    predict_plan(first, plan_files(bundle.task, files[:2], out, overlays=True))
    left = {path.name: path.read_bytes() for path in out.iterdir()}
    with pytest.raises(DataError, match="another process has written meanwhile"):
        predict_plan(later, plans["refuse"])
    assert [path.name for path in predict_plan(later, plans["skip"]).masks] == ["three.png"]
    assert {name: (out / name).read_bytes() for name in left} == left
    np.testing.assert_array_equal(np.asarray(Image.open(out / "two.png")), truth)

    def no_second_names(*_: object) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr("os.link", no_second_names)  # as on FAT
    with pytest.raises(DataError, match="another process has written meanwhile"):
        predict_plan(later, plans["refuse"])
    predict_files(first, files, tmp_path / "fat")
    assert {path.name for path in (tmp_path / "fat").iterdir()} == {"ä one.png", "two.png", "three.png"}


def test_what_is_not_there_is_reported_before_tensorflow_is_loaded(tmp_path: Path) -> None:
    files, _ = pictures(tmp_path)
    bundle = save_bundle(tmp_path / "bundle", *above_half(2))
    (tmp_path / "link.png").symlink_to(tmp_path / "gone.png")
    for name, found in (("missing.png", "no such file or folder"), ("link.png", "gone.png, which is not there")):
        words = [sys.executable, "-X", "importtime", SCRIPT, bundle, files[0], name, "--out", "masks"]
        done = subprocess.run([*map(str, words)], cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 2
        assert f"error: no image there [no-image]\n  where:    {name}\n  found:    " in done.stderr
        assert found in done.stderr
        assert "remedy:   check the path" in done.stderr
        assert not {"tensorflow", "keras", "mlflow"} & set(re.findall(r"\| +(\w+)$", done.stderr, re.MULTILINE))
    assert not (tmp_path / "masks").exists()


def command(*words: object, cwd: Path) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, SCRIPT, *map(str, words)], cwd=cwd, capture_output=True, text=True)


def test_the_command_with_a_bundle(tmp_path: Path) -> None:
    files, truth = pictures(tmp_path)
    bundle = save_bundle(tmp_path / "bundle", *above_half(2))
    done = command(bundle, *files, "--out", "masks", "--values", 0, 200, "--flips", 0, 1, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split("\n")[:3] == ["masks/ä one.png", "masks/two.png", "masks/three.png"]
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "masks" / "two.png")), truth * np.uint8(200))
    wrong = command(tmp_path, *files, "--out", "masks", cwd=tmp_path)
    assert wrong.returncode == 2
    assert "error: no model bundle here" in wrong.stderr


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A working folder with `mlruns/`; MLflow forgets it afterwards."""
    import mlflow

    monkeypatch.chdir(tmp_path)
    yield tmp_path / "mlruns"
    mlflow.set_tracking_uri(None)


def test_the_command_with_a_run(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from seglab.tracking.tracker import Tracker

    files, truth = pictures(store.parent)
    bundle = save_bundle("bundle", *above_half(2))
    settings = TrackingSettings(uri=None, experiment="test", system_metrics=False, heartbeat_seconds=60.0)
    with Tracker(settings, store, run_name="r", params={}, tags={}) as tracker:
        example = np.zeros((1, 8, 8, 1), np.float32)
        tracker.log_bundle(bundle, example=example, prediction=example[..., 0].astype(np.uint8))
    with Tracker(settings, store, run_name="empty", params={}, tags={}) as empty:
        pass
    assert predict_words([tracker.run_id, str(files[1]), "out=masks"]) == 0
    np.testing.assert_array_equal(np.asarray(Image.open("masks/two.png")), truth)
    for run_id, message in ((empty.run_id, "no model bundle"), ("f" * 32, "no run of this id")):
        with pytest.raises(TrackingError, match=message):
            predict_words([run_id, str(files[1]), "out=masks"])
