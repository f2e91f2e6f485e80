"""Runs that stop: told to, killed, with a loss that is not finite, with an undefined score; and go on."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import hydra
import numpy as np
import pytest
from recorded_training import ROOT, SMALL, compose, finished, folder, only_run, store_of

from seglab.errors import ConfigError, TrackingError, TrainingError

__all__ = ["finished", "folder"]


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

    def asked_to_stop(*_: object) -> None:
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
            patched.setattr(run, moment, asked_to_stop)
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


@pytest.mark.slow
def test_ctrl_c_says_what_was_done_and_the_command_that_goes_on(tmp_path: Path) -> None:
    words = [*SMALL, "trainer.epochs=4", "data.count=24", f"tracking.uri=sqlite:///{tmp_path}/my store.db"]
    command = [sys.executable, str(ROOT / "train.py"), *words]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert process.stdout is not None
    for line in process.stdout:
        if "epoch 2/4" in line:
            process.send_signal(signal.SIGINT)
            break
    output, _ = process.communicate(timeout=100)
    assert process.returncode == 130, output
    (stopped,) = [line for line in output.splitlines() if line.startswith("stopped")]
    found = re.search(r"after epoch (\d) of 4; go on with: (.*)$", stopped)
    assert found is not None, output
    assert "Traceback" not in output
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
    for place in folders.values():
        place.mkdir()

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
    output, _ = whole.communicate(timeout=500)
    assert whole.returncode == 0, output

    run_id = only_run(folders["broken"]).info.run_id
    resumed = train(folders["broken"], f"resume={run_id}")
    output, _ = resumed.communicate(timeout=500)
    assert resumed.returncode == 0, output
    assert "resuming after epoch" in output

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
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 143, output
    assert "Traceback" not in output
    assert only_run(tmp_path).info.status == "KILLED"


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
    output = capsys.readouterr().out
    assert "monitor-undefined" in output
    assert "val_dice was never defined, so no epoch was chosen" in output
    # Where val_dice and test_dice stand side by side, it is said that they are not the same.
    for text in (output, done.data.tags["mlflow.note.content"]):
        assert "val_dice is of all validation pixels together" in text
        assert "test_dice is the mean of the whole test cases' own" in text


@pytest.mark.slow
def test_the_remedy_for_an_undefined_monitor_chooses_an_epoch(
    absent: list[str], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from seglab.experiment.run import run

    assert np.isfinite(run(composed([*absent, "trainer.monitor=val_loss"])))
    assert only_run(folder).data.tags["best_epoch"] in "1234"
    assert "monitor-undefined" not in capsys.readouterr().out
