"""Runs as one folder: nothing is lost on the way, nothing arrives twice, nothing half-written is left."""

from __future__ import annotations

import filecmp
import json
import math
import resource
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
import pytest
import toys
from mlflow.entities import Run
from mounts import needs_mounts, small, within

from seglab import errors
from seglab.config.places import ROOT
from seglab.data.preprocessing.normalisation import Preprocessing
from seglab.errors import TrackingError
from seglab.inference.bundle import Bundle, read_bundle, save_bundle
from seglab.inference.predictor import Predictor
from seglab.registry.gate import Gate, GateRule
from seglab.registry.promotion import promote
from seglab.run_record import Tag
from seglab.task import Task
from seglab.tracking.archive import export_runs, import_runs
from seglab.tracking.bundles import find_bundle, resolve_bundle
from seglab.tracking.carried_code import write_code
from seglab.tracking.selection import runs_of_study, search
from seglab.tracking.store import Store, open_store
from seglab.tracking.tracker import Tracker

SCORES = ("dice", "iou", "dice/background", "iou/background", "dice/cell", "iou/cell")
DARK = keras.initializers.Constant(-10)


def store_in(folder: Path) -> Store:
    return open_store(None, toys.fresh_store(folder / "mlruns"))


def trained(store: Store, *, fail: bool = False, tags: dict[str, str] | None = None) -> str:
    tracked = Tracker(
        toys.tracking(), store.directory, run_name="UNet_DiceLoss_Adam", params={"seed": 1}, tags=tags or {}
    )
    try:
        with tracked:
            tracked.emit({"val_dice": 0.25, "train_loss": math.inf}, 1)
            tracked.emit({"val_dice": 0.5, "val_iou": math.nan}, 2)
            tracked.log_text("seed: 1\n", "config/config.yaml")
            tracked.log_dataset("toys/train", "e" * 64, "training", "built in", {"cases": 140})
            if fail:
                raise RuntimeError("told to fail")
    except RuntimeError:
        pass
    return tracked.run_id


def bundle(folder: Path, threshold: float) -> Path:
    """Of a network that calls a cell what is brighter than 0.5; the threshold is to know the bundle by."""
    inputs = keras.Input((8, 8, 1))
    layer = keras.layers.Conv2D(1, 1, kernel_initializer=keras.initializers.Constant(20), bias_initializer=DARK)
    task = Task(2, 1, ("background", "cell"))
    made = Bundle(task, Preprocessing("scale", 1, 255.0), (8, 8), "resize", threshold=threshold)
    return save_bundle(folder, keras.Model(inputs, layer(inputs)), made)


def content(store: Store, run: Run) -> dict[str, Any]:
    """What must be the same in both stores."""
    history = {
        name: [(m.step, m.timestamp, str(m.value)) for m in store.client.get_metric_history(run.info.run_id, name)]
        for name in run.data.metrics
    }
    info = run.info
    return {
        "info": (info.run_name, info.status, info.start_time, info.end_time),
        "params": run.data.params,
        "tags": {
            key: tag
            for key, tag in run.data.tags.items()
            if key not in (Tag.IMPORTED_RUN_ID, Tag.IMPORT_COMPLETE, Tag.PARENT_RUN_ID)
        },
        "history": history,
        "data": [(one.dataset.name, one.dataset.digest, one.dataset.profile) for one in run.inputs.dataset_inputs],
        "files": {
            str(path.relative_to(root)): path.read_bytes()
            for root in [Path(info.artifact_uri.removeprefix("file://"))]
            for path in sorted(root.rglob("*"))
            if path.is_file()
        },
    }


def test_runs_arrive_whole_with_their_former_ids(tmp_path: Path) -> None:
    here, there = store_in(tmp_path / "cluster"), store_in(tmp_path / "laptop")
    parent = trained(here, tags={"study": "losses"})
    child = trained(here, fail=True, tags={"study": "losses", Tag.PARENT_RUN_ID: parent})
    reported: list[str] = []
    folder = export_runs(here, runs_of_study(here, "losses"), tmp_path / "runs", reported.append)
    assert len(reported) == 2
    arrived = import_runs(there, folder)
    assert set(arrived) == {parent, child}
    for former, new in arrived.items():
        assert former != new
        assert content(there, there.run(new)) == content(here, here.run(former))
        assert there.run(new).data.tags[Tag.IMPORTED_RUN_ID] == former
    assert there.run(arrived[child]).data.tags[Tag.PARENT_RUN_ID] == arrived[parent]
    assert there.run(arrived[child]).info.status == "FAILED"
    assert there.run(arrived[parent]).data.metrics["val_dice"] == 0.5


def test_importing_again_changes_nothing_and_mends_what_was_interrupted(tmp_path: Path) -> None:
    here, there = store_in(tmp_path / "cluster"), store_in(tmp_path / "laptop")
    run = trained(here)
    folder = export_runs(here, [here.run(run)], tmp_path / "runs")
    first = import_runs(there, folder)
    assert import_runs(there, folder) == first
    assert import_runs(here, folder) == {run: run}  # where it came from
    # As a process leaves it that was killed in the middle.
    there.client.set_tag(first[run], Tag.IMPORT_COMPLETE, "false")
    again = import_runs(there, folder)
    assert again[run] != first[run]
    assert [r.info.run_id for r in search(there, "")] == [again[run]]


def test_a_run_arrives_with_the_model_that_it_logged_last_and_can_be_used(tmp_path: Path) -> None:
    here, there = store_in(tmp_path / "cluster"), store_in(tmp_path / "laptop")
    example, nothing = np.zeros((1, 8, 8, 1), np.float32), np.zeros((1, 8, 8), np.uint8)
    scores = pd.DataFrame({"id": ["a", "b"], "group": "g"} | {key: [0.8, 0.9] for key in SCORES})
    with Tracker(toys.tracking(), here.directory, run_name="UNet", params={}, tags={"split_digest": "s"}) as tracked:
        tracked.emit({"test_dice": 0.85}, 1)
        tracked.log_table(scores, "test_cases.csv")
        for number in range(1, 6):  # MLflow lists them by random ids: by chance the right one comes first once in five
            tracked.log_bundle(bundle(tmp_path / f"{number}", number / 10), example=example, prediction=nothing)
    folder = export_runs(here, [here.run(tracked.run_id)], tmp_path / "runs")
    code = folder / tracked.run_id / "model" / "code"
    for evil in ("seglab_model.py", "carried/seglab/errors.py", "keras.py"):
        (code / evil).write_text("raise SystemExit('code of somebody else')\n")
    run_id = import_runs(there, folder)[tracked.run_id]
    carried = find_bundle(run_id, there.uri, there.directory).parents[1] / "code"
    own = {path.name: path for path in write_code(tmp_path / "own")}
    assert {path.name for path in carried.iterdir()} == set(own)
    assert filecmp.cmp(carried / "seglab_model.py", own["seglab_model.py"], shallow=False)
    assert filecmp.cmp(carried / "carried" / "seglab" / "errors.py", Path(errors.__file__), shallow=False)
    for store, run in ((here, tracked.run_id), (there, run_id)):
        assert read_bundle(find_bundle(run, store.uri, store.directory)).threshold == 0.5
    image = np.zeros((8, 8, 1), np.uint8)
    image[2:5, 3:6] = 255
    mask = Predictor.load(find_bundle(run_id, there.uri, there.directory)).predict(image)
    assert np.array_equal(mask, image[..., 0] // 255)
    rule = GateRule(metric="test_dice", direction="higher", threshold=0.5)
    gate = Gate(rules=[rule], allowed_findings=False)
    assert promote(there, there.run(run_id), "cells", gate).passed
    champion = resolve_bundle("models:/cells@champion", there.uri, there.directory)
    assert champion.run is not None
    assert (champion.run.info.run_id, read_bundle(champion.folder).threshold) == (run_id, 0.5)
    # A name and its aliases are of one store.
    assert not here.client.search_registered_models()


def test_a_run_under_way_arrives_as_killed(tmp_path: Path) -> None:
    here, there = store_in(tmp_path / "cluster"), store_in(tmp_path / "laptop")
    run = trained(here)
    here.client.update_run(run, status="RUNNING")
    folder = export_runs(here, [here.run(run)], tmp_path / "runs")
    assert there.run(import_runs(there, folder)[run]).info.status == "KILLED"


def test_no_room_leaves_nothing_behind(tmp_path: Path) -> None:
    store = store_in(tmp_path)
    run = trained(store)
    place = Path(store.run(run).info.artifact_uri.removeprefix("file://"))
    (place / "large.bin").write_bytes(bytes(200_000))
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(TrackingError, match="cannot be written") as caught:
            export_runs(store, [store.run(run)], tmp_path / "out" / "runs")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, hard))
    assert "free some space" in str(caught.value)
    assert list((tmp_path / "out").iterdir()) == []


@needs_mounts
def test_a_full_disk_is_reported_by_the_command_and_nothing_is_left_on_it(tmp_path: Path) -> None:
    store = store_in(tmp_path)
    run = trained(store)
    place = Path(store.run(run).info.artifact_uri.removeprefix("file://"))
    (place / "large.bin").write_bytes(bytes(2_000_000))
    disk = tmp_path / "disk"
    disk.mkdir()
    command = [sys.executable, str(ROOT / "scripts" / "runs.py"), "export", str(disk / "runs"), "--run", run]
    code, output = within(small(disk, "1m"), command, tmp_path, after=f"echo left: $(ls -A {disk})")
    assert code == 2
    assert "error: the runs cannot be written" in output
    assert "No space left on device" in output
    assert "remedy:   free some space" in output
    assert "Traceback" not in output
    assert output.splitlines()[0] == "left:"
    code, output = within(small(disk, "8m"), command, tmp_path, after=f"echo left: $(ls -A {disk})")
    assert (code, next(line for line in output.splitlines() if line.startswith("left:"))) == (0, "left: runs")


@needs_mounts
def test_a_full_disk_while_importing_leaves_a_run_that_the_next_import_makes_anew(tmp_path: Path) -> None:
    here, there = store_in(tmp_path / "cluster"), store_in(tmp_path / "laptop")
    run = trained(here)
    place = Path(here.run(run).info.artifact_uri.removeprefix("file://"))
    (place / "large.bin").write_bytes(bytes(2_000_000))
    folder = export_runs(here, [here.run(run)], tmp_path / "runs")
    artifacts = there.directory / "artifacts"
    artifacts.mkdir()
    command = [sys.executable, str(ROOT / "scripts" / "runs.py"), "import", str(folder)]
    code, output = within(small(artifacts, "1m"), command, tmp_path / "laptop")
    assert code == 2
    assert "error: a run that cannot be imported into the store" in output
    assert "No space left on device" in output
    assert "import again" in output
    assert "Traceback" not in output
    (half,) = search(there, "")
    assert half.data.tags[Tag.IMPORT_COMPLETE] == "false"
    arrived = import_runs(there, folder)
    assert [one.info.run_id for one in search(there, "")] == [arrived[run]]
    assert content(there, there.run(arrived[run])) == content(here, here.run(run))


def test_artifacts_that_are_gone_are_named(tmp_path: Path) -> None:
    store = store_in(tmp_path)
    run = trained(store)
    place = Path(store.run(run).info.artifact_uri.removeprefix("file://"))
    place.rename(place.with_name("elsewhere"))
    with pytest.raises(TrackingError, match="artifacts that are gone") as caught:
        export_runs(store, [store.run(run)], tmp_path / "runs")
    assert run in str(caught.value)
    assert not (tmp_path / "runs").exists()


def test_a_folder_that_is_there_is_not_touched(tmp_path: Path) -> None:
    store = store_in(tmp_path)
    (tmp_path / "runs").mkdir()
    with pytest.raises(TrackingError, match="there already"):
        export_runs(store, [store.run(trained(store))], tmp_path / "runs")


@pytest.mark.parametrize(
    ("damage", "word"),
    [
        ("none", "no exported runs here"),
        ("card", "another format"),
        ("run", "damaged export"),
        ("path", "a run called '../elsewhere'"),
    ],
)
def test_bad_folders_are_refused(tmp_path: Path, damage: str, word: str) -> None:
    store, folder = store_in(tmp_path), tmp_path / "runs"
    if damage != "none":
        run = trained(store)
        export_runs(store, [store.run(run)], folder)
        if damage == "path":  # a name in it would be a place outside
            (folder / run).rename(tmp_path / "elsewhere")
            (folder / "archive.json").write_text(json.dumps({"format": 1, "runs": ["../elsewhere"]}))
        elif damage == "card":
            (folder / "archive.json").write_text(json.dumps({"format": 99, "runs": []}))
        else:
            (folder / run / "run.json").write_text('{"run_id": "tru')
    with pytest.raises(TrackingError, match=word):
        import_runs(store, folder)
