"""A whole run through the real parts: config, data, training, scores, pictures, bundle and store."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import hydra
import numpy as np
import pandas as pd
import pytest
import yaml

from seglab.config.loading import load_config
from seglab.errors import ConfigError, TrackingError, TrainingError

ROOT = Path(__file__).parents[2]
# One small run: 12 images of 32x32, a net of 2 levels, 2 epochs.
SMALL = [
    "model=unet",
    "model.depth=1",
    "model.width=4",
    "data.size=[32,32]",
    "data.count=12",
    "data.batch_size=4",
    "data.split={train:0.5,val:0.25,test:0.25}",
    "trainer.epochs=2",
    "precision=float32",
    "tracking.system_metrics=false",
]


def compose(*overrides: str):
    with hydra.initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        return hydra.compose("train", overrides=[*SMALL, *overrides])


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def store_of(folder: Path):
    from seglab.tracking.store import open_store

    return open_store(None, folder / "mlruns")


def only_run(folder: Path):
    (run,) = store_of(folder).all_runs()
    return run


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory):
    """A finished run: (folder, run, objective)."""
    from seglab.experiment.run import run

    folder = tmp_path_factory.mktemp("finished")
    before = Path.cwd()
    os.chdir(folder)
    try:
        objective = run(compose("loss=dice"), tags={"sweep_id": "s", "sweep_job": "3"})
    finally:
        os.chdir(before)
    return folder, only_run(folder), objective


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
    said = capsys.readouterr().out
    made = only_run(folder)
    assert made.info.status == "FINISHED"
    assert "12 training, 0 validation, 0 test" in said
    assert re.search(r"memory {5}0\.\d\d GiB or more for a training step, and 0\.0 GiB are free: .*data\.size", said)
    counted = {words[1]: words for words in map(str.split, said.splitlines()) if len(words) == 4}
    assert int(counted["background"][2].replace(",", "")) + int(counted["object"][2].replace(",", "")) == 12 * 32 * 32
    assert counted["object"][0] == "1"
    objects = int(counted["object"][2].replace(",", ""))
    assert counted["object"][3] == f"{objects / (12 * 32 * 32):.1%}"
    assert "UNet_DiceLoss_Adam: train cases" in said
    assert "mean over 12 cases, [95% interval]" in said
    assert f"run id     {made.info.run_id}" in said
    pictures = next(line.split(maxsplit=1)[1] for line in said.splitlines() if line.startswith("pictures"))
    assert Path(pictures, "train_cases.png").is_file()
    assert "seglab ui" in said
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
    told = without_secrets(config)
    assert told["tracking"].pop("uri") == "postgresql://me:***@host/runs"
    assert told == {**config.resolved, "tracking": told["tracking"]}


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


def test_a_loss_that_is_not_finite_fails_the_run_with_epoch_batch_and_cases(folder: Path) -> None:
    from seglab.experiment.run import run

    with pytest.raises(TrainingError, match=r"epoch 1, batch \d, cases synthetic2d_\d+") as caught:
        run(compose("optimizer=sgd", "optimizer.learning_rate=1e30", "model.norm=none", "schedule=constant"))
    failed = only_run(folder)
    assert failed.info.status == "FAILED"
    text = Path(store_of(folder).client.download_artifacts(failed.info.run_id, "traceback.txt")).read_text()
    assert "the loss is not finite" in text
    assert len(list((folder / "mlruns" / "runs" / failed.info.run_id).glob("not_finite_*.npz"))) == 1
    assert "lower optimizer.learning_rate" in str(caught.value)


def test_resume_refuses_what_cannot_be_resumed(finished, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from seglab.experiment.run import run

    monkeypatch.chdir(finished[0])
    run_id = finished[1].info.run_id
    with pytest.raises(TrackingError, match="finished run cannot be resumed"):
        run(compose("loss=dice", f"resume={run_id}"))
    with pytest.raises(TrackingError, match="no run of this id"):
        run(compose("resume=0123"))
    with pytest.raises(ConfigError) as caught:
        run(compose("loss=focal", f"resume={run_id}", "seed=7"), ["loss=focal", f"resume={run_id}", "seed=7"])
    for line in ("loss.name: was DiceLoss, is FocalLoss", "seed: was 42, is 7"):
        assert line in str(caught.value)
    # A preset is no key of the config: what it sets is compared, and only that.
    with pytest.raises(ConfigError) as caught:
        run(compose("loss=dice", f"resume={run_id}", "debug=overfit"), [f"resume={run_id}", "debug=overfit"])
    assert "data.validate_on_train: was False, is True" in str(caught.value)
    with pytest.raises(TrackingError, match="finished run cannot be resumed"):
        run(compose("loss=dice", f"resume={run_id}"), [f"resume={run_id}", "debug=null"])


def test_a_run_that_was_stopped_before_its_first_epoch_lacks_nothing_in_the_end(
    finished, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from seglab.experiment import run

    def told_to_stop(*_: object) -> None:
        raise KeyboardInterrupt

    def contents(where: Path, run) -> tuple[set[str], set[str], set[str]]:
        place = Path(run.info.artifact_uri.removeprefix("file://"))
        files = {str(path.relative_to(place)) for path in place.rglob("*") if path.is_file()}
        return files, {one.dataset.name for one in run.inputs.dataset_inputs}, {*run.data.tags, *run.data.params}

    # Before anything was recorded, and between two records.
    run_id, tags = "", {"sweep_id": "s", "sweep_job": "3"}
    moments = ["record_words", "record_inputs", "record_pictures"]
    for moment in moments:
        with monkeypatch.context() as patched:
            patched.setattr(run, moment, told_to_stop)
            with pytest.raises(KeyboardInterrupt):
                run.run(compose("loss=dice", *([f"resume={run_id}"] if run_id else [])), tags=tags)
        run_id = only_run(folder).info.run_id
        assert f"train resume={run_id}" in capsys.readouterr().out
        assert only_run(folder).info.status == "KILLED"
    run.run(compose(f"resume={run_id}"), [f"resume={run_id}"])
    whole, mended = contents(finished[0], finished[1]), contents(folder, only_run(folder))
    assert mended[0] == whole[0] >= {"data.html", "model_summary.txt", "config/environment.json", "config/config.yaml"}
    assert mended[1] == whole[1]
    assert mended[2] == whole[2]
    assert only_run(folder).info.status == "FINISHED"


def test_ctrl_c_says_what_was_done_and_the_command_that_goes_on(tmp_path: Path) -> None:
    words = [*SMALL, "trainer.epochs=4", "data.count=24", f"tracking.uri=sqlite:///{tmp_path}/my store.db"]
    command = [sys.executable, str(ROOT / "train.py"), *words]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert process.stdout is not None
    for line in process.stdout:
        if "epoch 2/4" in line:
            process.send_signal(signal.SIGINT)
            break
    said, _ = process.communicate(timeout=100)
    assert process.returncode == 130, said
    (stopped,) = [line for line in said.splitlines() if line.startswith("stopped")]
    found = re.search(r"after epoch (\d) of 4; go on with: (.*)$", stopped)
    assert found is not None, said
    assert "Traceback" not in said
    done = subprocess.run(found[2], shell=True, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"resuming after epoch {found[1]} of 4" in done.stdout
    begun = [line for line in done.stderr.splitlines() if line.startswith("… ")]
    assert [line.split()[1] for line in begun] == [
        *("opening", "reading", "loading", "building", "drawing", "compiling"),  # before the first epoch
        *("drawing", "measuring", "scoring", "handing"),
    ]


def history_of(folder: Path, run_id: str, names: list[str]) -> dict[str, list[tuple[int, float]]]:
    client = store_of(folder).client
    return {name: [(m.step, m.value) for m in client.get_metric_history(run_id, name)] for name in names}


@pytest.mark.slow
def test_killed_in_epoch_3_and_resumed_equals_unbroken_bit_for_bit(tmp_path: Path) -> None:
    """The real command, SIGKILL, and the real command again."""
    words = [*SMALL, "trainer.epochs=5", "augment=strong", "model.dropout=0.2", "schedule=cosine", "data.count=24"]
    names = ["train_loss", "train_dice", "val_loss", "val_dice", "learning_rate", "test_dice", "test_iou"]
    folders = {name: tmp_path / name for name in ("whole", "broken")}
    for folder in folders.values():
        folder.mkdir()

    def train(folder: Path, *more: str) -> subprocess.Popen[str]:
        command = [sys.executable, str(ROOT / "train.py"), *more]
        return subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    whole = train(folders["whole"], *words)
    broken = train(folders["broken"], *words)
    assert broken.stdout is not None
    for line in broken.stdout:
        if "epoch 2/5" in line:
            broken.send_signal(signal.SIGKILL)
            break
    broken.wait(60)
    said, _ = whole.communicate(timeout=500)
    assert whole.returncode == 0, said

    run_id = only_run(folders["broken"]).info.run_id
    resumed = train(folders["broken"], f"resume={run_id}")
    said, _ = resumed.communicate(timeout=500)
    assert resumed.returncode == 0, said
    assert "resuming after epoch" in said

    run = only_run(folders["broken"])
    assert run.info.run_id == run_id
    assert run.info.status == "FINISHED"
    assert run.data.tags["resume_count"] == "1"
    unbroken = only_run(folders["whole"]).info.run_id
    assert history_of(folders["broken"], run_id, names) == history_of(folders["whole"], unbroken, names)
    assert [step for step, _ in history_of(folders["broken"], run_id, ["val_dice"])["val_dice"]] == [1, 2, 3, 4, 5]


def test_sigterm_ends_killed_with_its_own_exit_code(tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "train.py"), *SMALL, "trainer.epochs=200", "trainer.patience_epochs=null"]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert process.stdout is not None
    for line in process.stdout:
        if "epoch" in line and "1/200" in line:
            break
    time.sleep(0.2)
    process.send_signal(signal.SIGTERM)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 143, said
    assert "Traceback" not in said
    assert only_run(tmp_path).info.status == "KILLED"


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


@pytest.fixture
def absent(folder: Path) -> list[str]:
    """Settings for images of which no validation mask holds the class."""
    import cv2

    rng, rows = np.random.default_rng(0), ["image,mask,split"]
    for n, split in enumerate(["train"] * 4 + ["val"] * 2 + ["test"] * 2):
        mask = np.zeros((32, 32), np.uint8)
        if split != "val":
            mask[4 + n : 16 + n, 8:20] = 1
        cv2.imwrite(f"i{n}.png", (mask * 120 + rng.integers(0, 90, mask.shape)).astype(np.uint8))
        cv2.imwrite(f"m{n}.png", mask)
        rows.append(f"i{n}.png,m{n}.png,{split}")
    Path("list.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    kept = [word for word in SMALL if not word.startswith(("data.count", "data.split"))]
    return [*kept, "data=csv", "data.root=list.csv", "loss=dice", "trainer.epochs=4", "trainer.patience_epochs=1"]


def composed(words: list[str]):
    with hydra.initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        return hydra.compose("train", overrides=words)


def test_a_monitor_that_no_validation_mask_defines_ends_nothing_and_chooses_nothing(
    absent: list[str], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from seglab.experiment.run import run

    assert np.isnan(run(composed(absent)))
    done = only_run(folder)
    assert done.info.status == "FINISHED"
    history = store_of(folder).client.get_metric_history(done.info.run_id, "val_loss")
    assert [one.step for one in history] == [1, 2, 3, 4]  # a patience of one did not end it
    assert done.data.tags["monitor_undefined"] == "4 of 4 epochs"
    assert (done.data.tags["best_epoch"], done.data.tags["stopped_early"]) == ("None", "False")
    told = capsys.readouterr().out
    assert "monitor-undefined" in told
    assert "val_dice was never defined, so no epoch was chosen" in told
    # Where val_dice and test_dice stand side by side, it is said that they are not the same.
    for text in (told, done.data.tags["mlflow.note.content"]):
        assert "val_dice is of all validation pixels together" in text
        assert "test_dice is the mean of the whole test cases' own" in text


def test_the_remedy_for_an_undefined_monitor_chooses_an_epoch(
    absent: list[str], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from seglab.experiment.run import run

    assert np.isfinite(run(composed([*absent, "trainer.monitor=val_loss"])))
    assert only_run(folder).data.tags["best_epoch"] in "1234"
    assert "monitor-undefined" not in capsys.readouterr().out
