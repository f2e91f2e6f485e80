"""Evaluation where the store has moved, is read-only or gone, or the disk is full."""

from __future__ import annotations

import io
import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import mlflow
import nibabel as nib
import numpy as np
import pytest
import toys
from evaluated_runs import ROOT, SPLIT, composed, made, pictures, record
from faulty_stores import Server
from mounts import needs_mounts, read_only, small, within
from rich.console import Console

from seglab.data.splits import Split
from seglab.errors import DataError, TrackingError
from seglab.evaluation.evaluate import EvaluationRequest, evaluate
from seglab.inference.bundle import load_bundle, read_bundle, save_bundle
from seglab.task import Task
from seglab.tracking.append import add_to_run
from seglab.tracking.bundles import find_bundle, local_path, resolve_bundle
from seglab.tracking.store import open_store

__all__ = ["made"]


@pytest.fixture
def copied(made: tuple[Path, str], tmp_path: Path) -> tuple[Path, str]:
    """The same store moved elsewhere; its data stay, and nothing is left where it was made."""
    folder, run_id = made
    shutil.copytree(folder / "mlruns", tmp_path / "mlruns")
    return tmp_path, run_id


def test_a_moved_store_is_read_and_added_to_where_it_is(made, copied) -> None:
    folder, run_id = made
    elsewhere, _ = copied
    hidden = folder.with_name("hidden")
    (folder / "mlruns").rename(hidden)
    try:
        found = find_bundle(run_id, directory=elsewhere / "mlruns")
        assert found.is_relative_to(elsewhere)
        request = EvaluationRequest(run=run_id, split="val", workers=0)
        evaluate(request, directory=elsewhere / "mlruns", console=Console(file=io.StringIO()))
        assert not (folder / "mlruns").exists()
        assert list((elsewhere / "mlruns" / "artifacts").rglob("evaluation/val/cases.csv"))
    finally:
        hidden.rename(folder / "mlruns")


def test_what_is_not_there_is_one_message_with_a_remedy(copied) -> None:
    folder, run_id = copied
    mlruns = folder / "mlruns"
    with pytest.raises(TrackingError, match="no run of this id") as caught:
        find_bundle(run_id[:-1] + "x", directory=mlruns)
    assert run_id in str(caught.value)
    with pytest.raises(TrackingError, match="no such bundle"):
        find_bundle("some/folder", directory=mlruns)
    store = open_store(None, mlruns)
    experiment = store.client.get_experiment_by_name("toys").experiment_id
    empty = store.client.create_run(experiment, run_name="Nothing").info.run_id
    with pytest.raises(TrackingError, match="no model bundle") as caught:
        find_bundle(empty, directory=mlruns)
    assert "resume" in str(caught.value)


def test_deleted_artifacts(made, copied) -> None:
    folder, run_id = made
    hidden = folder.with_name("hidden")
    (folder / "mlruns").rename(hidden)
    try:
        mlruns = copied[0] / "mlruns"
        for path in mlruns.rglob("split.json"):
            path.unlink()
        with pytest.raises(TrackingError, match=r"config/split\.json"):
            evaluate(EvaluationRequest(run=run_id), directory=mlruns, console=Console(file=io.StringIO()))
        shutil.rmtree(next(mlruns.rglob("models")))
        with pytest.raises(TrackingError, match="a model bundle that is gone") as caught:
            find_bundle(run_id, directory=mlruns)
        assert "train again" in str(caught.value)
    finally:
        hidden.rename(folder / "mlruns")


def test_registered_models_by_alias_and_version(copied) -> None:
    folder, run_id = copied
    mlruns = folder / "mlruns"
    store = open_store(None, mlruns)
    with pytest.raises(TrackingError, match="no model is registered"):
        find_bundle("models:/toy@champion", directory=mlruns)
    run = store.run(run_id)
    model_id = run.outputs.model_outputs[0].model_id
    store.client.create_registered_model("toy")
    source = store.client.get_logged_model(model_id).artifact_location
    store.client.create_model_version("toy", source, run_id=run_id, model_id=model_id)
    store.client.set_registered_model_alias("toy", "champion", "1")
    for word in ("models:/toy@champion", "models:/toy/1"):
        found = resolve_bundle(word, directory=mlruns)
        assert found.run is not None
        assert found.run.info.run_id == run_id
        assert read_bundle(found.folder).task.class_names == ("background", "object")
    with pytest.raises(TrackingError, match="did you mean 'champion'"):
        find_bundle("models:/toy@champoin", directory=mlruns)
    with pytest.raises(TrackingError, match="did you mean 'toy'"):
        find_bundle("models:/toys@champion", directory=mlruns)
    with pytest.raises(TrackingError, match="models:/toy/7"):
        find_bundle("models:/toy/7", directory=mlruns)


def test_a_model_with_nan_weights_is_no_score(made, tmp_path: Path) -> None:
    folder, run_id = made
    model, bundle = load_bundle(find_bundle(run_id, directory=folder / "mlruns"))
    model.set_weights([np.full_like(weights, np.nan) for weights in model.get_weights()])
    save_bundle(tmp_path / "bundle", model, replace(bundle, split_digest=""))
    with pytest.raises(DataError, match="weights hold NaN") as caught:
        evaluate(EvaluationRequest(bundle=str(tmp_path / "bundle"), split="all", workers=1, out=str(tmp_path / "out")))
    assert "train it again" in str(caught.value)
    assert str(tmp_path / "bundle") in str(caught.value)


def test_volumes_in_mm_with_masks_on_the_files(tmp_path: Path) -> None:
    root = tmp_path / "data"
    affine = np.diag([-2.0, 1.0, 3.0, 1.0])  # the first axis of the file runs to the left
    pairs = []
    for folder in ("imagesTr", "labelsTr"):
        (root / folder).mkdir(parents=True)
    for n in range(3):
        label = np.zeros((12, 14, 9), np.uint8)
        label[3:8, 4:9, 2:6] = 1
        image = 0.8 * label.astype(np.float32)
        image[8, 4:9, 2:6] = 0.9  # one layer of 2 mm too many
        for name, array in (("imagesTr", image), ("labelsTr", label)):
            nib.save(nib.Nifti1Image(array, affine), root / name / f"scan{n}.nii.gz")
        pairs.append({"image": f"./imagesTr/scan{n}.nii.gz", "label": f"./labelsTr/scan{n}.nii.gz"})
    described = {
        "name": "Toy",
        "modality": {"0": "MRI"},
        "labels": {"0": "background", "1": "organ"},
        "training": pairs,
    }
    (root / "dataset.json").write_text(json.dumps(described))
    toys.fresh_store(tmp_path / "mlruns")
    config = composed("model=unet3d", "data=nifti", f"data.root={root}")
    task = Task(rank=3, channels=1, class_names=("background", "organ"))
    run_id = record(tmp_path, config, task, Split(("scan0",), ("scan1",), ("scan2",)))
    metrics = evaluate(
        EvaluationRequest(run=run_id, save_masks=True, workers=0, tolerance_mm=1.5),
        directory=tmp_path / "mlruns",
        console=Console(file=io.StringIO()),
    )
    assert metrics["hd95_nonempty/organ"] == pytest.approx(2)
    assert metrics["volume_error/organ"] == pytest.approx(1 / 5)
    assert 0.5 < metrics["nsd_1.5mm/organ"] < 1
    out = tmp_path / "mlruns" / "evaluations" / run_id / "test"
    mask = nib.load(out / "masks" / "scan2.nii.gz")
    np.testing.assert_array_equal(mask.affine, affine)
    image = np.asarray(nib.load(root / "imagesTr" / "scan2.nii.gz").dataobj)
    np.testing.assert_array_equal(np.asarray(mask.dataobj), image > 0.5)
    assert {path.name for path in (out / "scores").glob("*.png")} >= {"best.png", "reliability.png", "spread.png"}


def test_results_that_cannot_be_added_to_the_run_are_not_lost(copied) -> None:
    folder, run_id = copied
    (folder / "mlruns" / "artifacts" / "toys" / run_id / "artifacts").mkdir(parents=True, exist_ok=True)
    store = open_store(None, folder / "mlruns")
    found = local_path(store, store.run(run_id).info.artifact_uri)
    results = folder / "results"
    results.mkdir()
    (results / "cases.csv").write_text("id")
    shutil.rmtree(found / "evaluation", ignore_errors=True)
    (found / "evaluation").write_text("a file where the folder should be")
    with pytest.raises(TrackingError, match="cannot be added") as caught:
        add_to_run(store, store.run(run_id), {"eval_lost_dice": 0.5}, results, "evaluation/test")
    assert str(results) in str(caught.value)
    assert "eval_lost_dice" not in store.run(run_id).data.metrics


@pytest.mark.slow
@needs_mounts
def test_a_store_that_can_only_be_read_gives_its_scores_elsewhere(made, copied, tmp_path: Path) -> None:
    folder, run_id = copied
    script = [sys.executable, str(ROOT / "scripts" / "evaluate.py"), f"run={run_id}", "split=val", "workers=0"]
    mount = read_only(folder / "mlruns")
    code, output = within(mount, script, folder)
    assert code == 2
    assert "error: the results cannot be written" in output
    assert "can only be read" in output
    assert "out=…" in output
    assert "mean of foreground" not in output  # before the work, not after it
    code, output = within(mount, [*script, f"out={tmp_path / 'out'}"], folder)
    assert code == 2
    assert "mean of foreground" in output
    assert "error: results that cannot be added to the run" in output
    assert f"the results themselves are in {tmp_path / 'out' / 'scores'}" in output
    assert "Traceback" not in output
    assert (tmp_path / "out" / "scores" / "cases.csv").is_file()


@pytest.mark.slow
@needs_mounts
def test_a_full_disk_leaves_the_former_results_whole(made, tmp_path: Path) -> None:
    folder, run_id = made
    disk, copy = tmp_path / "disk", tmp_path / "copy"
    for one in (disk, copy):
        one.mkdir()
    script = [sys.executable, str(ROOT / "scripts" / "evaluate.py"), f"run={run_id}", "workers=0", f"out={disk}"]
    mount = f"{small(disk, '100k')} && mkdir {disk}/scores && echo former > {disk}/scores/metrics.json"
    code, output = within(mount, script, folder, after=f"cp -r {disk}/. {copy}")
    assert code == 2
    assert "error: the results cannot be written" in output
    assert "No space left on device" in output
    assert "Traceback" not in output
    left = {str(path.relative_to(copy)): path.read_text() for path in copy.rglob("*") if path.is_file()}
    assert left == {"scores/metrics.json": "former\n"}


@pytest.mark.slow
@pytest.mark.server
def test_a_run_on_a_server(tmp_path: Path) -> None:
    server = Server(toys.fresh_store(tmp_path / "server"))
    server.start()
    try:
        _evaluate_on(server, tmp_path)
    finally:
        server.kill()
        mlflow.set_tracking_uri(None)


def _evaluate_on(server: Server, tmp_path: Path) -> None:
    root = pictures(tmp_path / "data")
    config = composed("data=image_folder", f"data.root={root}", "data.class_names=[background,object]")
    task = Task(rank=2, channels=1, class_names=("background", "object"))
    run_id = record(tmp_path, config, task, SPLIT, server.uri)
    shutil.rmtree(tmp_path / "mlruns")  # another machine
    request = EvaluationRequest(run=run_id, workers=0, tracking_uri=server.uri)
    metrics = evaluate(request, directory=tmp_path / "mlruns", console=Console(file=io.StringIO()))
    run = open_store(server.uri, tmp_path / "mlruns").run(run_id)
    assert run.data.metrics["eval_test_dice"] == pytest.approx(metrics["dice"])
    assert list((server.folder / "artifacts").rglob("evaluation/test/cases.parquet"))
