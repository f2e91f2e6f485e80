"""A whole run through the real parts: config, data, training, scores, pictures, bundle and store."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
from pathlib import Path

import hydra
import numpy as np
import pandas as pd
import pytest
import yaml
from recorded_training import ROOT, SMALL, compose, finished, folder, only_run, store_of

from seglab.config.run_config import load_config
from seglab.errors import TrackingError

__all__ = ["finished", "folder"]


def test_a_run_is_named_ends_finished_and_leaves_nothing_outside_mlruns(finished) -> None:
    folder, run, _ = finished
    assert run.info.run_name == "UNet_DiceLoss_Adam"
    assert run.info.status == "FINISHED"
    assert [path.name for path in folder.iterdir()] == ["mlruns"]


def test_params_and_tags_name_config_code_data_split_and_machine(finished) -> None:
    _, run, _ = finished
    config = load_config(compose("loss=dice"))
    assert run.data.params["model.width"] == "4"
    assert run.data.params["optimizer.learning_rate"] == "0.001"
    assert run.data.params["data.split.val"] == "0.25"
    assert run.data.tags["config_digest"] == config.digest
    assert run.data.tags["precision"] == "float32"
    assert run.data.tags["sweep_job"] == "3"
    for key in ("data_digest", "split_digest", "device", "git_dirty", "host", "pid", "seed", "parameters"):
        assert run.data.tags[key], key
    assert 300 < int(run.data.tags["peak_memory_mb"]) < 20_000  # TensorFlow alone takes more than 300


def test_every_epoch_has_one_value_of_each_metric(finished) -> None:
    folder, run, _ = finished
    client = store_of(folder).client
    per_epoch = ["train_loss", "train_dice", "train_iou", "val_loss", "val_dice", "val_iou", "val_dice/object"]
    per_epoch += ["learning_rate", "images_per_second", "epoch_seconds", "data_wait_share"]
    for name in per_epoch:
        history = client.get_metric_history(run.info.run_id, name)
        assert [metric.step for metric in history] == [1, 2], name
        assert all(np.isfinite(metric.value) for metric in history), name


def test_the_objective_is_the_best_monitored_value(finished) -> None:
    folder, run, objective = finished
    history = store_of(folder).client.get_metric_history(run.info.run_id, "val_dice")
    assert objective == pytest.approx(max(metric.value for metric in history), abs=1e-6)


def test_the_reported_dice_is_the_mean_over_whole_test_cases(finished) -> None:
    folder, run, _ = finished
    table = pd.read_csv(store_of(folder).client.download_artifacts(run.info.run_id, "test_cases.csv"))
    assert len(table) == 3
    assert run.data.metrics["test_dice"] == pytest.approx(table["dice"].mean(), abs=1e-6)
    assert run.data.metrics["test_iou"] == pytest.approx(table["iou"].mean(), abs=1e-6)


def test_pictures_summary_split_and_config_are_artifacts(finished) -> None:
    folder, run, _ = finished
    client = store_of(folder).client
    names = {item.path for part in ("", "pictures", "config") for item in client.list_artifacts(run.info.run_id, part)}
    assert {
        "pictures/curves.png",
        "pictures/test_cases.png",
        "pictures/training_samples.png",
        "data.html",
        "model_summary.txt",
        "config/config.yaml",
        "config/split.json",
        "config/environment.json",
    } <= names
    stored = yaml.safe_load(Path(client.download_artifacts(run.info.run_id, "config/config.yaml")).read_text())
    assert load_config(stored).digest == run.data.tags["config_digest"]


def test_without_other_cases_the_training_cases_are_scored_and_shown(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import seglab.runtime.memory
    from seglab.experiment.run import run

    monkeypatch.setattr(seglab.runtime.memory, "available_bytes", lambda: 1000)
    words = ["loss=dice", "data.split={train:1.0,val:0.0,test:0.0}", "trainer.monitor=train_dice", "trainer.epochs=1"]
    run(compose(*words))
    output = capsys.readouterr().out
    made = only_run(folder)
    assert made.info.status == "FINISHED"
    assert "12 training, 0 validation, 0 test" in output
    assert re.search(r"memory {5}0\.\d\d GiB or more for a training step, and 0\.0 GiB are free: .*data\.size", output)
    counted = {words[1]: words for words in map(str.split, output.splitlines()) if len(words) == 4}
    assert int(counted["background"][2].replace(",", "")) + int(counted["object"][2].replace(",", "")) == 12 * 32 * 32
    assert counted["object"][0] == "1"
    objects = int(counted["object"][2].replace(",", ""))
    assert counted["object"][3] == f"{objects / (12 * 32 * 32):.1%}"
    assert "UNet_DiceLoss_Adam: train cases" in output
    assert "mean over 12 cases, [95% interval]" in output
    assert f"run id     {made.info.run_id}" in output
    pictures = next(line.split(maxsplit=1)[1] for line in output.splitlines() if line.startswith("pictures"))
    assert Path(pictures, "train_cases.png").is_file()
    assert "seglab ui" in output
    assert "test_dice" not in made.data.metrics


def test_an_unreachable_server_stops_before_the_data_is_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import seglab.data.loading.training_data
    from seglab.experiment.run import run

    monkeypatch.setattr(seglab.data.loading.training_data, "gather", lambda config: pytest.fail("the data was read"))
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # bound and not listening
        with pytest.raises(TrackingError, match=r"tracking\.uri"):
            run(compose(f"tracking.uri=http://127.0.0.1:{nobody.getsockname()[1]}"))


def test_a_password_does_not_travel_with_the_config() -> None:
    from seglab.experiment.record import without_secrets

    config = load_config(compose("tracking.uri=postgresql://me:secret@host/runs"))
    cleaned = without_secrets(config)
    assert cleaned["tracking"].pop("uri") == "postgresql://me:***@host/runs"
    assert cleaned == {**config.resolved, "tracking": cleaned["tracking"]}


def test_data_sets_are_inputs_of_the_run(finished) -> None:
    _, run, _ = finished
    contexts = {
        tag.value for item in run.inputs.dataset_inputs for tag in item.tags if tag.key == "mlflow.data.context"
    }
    assert contexts == {"training", "validation", "testing"}
    assert len({item.dataset.digest for item in run.inputs.dataset_inputs}) == 3


def test_the_model_loads_through_mlflow_and_gives_the_scored_masks(finished) -> None:
    import mlflow

    from seglab.data.loading.training_data import gather
    from seglab.metrics.confusion import confusion_matrix, dice_iou

    folder, run, _ = finished
    mlflow.set_tracking_uri(store_of(folder).uri)
    model = mlflow.pyfunc.load_model(f"runs:/{run.info.run_id}/model")
    training_data = gather(load_config(compose("loss=dice")))
    table = pd.read_csv(store_of(folder).client.download_artifacts(run.info.run_id, "test_cases.csv")).set_index("id")
    for case in training_data.cases("test"):
        sample = training_data.source.read(case)
        (mask,) = model.predict(sample.image[None].astype(np.float32))
        dice, _ = dice_iou(confusion_matrix(sample.mask, mask, training_data.task))
        assert dice[1] == pytest.approx(table.loc[case.id, "dice"], abs=1e-6)


def test_the_same_config_gives_the_same_bits(finished, folder: Path) -> None:
    from seglab.experiment.run import run

    _, first, objective = finished
    assert run(compose("loss=dice")) == objective
    second = only_run(folder)
    for name in ("train_loss", "val_loss", "val_dice", "test_dice", "test_iou"):
        assert second.data.metrics[name] == first.data.metrics[name], name


@pytest.mark.parametrize("model", ["conv3d", "unet3d"])
def test_the_same_command_covers_3d(model: str, folder: Path) -> None:
    from seglab.experiment.run import run

    overrides = [word for word in SMALL if not word.startswith(("model", "data.size", "data.batch"))]
    with hydra.initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        cfg = hydra.compose(
            "train",
            overrides=[*overrides, f"model={model}", "data=synthetic3d", "data.size=[16,16,16]", "model.width=4"]
            + (["model.depth=1"] if model == "unet3d" else ["model.depth=2"]),
        )
    run(cfg)
    recorded = only_run(folder)
    assert recorded.info.run_name == {"conv3d": "Conv3D", "unet3d": "UNet3D"}[model] + "_CombinedLoss_Adam"
    assert recorded.info.status == "FINISHED"
    assert 0 <= recorded.data.metrics["test_dice"] <= 1


def test_a_sweep_makes_one_run_for_each_combination(tmp_path: Path) -> None:
    small = [word for word in SMALL if word != "model=unet"]
    done = subprocess.run(
        [sys.executable, str(ROOT / "train.py"), "-m", "model=unet_mini", "loss=dice,focal", *small],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    runs = [run for run in store_of(tmp_path).all_runs() if "mlflow.parentRunId" in run.data.tags]
    names = {run.info.run_name for run in runs}
    assert names == {"UNetMini_DiceLoss_Adam", "UNetMini_FocalLoss_Adam"}
    assert len({run.data.tags["sweep_id"] for run in runs}) == 1
    assert sorted(run.data.tags["sweep_job"] for run in runs) == ["0", "1"]
    assert [path.name for path in tmp_path.iterdir()] == ["mlruns"]
