"""The evaluate command on recorded runs: real store, real bundle, real processes."""

from __future__ import annotations

import io
import json
import math
import re
import shutil
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import hydra
import keras
import mlflow
import nibabel as nib
import numpy as np
import pandas as pd
import pytest
import toys
from mounts import needs_mounts, read_only, small, within
from omegaconf import OmegaConf
from PIL import Image
from rich.console import Console
from test_tracking_faults import Server

from seglab.cli.evaluate import read_words
from seglab.config.loading import Component, load_config
from seglab.data.labels.label_schema import built_in_schema
from seglab.data.preprocessing.normalisation import Preprocessing
from seglab.data.splits import Split, split_for
from seglab.errors import ConfigError, DataError, TrackingError
from seglab.evaluation.evaluate import EvaluationRequest, evaluate
from seglab.inference.bundle import Bundle, load_bundle, read_bundle, save_bundle
from seglab.metrics.cityscapes_scores import CityscapesScores
from seglab.task import Task
from seglab.tracking.append import add_to_run
from seglab.tracking.bundles import find_bundle, local_path, resolve_bundle
from seglab.tracking.store import open_store
from seglab.tracking.tracker import Tracker

ROOT = Path(__file__).parents[2]
IDS = [f"case{n}" for n in range(8)]
SPLIT = Split(tuple(IDS[:4]), tuple(IDS[4:6]), tuple(IDS[6:]))


def pictures(folder: Path) -> Path:
    """Eight pictures with two squares each, the object bright; some pixels of it are too dark to be found."""
    rng = np.random.default_rng(0)
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True)
    for n, case_id in enumerate(IDS):
        mask = np.zeros((26, 22), np.uint8)
        mask[3:9, 3 : 9 + n % 3] = mask[14:22, 12:20] = 1
        image = np.where(rng.random(mask.shape) < 0.95, 40 + 150 * mask, 190 - 150 * mask) + rng.integers(
            0, 30, mask.shape
        )
        Image.fromarray(image.astype(np.uint8)).save(folder / "images" / f"{case_id}.png")
        Image.fromarray(mask).save(folder / "masks" / f"{case_id}.png")
    return folder


def composed(*words: str) -> dict:
    with hydra.initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        return OmegaConf.to_container(hydra.compose("train", overrides=list(words)), resolve=True)  # type: ignore[return-value]


def streets(root: Path) -> Path:
    """Two training cities and one of validation, with labels and instances, in the layout of Cityscapes."""
    rng = np.random.default_rng(1)
    for split, city, count in (("train", "aachen", 2), ("train", "ulm", 1), ("val", "lindau", 2)):
        for n in range(count):
            label = np.kron(rng.integers(0, 34, (4, 6)), np.ones((8, 8), int))
            instances = np.where(label >= 24, label * 1000 + rng.integers(0, 3, label.shape), label)
            files = {
                f"leftImg8bit/{split}/{city}/{city}_{n:06d}_000019_leftImg8bit": rng.integers(
                    0, 256, (32, 48, 3), np.uint8
                ),
                f"gtFine/{split}/{city}/{city}_{n:06d}_000019_gtFine_labelIds": label.astype(np.uint8),
                f"gtFine/{split}/{city}/{city}_{n:06d}_000019_gtFine_instanceIds": instances.astype(np.uint16),
            }
            for name, pixels in files.items():
                path = root / f"{name}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(pixels).save(path)
    return root


@pytest.mark.parametrize("labels", ["classes", "categories"])
def test_cityscapes_in_its_own_labels(tmp_path: Path, labels: str) -> None:
    root = streets(tmp_path / "data")
    data = {
        "_target_": "seglab.data.sources.cityscapes.Cityscapes",
        "root": str(root),
        "labels": labels,
        "void": "class",
    }
    task = Component("Cityscapes", data["_target_"], {k: v for k, v in data.items() if k != "_target_"}).build().task
    keras.utils.set_random_seed(0)
    image = keras.Input((32, 48, 3))
    model = keras.Model(image, keras.layers.Conv2D(task.classes, 1, bias_initializer="random_normal")(image))
    bundle = Bundle(task, Preprocessing("scale", 3, 255.0), (32, 48), "resize", config={"data": data})
    save_bundle(tmp_path / "bundle", model, bundle)
    request = EvaluationRequest(
        bundle=str(tmp_path / "bundle"), split="all", out=str(tmp_path / "out"), save_masks=True, workers=0
    )
    metrics = evaluate(request, console=Console(file=io.StringIO()))
    scores = CityscapesScores(built_in_schema("cityscapes").labels)
    for path in sorted((tmp_path / "out" / "masks").glob("*.png")):
        prefix = next((root / "gtFine").rglob(f"{path.stem}_gtFine_labelIds.png")).with_name(f"{path.stem}_gtFine")
        truth, instances = (np.asarray(Image.open(f"{prefix}_{kind}.png")) for kind in ("labelIds", "instanceIds"))
        scores.add(np.asarray(Image.open(path)), truth, instances)
    expected = scores.result()
    kinds = {key.split("/")[0] for key in metrics if key.startswith("cityscapes_")}
    categories = {"cityscapes_iou_category", "cityscapes_iiou_category"}
    assert kinds == (categories if labels == "categories" else {key.split("/")[0] for key in expected})
    for key in (key for key in expected if key in metrics):
        np.testing.assert_equal(metrics[key], expected[key])
    assert 0 < metrics["cityscapes_iou_category"] < 1
    assert "iou_with_void" in metrics
    assert "iou/void" in metrics


def test_a_set_is_cityscapes_by_its_labels_and_not_by_its_file_names(tmp_path: Path) -> None:
    """Classes of one's own in files that are called as those of Cityscapes; and its labels in files of other names."""
    root = streets(tmp_path / "data")
    labels = sorted((root / "gtFine").rglob("*_gtFine_labelIds.png"))
    rows = ["image,mask,split"]
    for n, path in enumerate(labels):
        image = str(path).replace("gtFine", "leftImg8bit").replace("leftImg8bit_labelIds", "leftImg8bit")
        mask = Image.fromarray((np.asarray(Image.open(path)) % 2).astype(np.uint8))
        mask.save(path)
        rows.append(f"{image},{path},{('train', 'val', 'test')[n % 3]}")
    (root / "list.csv").write_text("\n".join(rows) + "\n")
    own = {
        "_target_": "seglab.data.sources.csv_tables.Csv",
        "root": str(root / "list.csv"),
        "class_names": ["even", "odd"],
    }
    official = {
        "_target_": "seglab.data.sources.csv_tables.Csv",
        "root": str(root / "list.csv"),
        "label_schema": "cityscapes.csv",
    }
    schema = ROOT / "src" / "seglab" / "data" / "schemas" / "cityscapes.csv"
    official["label_schema"] = str(schema)
    for data, expected in ((own, False), (official, True)):
        arguments = {key: value for key, value in data.items() if key != "_target_"}
        task = Component("Csv", data["_target_"], arguments).build().task
        image = keras.Input((32, 48, 3))
        model = keras.Model(image, keras.layers.Conv2D(task.logit_channels, 1)(image))
        bundle = Bundle(task, Preprocessing("scale", 3, 255.0), (32, 48), "resize", config={"data": data})
        saved = save_bundle(tmp_path / f"bundle{expected}", model, bundle)
        request = EvaluationRequest(bundle=str(saved), split="all", out=str(tmp_path / f"out{expected}"), workers=0)
        metrics = evaluate(request, console=Console(file=io.StringIO()))
        assert any(name.startswith("cityscapes_") for name in metrics) == expected


def above_half(rank: int) -> keras.Model:
    """Foreground is whatever is brighter than half: logit 10 v - 5."""
    convolution = {2: keras.layers.Conv2D, 3: keras.layers.Conv3D}[rank](1, 1)
    image = keras.Input((*(16,) * rank, 1))
    model = keras.Model(image, convolution(image))
    convolution.set_weights([np.full(convolution.kernel.shape, 10.0), np.array([-5.0])])
    return model


def record(folder: Path, config: dict, task: Task, split: Split, uri: str | None = None) -> str:
    """A finished run in `folder/mlruns`, or on a server, with bundle, config and split, as an experiment leaves one."""
    size = (16,) * task.rank
    unit = 255.0 if task.rank == 2 else 1.0
    bundle = Bundle(task, Preprocessing("scale", 1, unit), size, "patch", split_digest=split.digest(), config=config)
    with Tracker(toys.tracking(uri), folder / "mlruns", run_name="Toy", params={}, tags={}) as tracker:
        saved = save_bundle(tracker.work_dir / "bundle", above_half(task.rank), bundle)
        example = np.zeros((1, *size, 1), np.float32)
        tracker.log_bundle(saved, example=example, prediction=np.zeros((1, *size), np.uint8))
        tracker.log_text(split.to_json(), "config/split.json")
        tracker.emit({"test_dice": 0.5}, 1)
    return tracker.run_id


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A folder with pictures and a store, and the id of its run."""
    folder = tmp_path_factory.mktemp("made")
    toys.fresh_store(folder / "mlruns")
    root = pictures(folder / "data")
    config = composed("data=image_folder", f"data.root={root}", "data.class_names=[background,object]")
    task = Task(rank=2, channels=1, class_names=("background", "object"))
    return folder, record(folder, config, task, SPLIT)


@pytest.fixture
def copied(made: tuple[Path, str], tmp_path: Path) -> tuple[Path, str]:
    """The same store moved elsewhere; its data stay, and nothing is left where it was made."""
    folder, run_id = made
    shutil.copytree(folder / "mlruns", tmp_path / "mlruns")
    return tmp_path, run_id


def run_of(folder: Path, run_id: str):
    return open_store(None, folder / "mlruns").run(run_id)


@pytest.fixture(scope="module")
def evaluated(made: tuple[Path, str]) -> tuple[Path, str, dict[str, float], str]:
    folder, run_id = made
    console = Console(width=150, file=io.StringIO())
    request = EvaluationRequest(run=run_id, save_masks=True, out=str(folder / "out"), workers=1)
    metrics = evaluate(request, directory=folder / "mlruns", console=console)
    return folder, run_id, metrics, console.file.getvalue()  # type: ignore[attr-defined]


def test_a_run_gets_tables_metrics_and_pictures(evaluated) -> None:
    folder, run_id, metrics, _ = evaluated
    run = run_of(folder, run_id)
    assert run.info.status == "FINISHED"
    assert run.data.metrics["test_dice"] == 0.5  # its own score stays
    assert run.data.metrics["eval_test_dice"] == pytest.approx(metrics["dice"])
    for name in (
        "hd95_nonempty/object",
        "assd_nonempty",
        "nsd_1px/object",
        "iou_dataset",
        "lesion_recall/object",
        "ece",
    ):
        assert run.data.metrics[f"eval_test_{name}"] == pytest.approx(metrics[name])
    artifacts = Path(run.info.artifact_uri.removeprefix("file://")) / "evaluation" / "test"
    written = {path.name for path in artifacts.iterdir()}
    assert written == {path.name for path in (folder / "out" / "scores").iterdir()}
    assert written == {
        *("cases.csv", "cases.parquet", "metrics.json", "calibration.json"),
        *(f"{name}.png" for name in ("reliability", "confusion", "spread", "cases")),
    }
    table = pd.read_parquet(artifacts / "cases.parquet")
    assert table["id"].tolist() == IDS[6:]
    pd.testing.assert_frame_equal(table, pd.read_csv(artifacts / "cases.csv"), check_dtype=False)
    assert json.loads((artifacts / "metrics.json").read_text())["dice"] == pytest.approx(metrics["dice"])
    for picture in artifacts.glob("*.png"):
        assert min(Image.open(picture).size) > 200


def test_scores_are_those_of_the_pixels(evaluated) -> None:
    folder, _, metrics, text = evaluated
    dice, recall, found = [], [], []
    for case_id in IDS[6:]:
        truth = np.asarray(Image.open(folder / "data" / "masks" / f"{case_id}.png")) == 1
        mask = np.asarray(Image.open(folder / "out" / "masks" / f"{case_id}.png"))
        image = np.asarray(Image.open(folder / "data" / "images" / f"{case_id}.png"))
        np.testing.assert_array_equal(mask, image / 255 > 0.5)  # in its own size, by the run's own network
        dice.append(2 * (truth & (mask == 1)).sum() / (truth.sum() + mask.sum()))
        recall.append((truth & (mask == 1)).sum() / truth.sum())
        found.append(mask.sum() / truth.sum() - 1)
    assert metrics["dice"] == pytest.approx(np.mean(dice))
    assert metrics["recall/object"] == pytest.approx(np.mean(recall))
    assert metrics["volume_error/object"] == pytest.approx(np.mean(found))
    assert metrics["lesion_recall/object"] == 1
    assert metrics["temperature"] > 0
    for word in ("cases      2 of", "HD95 px", "NSD 1px", "with temperature", "masks ", "eval_test_"):
        assert word in text


def test_more_processes_or_none_change_nothing(evaluated) -> None:
    folder, run_id, metrics, _ = evaluated
    quiet = Console(file=io.StringIO())
    for workers in (0, 2):
        request = EvaluationRequest(run=run_id, save_masks=True, out=str(folder / f"out{workers}"), workers=workers)
        again = evaluate(request, directory=folder / "mlruns", console=quiet)
        assert again == pytest.approx(metrics, nan_ok=True)
        tables = [pd.read_parquet(folder / name / "scores" / "cases.parquet") for name in ("out", f"out{workers}")]
        pd.testing.assert_frame_equal(*(table.drop(columns="seconds") for table in tables))


def test_a_bundle_without_its_run(made, tmp_path: Path) -> None:
    folder, run_id = made
    bundle = tmp_path / "bundle"
    shutil.copytree(find_bundle(run_id, directory=folder / "mlruns"), bundle)
    with pytest.raises(DataError, match="split=all") as caught:  # the recorded split is not the one of the shares
        evaluate(EvaluationRequest(bundle=str(bundle), workers=0), directory=tmp_path / "none")
    assert "run=<id>" in str(caught.value)
    metrics = evaluate(
        EvaluationRequest(bundle=str(bundle), split="all", out=str(tmp_path / "out"), workers=0, tolerance_mm=2.5),
        directory=tmp_path / "none",
        console=Console(file=io.StringIO()),
    )
    assert metrics["cases"] == 8
    assert 0 < metrics["nsd_2.5px"] <= 1
    assert "temperature" not in metrics
    assert not (tmp_path / "none").exists()


def test_two_bundles_of_one_name_do_not_share_a_folder_of_results(made, tmp_path: Path) -> None:
    folder, run_id = made
    model, bundle = load_bundle(find_bundle(run_id, directory=folder / "mlruns"))
    for name, threshold in (("a", 0.5), ("b", 0.6)):
        saved = save_bundle(tmp_path / name / "bundle", model, replace(bundle, threshold=threshold))
        request = EvaluationRequest(bundle=str(saved), split="all", workers=0)
        evaluate(request, directory=tmp_path / "mlruns", console=Console(file=io.StringIO()))
        evaluate(request, directory=tmp_path / "mlruns", console=Console(file=io.StringIO()))  # takes its own place
    places = sorted((tmp_path / "mlruns" / "evaluations").glob("*/all/scores/cases.csv"))
    assert len(places) == 2
    assert all(place.parents[2].name.startswith("bundle-") for place in places)


def test_a_bundle_from_elsewhere_runs_no_code_that_it_names(made, tmp_path: Path) -> None:
    folder, run_id = made
    model, bundle = load_bundle(find_bundle(run_id, directory=folder / "mlruns"))
    evil = {"_target_": "pathlib.Path.touch", "self": str(tmp_path / "touched")}
    saved = save_bundle(tmp_path / "bundle", model, replace(bundle, config={**bundle.config, "data": evil}))
    with pytest.raises(DataError, match="names code of its own") as caught:
        evaluate(EvaluationRequest(bundle=str(saved), split="all"), console=Console(file=io.StringIO()))
    assert "pathlib.Path.touch" in str(caught.value)
    assert not (tmp_path / "touched").exists()


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def as_table(folder: Path, names: dict[str, str]) -> Path:
    """The pictures of `folder` under other names below it, in a table with absolute paths."""
    lines = ["image,mask,split"]
    for case_id, name in names.items():
        for kind in ("images", "masks"):
            target = folder / kind / f"{name}.png"
            target.parent.mkdir(parents=True, exist_ok=True)
            (folder / kind / f"{case_id}.png").rename(target)
        lines.append(f"{folder}/images/{name}.png,{folder}/masks/{name}.png,test")
    (folder / "list.csv").write_text("\n".join(lines) + "\n")
    return folder / "list.csv"


def test_whatever_the_ids_are_nothing_outside_of_the_output_is_written(made, tmp_path: Path) -> None:
    folder, run_id = made
    bundle = find_bundle(run_id, directory=folder / "mlruns")
    root = pictures(tmp_path / "data")
    names = {case_id: f"{'A' if n % 2 else 'a'}{n // 4}/slice $x{n // 2 % 2}$" for n, case_id in enumerate(IDS)}
    table, before = as_table(root, names), contents(root)
    words = ("data=csv", f"data.root={table}", "data.class_names=[background,object]")
    request = EvaluationRequest(
        bundle=str(bundle), split="test", data=words, out=str(tmp_path / "X"), save_masks=True, workers=0
    )
    evaluate(request, console=Console(file=io.StringIO()))
    assert contents(root) == before
    assert {path.name for path in tmp_path.iterdir()} == {"data", "X"}
    scores = pd.read_csv(tmp_path / "X" / "scores" / "cases.csv")
    assert sorted(scores["id"]) == sorted(
        f"images/{name}" for name in names.values()
    )  # no place on this disk is part of a name
    for case_id, file in zip(scores["id"], scores["mask"], strict=True):
        image = np.asarray(Image.open(root / f"{case_id}.png"))
        np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "X" / "masks" / file)), image / 255 > 0.5)
    assert len({file.casefold() for file in scores["mask"]}) == 8
    evaluate(request, console=Console(file=io.StringIO()))  # what was written before is replaced


@pytest.mark.parametrize("place", ["masks", "scores", "link"])
def test_files_of_the_user_in_the_place_of_results_stop_it_before_anything_is_done(
    made, tmp_path: Path, place: str
) -> None:
    folder, run_id = made
    bundle, root = find_bundle(run_id, directory=folder / "mlruns"), pictures(tmp_path / "data")
    out = root  # whose folder `masks` holds the truth
    if place == "scores":
        out = tmp_path / "out"
        (out / "scores").mkdir(parents=True)
        (out / "scores" / "metrics.json").write_text("{}")
        (out / "scores" / "diary.txt").write_text("mine")
    elif place == "link":  # masks of this program, and inputs all the same
        out = tmp_path / "out"
        evaluate(
            EvaluationRequest(
                bundle=str(bundle), split="all", data=(f"data.root={root}",), out=str(out), save_masks=True, workers=0
            ),
            console=Console(file=io.StringIO()),
        )
        shutil.rmtree(root / "masks")
        (root / "masks").symlink_to(out / "masks")
    before = contents(tmp_path)
    request = EvaluationRequest(
        bundle=str(bundle), split="all", data=(f"data.root={root}",), out=str(out), save_masks=True, workers=0
    )
    with pytest.raises((DataError, TrackingError)) as caught:
        evaluate(request, console=Console(file=io.StringIO()))
    assert {"masks": "are read from", "scores": "diary.txt", "link": "are read from"}[place] in str(caught.value)
    assert contents(tmp_path) == before


def test_a_bundle_whose_split_can_be_made_again(made, tmp_path: Path) -> None:
    folder, run_id = made
    model, bundle = load_bundle(find_bundle(run_id, directory=folder / "mlruns"))
    config = load_config(bundle.config)
    split = split_for(config.data.build(), config.data_config, config.seed)
    saved = save_bundle(tmp_path / "bundle", model, replace(bundle, split_digest=split.digest()))
    request = EvaluationRequest(bundle=str(saved), workers=0, out=str(tmp_path / "out"))
    metrics = evaluate(request, console=Console(file=io.StringIO()))
    assert pd.read_csv(tmp_path / "out" / "scores" / "cases.csv")["id"].tolist() == list(split.test)
    assert metrics["temperature"] > 0
    older = {key: value for key, value in bundle.config["data"].items() if key != "folds"}
    saved = save_bundle(tmp_path / "older", model, replace(bundle, config={**bundle.config, "data": older}))
    with pytest.raises(DataError, match="of another version"):
        evaluate(replace(request, bundle=str(saved)), console=Console(file=io.StringIO()))


def test_a_split_without_cases_and_a_bundle_without_data(made, tmp_path: Path) -> None:
    folder, run_id = made
    model, bundle = load_bundle(find_bundle(run_id, directory=folder / "mlruns"))
    empty = Split(tuple(IDS), (), ())
    other = tmp_path / "other"
    toys.fresh_store(other / "mlruns")
    empty_id = record(other, bundle.config, bundle.task, empty)
    with pytest.raises(DataError, match="no case to score") as caught:
        evaluate(EvaluationRequest(run=empty_id), directory=other / "mlruns", console=Console(file=io.StringIO()))
    assert "train: 8, val: 0, test: 0" in str(caught.value)
    saved = save_bundle(tmp_path / "bundle", model, replace(bundle, config={}))
    with pytest.raises(DataError, match="does not know its data") as caught:
        evaluate(EvaluationRequest(bundle=str(saved)), console=Console(file=io.StringIO()))
    assert "data=<name>" in str(caught.value)


def test_other_data_have_a_name_of_their_own(made, tmp_path: Path) -> None:
    folder, run_id = made
    other = pictures(tmp_path / "other")
    words = ("data=image_folder", f"data.root={other}", "data.class_names=[background,object]")
    console = Console(file=io.StringIO())
    with pytest.raises(DataError, match="split=all"):
        evaluate(EvaluationRequest(run=run_id, data=words), directory=folder / "mlruns", console=console)
    request = EvaluationRequest(run=run_id, data=words, split="all", workers=0)
    metrics = evaluate(request, directory=folder / "mlruns", console=console)
    run = run_of(folder, run_id)
    assert run.data.metrics["eval_ImageFolder-all_dice"] == pytest.approx(metrics["dice"])
    assert (folder / "mlruns" / "evaluations" / run_id / "ImageFolder-all" / "scores" / "cases.csv").is_file()
    other_classes = replace(request, data=("data=image_folder", f"data.root={other}", "data.class_names=[a,b]"))
    with pytest.raises(DataError, match="another task"):
        evaluate(other_classes, directory=folder / "mlruns", console=console)
    with pytest.raises(ConfigError, match=r"data\.image"):
        evaluate(replace(request, data=(*words, "data.imagez=x")), directory=folder / "mlruns", console=console)


def test_the_same_data_in_another_place(made, tmp_path: Path) -> None:
    folder, run_id = made
    moved = tmp_path / "moved"
    shutil.copytree(folder / "data", moved)
    console = Console(file=io.StringIO())
    request = EvaluationRequest(run=run_id, data=(f"data.root={moved}",), workers=0)
    assert evaluate(request, directory=folder / "mlruns", console=console)["cases"] == 2
    for part in ("images", "masks"):
        (moved / part / "case7.png").unlink()
    with pytest.raises(DataError, match="case7"):
        evaluate(request, directory=folder / "mlruns", console=console)
    with pytest.raises(ConfigError, match="did you mean 'root'"):
        evaluate(EvaluationRequest(run=run_id, data=("data.roots=x",)), directory=folder / "mlruns", console=console)


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
    code, said = within(mount, script, folder)
    assert code == 2
    assert "error: the results cannot be written" in said
    assert "can only be read" in said
    assert "out=…" in said
    assert "mean of foreground" not in said  # before the work, not after it
    code, said = within(mount, [*script, f"out={tmp_path / 'out'}"], folder)
    assert code == 2
    assert "mean of foreground" in said
    assert "error: results that cannot be added to the run" in said
    assert f"the results themselves are in {tmp_path / 'out' / 'scores'}" in said
    assert "Traceback" not in said
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
    code, said = within(mount, script, folder, after=f"cp -r {disk}/. {copy}")
    assert code == 2
    assert "error: the results cannot be written" in said
    assert "No space left on device" in said
    assert "Traceback" not in said
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


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "one model is scored"),
        (["run=a", "bundle=b"], "one model is scored"),
        (["rum=a"], "did you mean 'run'"),
        (["somewhere"], "not a setting"),
        (["run=a", "split=tset"], "did you mean 'test'"),
        (["run=a", "save_masks=2"], "true or false"),
        (["run=a", "tolerance_mm=-1"], "greater than or equal to 0"),
        (["run=a", "tolerance_mm=x"], "a number"),
        (["run=a", "workers=1.5"], "whole number"),
    ],
)
def test_words_that_mean_nothing_are_refused(words: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        EvaluationRequest(**asdict(read_words(words)))


def test_words_make_a_request() -> None:
    words = ["run=123e4", "split=val", "data=nifti", "data.root=x", "save_masks=true", "tolerance_mm=2", "workers=0"]
    assert EvaluationRequest(**asdict(read_words(words))) == EvaluationRequest(
        run="123e4", split="val", data=("data=nifti", "data.root=x"), save_masks=True, tolerance_mm=2, workers=0
    )


def test_the_command(made) -> None:
    folder, run_id = made
    script = str(ROOT / "scripts" / "evaluate.py")
    done = subprocess.run(
        [sys.executable, script, f"run={run_id}", "split=val", "workers=1"],
        cwd=folder, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "mean of foreground" in done.stdout
    assert (folder / "mlruns" / "evaluations" / run_id / "val" / "scores" / "cases.csv").is_file()
    assert not math.isnan(run_of(folder, run_id).data.metrics["eval_val_dice"])
    wrong = subprocess.run([sys.executable, script, "run=none"], cwd=folder, capture_output=True, text=True, timeout=60)
    assert wrong.returncode == 2
    assert re.match(r"(… .*\n)*error: no run of this id", wrong.stderr)
    assert "Traceback" not in wrong.stderr
