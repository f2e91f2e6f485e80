"""A store of runs on a file system that can only be read: what reads goes on, what writes says so at once."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import toys
from faulty_stores import LIGHT
from mounts import needs_mounts, read_only, within
from recorded_runs import Recorder, level

from seglab.config.places import ROOT
from seglab.tracking.archive import CARD_FILE

pytestmark = needs_mounts


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """A folder with `mlruns/` of two runs."""
    folder = tmp_path_factory.mktemp("place")
    recorder = Recorder(toys.fresh_store(folder / "mlruns"))
    tags = {"study": "pair"}
    return folder, [recorder.run(level(mean), model=model, tags=tags) for model, mean in (("UNet", 0.6), ("VNet", 0.7))]


def snapshot(folder: Path) -> dict[str, tuple[int, int]]:
    return {str(path): (path.stat().st_mtime_ns, path.stat().st_size) for path in (folder / "mlruns").rglob("*")}


def command(place: Path, name: str, *words: str) -> tuple[int, str]:
    before = snapshot(place)
    code, output = within(read_only(place / "mlruns"), [sys.executable, str(ROOT / name), *words], cwd=place)
    assert "Traceback" not in output, output
    assert snapshot(place) == before
    return code, output


def test_comparing_works_and_says_where_it_cannot_write(place: tuple[Path, list[str]], tmp_path: Path) -> None:
    folder, _ = place
    code, output = command(folder, "scripts/compare.py", "study=pair", f"out={tmp_path / 'out'}")
    assert code == 0, output
    assert "VNet_DiceLoss_Adam" in output
    assert (tmp_path / "out" / "comparison.html").is_file()
    code, output = command(folder, "scripts/compare.py", "study=pair")
    assert code == 2
    assert "error: the comparison cannot be written" in output
    assert "Read-only file system" in output
    assert "out=…" in output


@pytest.mark.slow
def test_exporting_works(place: tuple[Path, list[str]], tmp_path: Path) -> None:
    folder, ids = place
    code, output = command(folder, "scripts/runs.py", "export", str(tmp_path / "runs"), "--study", "pair")
    assert code == 0, output
    assert (tmp_path / "runs" / CARD_FILE).is_file()
    assert {path.name for path in (tmp_path / "runs").iterdir() if path.is_dir()} == set(ids)


@pytest.mark.slow
def test_doctor_says_so(place: tuple[Path, list[str]]) -> None:
    code, output = command(place[0], "scripts/doctor.py")
    assert code == 1
    assert (
        f"! Store       a store of runs that can only be read: {place[0] / 'mlruns'}, a read-only file system" in output
    )
    assert "runs: 2 FINISHED" in output


def test_a_run_stops_before_it_begins(place: tuple[Path, list[str]]) -> None:
    before = snapshot(place[0])
    code, output = within(
        read_only(place[0] / "mlruns"), [sys.executable, "-c", LIGHT, str(place[0] / "mlruns"), "end"]
    )
    assert code == 1  # this job translates no errors
    assert "TrackingError: a store of runs that can only be read" in output
    assert snapshot(place[0]) == before


@pytest.mark.slow
def test_every_command_that_writes_stops_at_the_start_with_the_remedy(
    place: tuple[Path, list[str]], tmp_path: Path
) -> None:
    folder, ids = place
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / CARD_FILE).write_text('{"format": 1, "runs": []}')
    small = ["model=unet_mini", "data.count=12", "trainer.epochs=1", f"data.cache_dir={tmp_path / 'cache'}"]
    for name, *words in (
        ("train.py", *small),
        ("scripts/promote.py", f"run={ids[0]}", "name=cells"),
        ("scripts/promote.py", "rollback", "name=cells"),
        ("scripts/runs.py", "import", str(tmp_path / "runs")),
        ("scripts/reproduce.py", ids[0]),
    ):
        code, output = command(folder, name, *words)
        assert code == 2, output
        assert "error: a store of runs that can only be read" in output, output
        assert "a read-only file system" in output
        assert "remedy:   make it writable" in output
        assert "epoch" not in output
