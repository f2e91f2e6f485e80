"""Time to a Dice: the clock, the judge, the arithmetic and the table; and seglab's part, really trained."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from benchmarks.quality import __main__ as bench
from benchmarks.quality.points import FILE, Job, Over, Points
from benchmarks.quality.results import Known, Point, judged, picture, ratio, reached, table
from seglab.errors import ConfigError
from seglab.task import Task

TASK = Task(3, 1, ("background", "front", "back"))


class Time:
    """A clock that goes when it is told to."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


def job_in(folder: Path, minutes: float = 10.0) -> Job:
    (folder / "splits_final.json").write_text(json.dumps([{"train": ["a"], "val": ["b", "c"]}]))
    return Job(str(folder), 0, minutes, str(folder), 1000.0, [], 10)


def test_the_clock_stops_while_held_out_cases_are_predicted(tmp_path: Path) -> None:
    time = Time()
    points = Points(job_in(tmp_path), time)
    folders: list[Path] = []

    def predict(folder: Path) -> None:
        folders.append(folder)
        time.now += 500

    time.now += 14
    points.predict_if_due(1, predict)  # the first is due after 15 seconds, a fortieth of ten minutes
    assert folders == []
    for wait, due in ((2, True), (3, False), (1, True)):  # 16, 19, 20 seconds; 1.2 × 16 is 19.2
        time.now += wait
        points.predict_if_due(wait, predict)
        assert (len(folders), points.seconds) == (1 + (wait == 1), time.now - 1000 - 500 * len(folders)), due
    time.now += 1
    points.predict_if_due(9, predict, last=True)
    time.now += 579
    assert points.share == 1
    with pytest.raises(Over):
        points.predict_if_due(10, predict)
    lines = [json.loads(line) for line in (tmp_path / FILE).read_text().splitlines()]
    assert [(line["seconds"], line["steps"]) for line in lines] == [(16, 2), (20, 1), (21, 9), (600, 10)]
    assert [line["masks"] for line in lines] == [str(folder) for folder in folders]
    assert all(folder.is_dir() for folder in folders)
    assert len(set(folders)) == 4


def test_the_goal_is_reached_between_two_points() -> None:
    curve = [Point(60, 1, 0.5), Point(120, 2, 0.84), Point(240, 3, 0.92), Point(300, 4, 0.7)]
    assert reached(curve, 0.88) == Known(pytest.approx(180))  # type: ignore[arg-type]
    assert reached(curve, 0.4) == Known(60, "≤"), "it may have been there long before its first point"
    assert reached(curve, 0.95) == Known(300, ">")
    begun = Point(9, 1, 0.86)
    assert ratio(curve, [begun, Point(18, 2, 0.88)], 0.88) == Known(pytest.approx(10))  # type: ignore[arg-type]
    assert ratio(curve, [begun, Point(30, 2, 0.95)], 0.95) == Known(10, ">")  # it had 300 seconds
    assert ratio(curve, [begun, Point(18, 2, 0.87)], 0.88) is None
    # Of what was there at its first point no more is known than that.
    assert ratio(curve, [Point(18, 1, 0.9)], 0.88) == Known(pytest.approx(10), "≥")  # type: ignore[arg-type]
    assert ratio(curve, [Point(30, 1, 0.4), Point(40, 2, 0.5)], 0.5) == Known(1.5, "≤")
    assert ratio(curve, [Point(30, 1, 0.5)], 0.5) is None
    assert ratio(curve, [Point(30, 1, 0.96)], 0.95) == Known(10, ">")
    assert (Known(1.84).shown(), Known(1.84, "≤").shown(" ×")) == ("1.8", "≤ 1.8 ×")


def test_the_table_and_the_picture_hold_every_system() -> None:
    found = {
        "seglab": [Point(60, 5, 0.8), Point(120, 9, 0.9)],
        "monai": [Point(216, 7, 0.88), Point(600, 20, 0.87)],
        "nnunet": [Point(1080, 30, 0.7)],
    }
    rows = table(found, 0.88).splitlines()
    assert rows[2] == "| seglab | 1.8 |  |  | 0.9000 | 2.0, 9 |"
    assert rows[3] == "| MONAI | ≤ 3.6 | ≤ 2.0 × | ≥ 2 × | 0.8800 | 10.0, 20 |"
    assert rows[4] == "| nnU-Net | not reached | > 10.0 × | ≥ 10 × | 0.7000 | 18.0, 30 |"
    (axes,) = picture(found, 0.88).axes
    assert [line.get_label() for line in axes.lines[:3]] == ["seglab", "MONAI", "nnU-Net"]
    assert axes.lines[1].get_xdata().tolist() == [3.6, 10]  # type: ignore[union-attr]
    axes.figure.canvas.draw()
    low, high = axes.get_xlim()
    ticks = [(tick, text.get_text()) for tick, text in zip(axes.get_xticks(), axes.get_xticklabels(), strict=True)]
    assert [text for tick, text in ticks if low <= tick <= high] == ["1", "2", "5", "10", "20"]
    assert axes.xaxis.get_minorticklabels() == [], "labels of minor ticks lie on one another"
    assert axes.get_ylim() == pytest.approx((0.69, 0.915)), "of the worst point, 0.7, to the best"


def test_every_mask_is_judged_by_one_count_whichever_way_its_axes_run(tmp_path: Path) -> None:
    job = job_in(tmp_path)
    truth = np.zeros((6, 5, 4), np.uint8)
    truth[:2], truth[4:] = 1, 2
    half = truth.copy()
    half[:1] = 0  # of class 1 half is missed: 2/3; class 2 is right
    (tmp_path / "labelsTr").mkdir()
    (tmp_path / "masks").mkdir()
    for case, mask in (("b", truth), ("c", half)):
        nib.save(nib.Nifti1Image(truth, np.eye(4)), tmp_path / "labelsTr" / f"{case}.nii.gz")
        turned = nib.Nifti1Image(mask[::-1], np.diag([-1.0, 1, 1, 1]))
        nib.save(turned, tmp_path / "masks" / f"{case}.nii.gz")
    assert judged(job, tmp_path / "masks", TASK) == pytest.approx((1 + (2 / 3 + 1) / 2) / 2)
    nib.save(nib.Nifti1Image(truth[1:], np.eye(4)), tmp_path / "masks" / "c.nii.gz")
    with pytest.raises(ValueError, match=r"c\.nii\.gz"):
        judged(job, tmp_path / "masks", TASK)


def test_unknown_systems_and_missing_peers_are_reported(tmp_path: Path) -> None:
    assert bench.systems(("seglab",), tmp_path / "none") == ["seglab"]
    with pytest.raises(ConfigError, match="PEERS=1"):
        bench.systems(bench.SYSTEMS, tmp_path / "none")
    with pytest.raises(ConfigError, match="nnunet"):
        bench.systems(("nunet",), Path(sys.executable))


def test_a_system_that_fails_is_named_and_the_others_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tried: list[str] = []

    def trained(name: str, python: str, job: Job, task: Task) -> list[Point]:
        tried.append(name)
        Path(job.out).mkdir(parents=True)
        if name == "nnunet" and len(tried) < 4:
            raise RuntimeError("out of memory")
        assert task.class_names == ("background", "front", "back")
        assert python == ("seglab" if name == "seglab" else "peers")
        return [Point(60, 1, 0.9)]

    monkeypatch.setattr(bench, "trained", trained)
    monkeypatch.setattr(bench, "systems", lambda only, _: list(only))
    monkeypatch.setattr(sys, "executable", "seglab")
    monkeypatch.setattr(bench, "prepared", lambda root, out: tmp_path)
    (tmp_path / "dataset.json").write_text(json.dumps({"labels": {"background": 0, "front": 1, "back": 2}}))
    words = ["root=x", "peers=peers", f"out={tmp_path / 'out'}"]
    assert bench.main(words) == 1
    assert "out of memory" in capsys.readouterr().err
    assert bench.main(words) == 0
    assert tried == ["seglab", "monai", "nnunet", "nnunet"]
    assert list(json.loads((tmp_path / "out" / "quality.json").read_text())) == ["seglab", "monai", "nnunet"]
    assert (tmp_path / "out" / "nnunet" / "2").is_dir()
    for other, where in (
        ("minutes=5", "minutes=30"),
        ("seglab=[experiment=x]", "experiment=hippocampus"),
        ("root=y", "root="),
    ):
        with pytest.raises(ConfigError, match="results of other settings") as refused:
            bench.main([*(word for word in words if word[:5] != other[:5]), other])
        assert where in refused.value.found
    assert bench.main([*words, "goal=0.8", "only=[seglab]"]) == 0, "nothing of it is measured"
    assert bench.main(words) == 0
    assert len(tried) == 4
    assert "| nnU-Net | ≤ 1.0 |  | ≥ 10 × |" in (tmp_path / "out" / "quality.md").read_text()
    assert (tmp_path / "out" / "quality.png").stat().st_size > 1000


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_seglab_is_really_trained_and_judged(tmp_path: Path) -> None:
    from seglab.data.synthetic.layouts import write_dataset

    write_dataset("nifti", tmp_path / "scans", count=10)
    small = "seglab=[experiment=hippocampus,trainer.epochs=2,model.width=2]"
    words = [f"root={tmp_path / 'scans'}", "only=[seglab]", small, f"out={tmp_path / 'out'}", "minutes=20"]
    command = [sys.executable, "-m", "benchmarks.quality", *words]
    done = subprocess.run(command, cwd=bench.ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    points = json.loads((tmp_path / "out" / "quality.json").read_text())["seglab"]
    assert 0 <= points[-1]["dice"] <= 1
    assert points[-1]["steps"] == 2 * 4  # of eight cases to learn from some are watched
    held = json.loads((tmp_path / "out" / bench.NAME / "splits_final.json").read_text())[0]["val"]
    masks = sorted((tmp_path / "out" / "seglab" / "1" / "masks").iterdir())[-1]
    assert sorted(file.name for file in masks.iterdir()) == sorted(f"{case}.nii.gz" for case in held)
