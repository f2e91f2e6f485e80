"""Comparisons as files and as a command: pages, full disks, settings."""

from __future__ import annotations

import io
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from compared_runs import compared, grid, recorder
from mounts import needs_mounts, small, within
from recorded_runs import Recorder, level
from rich.console import Console

from seglab.comparison.settings import CompareSettings, load_settings, quote_filter
from seglab.errors import ConfigError, TrackingError
from seglab.reports.comparison.compare import compare, open_runs, write
from seglab.reports.comparison.comparison_printing import run_comparison

__all__ = ["recorder"]

ROOT = Path(__file__).parents[2]


def test_a_moved_store_is_read(recorder: Recorder, tmp_path: Path) -> None:
    for model, mean in (("UNet", 0.6), ("VNet", 0.7)):
        recorder.run(level(mean), model=model)
    moved = tmp_path / "elsewhere" / "mlruns"
    moved.parent.mkdir()
    shutil.move(recorder.store.directory, moved)
    settings = CompareSettings()
    assert len(compare(settings, open_runs(settings, moved)).variants) == 2


def test_the_page_holds_everything_and_the_sweep_holds_the_page(recorder: Recorder, tmp_path: Path) -> None:
    client = recorder.store.client
    parent = client.create_run(recorder.store.experiment_id("seglab"), tags={"study": "grid"}).info.run_id
    for model, mean in (("<b>UNet</b>", 0.6), ("VNet|2", 0.7), ("Conv", 0.8)):
        recorder.run(level(mean), model=model, tags={"study": "grid", "mlflow.parentRunId": parent})
    heard = Console(record=True, width=140, file=io.StringIO())
    out = tmp_path / "out"
    run_comparison(CompareSettings(study="grid", out=str(out)), recorder.store.directory, heard)
    output = heard.export_text()
    assert "Conv_DiceLoss_Adam" in output
    assert str(out / "comparison.html") in output
    page = (out / "comparison.html").read_text()
    assert "http" not in page.replace("http-equiv", "")
    assert "&lt;b&gt;UNet&lt;/b&gt;" in page
    assert "<b>UNet" not in page
    assert page.count("data:image/png;base64") == 4
    assert r"VNet\|2" in (out / "comparison.md").read_text()
    assert {path.name for path in (out / "plots").iterdir()} == {"curves.png", "cases.png", "costs.png", "ranks.png"}
    assert len(pd.read_csv(out / "variants.csv")) == 3
    held = {file.path for file in client.list_artifacts(parent, "comparison")}
    assert "comparison/comparison.html" in held


def test_a_folder_that_cannot_be_written(recorder: Recorder, tmp_path: Path) -> None:
    for model, mean in (("UNet", 0.6), ("VNet", 0.7)):
        recorder.run(level(mean), model=model)
    (tmp_path / "file").write_text("")
    with pytest.raises(TrackingError, match="cannot be written"):
        write(compared(recorder), tmp_path / "file" / "page")


def test_files_that_no_comparison_wrote_are_left_as_they_are(recorder: Recorder, tmp_path: Path) -> None:
    for model, mean in (("UNet", 0.6), ("VNet", 0.7)):
        recorder.run(level(mean), model=model)
    mine = tmp_path / "plots" / "mine.png"
    mine.parent.mkdir()
    mine.write_text("mine")
    write(compared(recorder), tmp_path)
    (tmp_path / "compositions.csv").write_text("as variants.csv was called")
    write(compared(recorder), tmp_path)
    assert not (tmp_path / "compositions.csv").exists()
    assert mine.read_text() == "mine"
    (tmp_path / "comparison.html").unlink()
    (tmp_path / "scores.csv").write_text("mine")
    with pytest.raises(TrackingError, match="which none has written"):
        write(compared(recorder), tmp_path)
    assert (tmp_path / "scores.csv").read_text() == "mine"


@needs_mounts
def test_a_full_disk_leaves_the_former_comparison_whole(recorder: Recorder, tmp_path: Path) -> None:
    for model, mean in (("UNet", 0.6), ("VNet", 0.7)):
        recorder.run(level(mean), model=model)
    disk, copy = tmp_path / "disk", tmp_path / "copy"
    for folder in (disk, copy):
        folder.mkdir()
    former = "for name in comparison.html runs.csv; do echo former > out/$name; done"
    command = [sys.executable, str(ROOT / "scripts" / "compare.py"), f"out={disk / 'out'}"]
    mount = f"{small(disk, '100k')} && cd {disk} && mkdir out && {former} && cd .."
    code, output = within(mount, command, tmp_path, after=f"cp -r {disk}/. {copy}")
    assert code == 2
    assert "error: the comparison cannot be written" in output
    assert "No space left on device" in output
    assert "Traceback" not in output
    left = {str(path.relative_to(copy)): path.read_text() for path in copy.rglob("*") if path.is_file()}
    assert left == {"out/comparison.html": "former\n", "out/runs.csv": "former\n"}


def test_settings_that_cannot_be() -> None:
    for given, word in (
        ({"study": "a", "filter": "b"}, "several ways"),
        ({"runs": ["a"]}, "one run is nothing"),
        ({"runs": ["a", "a"]}, "one run is nothing"),
        ({"unit": "pixel"}, "unit"),
        ({"metrik": "x"}, "did you mean 'metric'"),
    ):
        with pytest.raises(ConfigError, match=word):
            load_settings(given)
    assert load_settings({"study": "a/b"}).folder(Path("runs")) == Path("runs/comparisons/a_b-c14cddc0")
    with pytest.raises(TrackingError, match="no store of runs"):
        open_runs(CompareSettings(), Path("/nonexistent"))


def test_filters_reach_hydra_whole() -> None:
    assert quote_filter(["filter=params.loss.name = 'A'", "metric=x"]) == [
        "filter=\"params.loss.name = 'A'\"",
        "metric=x",
    ]
    assert quote_filter(['filter="a"']) == ['filter="a"']


@pytest.mark.slow
def test_the_command(recorder: Recorder, tmp_path: Path) -> None:
    grid(recorder, seeds=1)
    command = [sys.executable, str(ROOT / "scripts" / "compare.py")]

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([*command, *words], cwd=tmp_path, capture_output=True, text=True, check=False)

    done = run("filter=params.loss.name = 'FocalLoss'", "metric=test_iou")
    assert done.returncode == 0, done.stderr
    assert "DiceLoss" not in done.stdout
    assert (tmp_path / "mlruns" / "comparisons" / "filtered" / "comparison.html").is_file()
    wrong = run("study=nothing")
    assert (wrong.returncode, "one of" in wrong.stderr) == (2, True)
    assert run("metrik=test_dice").returncode == 2
