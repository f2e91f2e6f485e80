"""The laboratory from Python: one implementation with the commands, several calls in one process."""

from __future__ import annotations

import io
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import seglab
from seglab.command import composed_config
from seglab.config.run_config import load_config

SMALL = (
    "model=unet_mini",
    "data.count=12",
    "data.size=[32,32]",
    "trainer.epochs=2",
    "model.width=4",
    "schedule=constant",
)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Two runs of one process: the same but for the loss, then the first once more."""
    folder = tmp_path_factory.mktemp("notebook")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        yield folder, [seglab.train(*SMALL, f"loss={loss}") for loss in ("dice", "focal", "dice")]


@pytest.mark.slow
def test_a_run_says_what_became_of_it(trained: Any) -> None:
    folder, (run, *_) = trained
    assert (run.name, run.status) == ("UNetMini_DiceLoss_Adam", "FINISHED")
    assert run.params["loss.name"] == "DiceLoss"
    assert len(run.tags["data_digest"]) == 64
    assert not any(key.startswith("mlflow.") for key in run.tags)
    assert list(run.metrics.index) == [1, 2]
    assert {"train_loss", "val_dice", "val_iou"} <= set(run.metrics)
    assert run.objective == pytest.approx(run.metrics["val_dice"].max())
    assert 0 <= run.scores["test_dice"] <= 1
    (table,) = (folder / "mlruns").rglob(f"{run.id}/artifacts/test_cases.csv")
    assert len(run.cases) == len(table.read_text().splitlines()) - 1
    assert run.cases["dice"].mean() == pytest.approx(run.scores["test_dice"], abs=1e-4)
    assert {"curves", "training_samples"} <= set(run.pictures)
    assert all(file.is_file() for file in run.pictures.values())
    assert (run.bundle / "bundle.json").is_file()


def test_a_later_run_in_the_same_process_is_the_same_run(trained: Any) -> None:
    _, (first, other, again) = trained
    assert first.id != again.id
    columns = [name for name in first.metrics if name.startswith(("train_", "val_"))]
    assert first.metrics[columns].equals(again.metrics[columns])
    assert not first.metrics["train_loss"].equals(other.metrics["train_loss"])


def test_a_model_is_loaded_by_run_and_by_folder(trained: Any) -> None:
    _, (run, *_) = trained
    image = np.random.default_rng(0).integers(0, 255, (40, 36, 1)).astype(np.uint8)
    mask = seglab.load(f"runs:/{run.id}").predict(image)
    assert mask.shape == (40, 36)
    assert (seglab.load(run.bundle).predict(image) == mask).all()
    assert (run.predict(image) == mask).all()
    with pytest.raises(seglab.SeglabError, match="no run of this id"):
        seglab.load("f" * 32)


def test_runs_are_compared(trained: Any) -> None:
    _, runs = trained
    found = seglab.compare(runs=runs, pictures=0)
    assert found.answers[0].startswith("UNetMini_")
    assert "has the best test_dice, 0." in found.answers[0]
    assert {"curves", "cases", "costs"} <= set(found.pictures)
    data, words = found.pictures["cases"]._repr_mimebundle_()
    assert data["image/png"].startswith(b"\x89PNG")
    assert words["image/png"]["alt"].startswith("test_dice of every case")
    assert len(found.runs) == 2, "a run and its repetition count once"
    assert sorted(found.variants["variant"]) == ["UNetMini_DiceLoss_Adam", "UNetMini_FocalLoss_Adam"]
    with pytest.raises(seglab.SeglabError, match="one run is nothing to compare"):
        seglab.compare(runs=runs[:1])
    with pytest.raises(seglab.SeglabError, match="did you mean 'metric'"):
        seglab.compare(metrc="test_iou")


def test_what_was_trained_once_is_not_trained_again(trained: Any, capfd: pytest.CaptureFixture[str]) -> None:
    words = [*SMALL, "loss=dice", "trainer.epochs=1"]
    first = seglab.train(*words, once=True)
    assert "no finished run of these settings is there: UNetMini_DiceLoss_Adam is trained" in capfd.readouterr().err
    again = seglab.train(*words, "run_name=another", once=True)
    assert again.id == first.id
    assert f"UNetMini_DiceLoss_Adam is there, run {first.id}: nothing is trained" in capfd.readouterr().err
    assert again.metrics.equals(first.metrics)
    from seglab.sweeping.done_before import done_before

    config = load_config(composed_config([*words, "seed=7"]))
    assert done_before(config, Path("mlruns"))[1] is None, "another seed is another run"
    with pytest.raises(seglab.SeglabError, match="leave once=True away"):
        seglab.train(*words, f"resume={first.id}", once=True)


def test_samples_are_those_that_a_run_draws(trained: Any) -> None:
    _, (run, *_) = trained
    picture = seglab.datasets.samples(*SMALL, "loss=dice")
    pixels = np.asarray(Image.open(io.BytesIO(picture.png)))
    assert (pixels == np.asarray(Image.open(run.pictures["training_samples"]))).all()
    assert picture.caption.endswith("augmentation Light.")
    other = np.asarray(Image.open(io.BytesIO(seglab.datasets.samples(*SMALL, "augment=none").png)))
    assert pixels.shape != other.shape or (pixels != other).any()


def test_a_data_set_becomes_a_page(trained: Any) -> None:
    page = seglab.datasets.explore("data.count=12", "data.size=[32,32]")
    assert page == Path("mlruns/explore/Synthetic2D.html")
    assert page.read_text().count("<figure>") >= 6
    with pytest.raises(seglab.SeglabError, match="nowhere"):
        seglab.datasets.explore("data=image_folder", "data.root=nowhere")


def test_a_run_is_evaluated(trained: Any) -> None:
    _, (run, *_) = trained
    scores = seglab.evaluate(run, split="val", workers=0)
    assert scores["dice"] == pytest.approx(seglab.open_run(run.id).scores["eval_val_dice"])


@pytest.mark.slow
def test_the_page_of_the_documentation_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (Path(__file__).parents[2] / "docs" / "python.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    exec(code, names)
    assert names["mask"].shape == (100, 80)
    assert [run.status for run in names["runs"]] == ["FINISHED", "FINISHED"]


def test_a_data_set_is_checked() -> None:
    checked = seglab.datasets.check("data.count=12", "data.size=[32,32]")
    assert not checked.report.errors
    assert checked.source is not None
    assert len(checked.source.cases) == 12


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["modle=unet"], "did you mean: model=unet"),
        (["loss=dcie"], "did you mean: loss=dice"),
        (["data.size=[130,128]"], "the next valid size"),
        (["-m", "loss=dice,focal"], "a flag where settings are wanted"),
        (["loss=dice,focal"], "several values"),
    ],
)
def test_what_cannot_work_is_an_exception(words: list[str], message: str, tmp_path: Path) -> None:
    with pytest.raises(seglab.SeglabError) as refused:
        seglab.train(*words)
    assert message in str(refused.value)


def test_hydra_of_the_notebook_is_left_as_it_was(tmp_path: Path) -> None:
    import hydra
    from hydra.core.global_hydra import GlobalHydra

    (tmp_path / "own.yaml").write_text("answer: 42\n")
    with hydra.initialize_config_dir(str(tmp_path), version_base="1.3"):
        with pytest.raises(seglab.SeglabError, match="did you mean: model=unet"):
            seglab.train("modle=unet")
        assert GlobalHydra.instance().is_initialized()
        assert hydra.compose("own").answer == 42
    assert not GlobalHydra.instance().is_initialized()


def test_importing_it_is_light(tmp_path: Path) -> None:
    program = "import sys, seglab; dir(seglab); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=tmp_path, check=True)
    heavy = {"tensorflow", "keras", "mlflow", "pandas", "numpy", "hydra", "pydantic"}
    assert not set(done.stdout.split()) & heavy
    for name in seglab.__all__:
        assert getattr(seglab, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'trian'"):
        seglab.trian  # noqa: B018
