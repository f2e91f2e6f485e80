"""A place that is not there is told before anything is loaded that takes seconds; a process ends at once."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from seglab.config.places import ROOT
from seglab.data.io.folders import check_root
from seglab.errors import DataError

HEAVY = {"mlflow", "tensorflow", "keras", "sklearn", "pandas"}


@pytest.mark.parametrize("data", ["image_folder", "csv"])
def test_a_folder_that_is_not_there(tmp_path: Path, data: str) -> None:
    words = [sys.executable, "-X", "importtime", str(ROOT / "train.py"), f"data={data}", "data.root=nowhere"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 2
    assert "[data-folder-missing]\n  where:    data.root\n" in done.stderr
    assert str(tmp_path / "nowhere") in done.stderr
    assert not HEAVY & set(re.findall(r"\| +(\w+)$", done.stderr, re.MULTILINE))
    assert not list(tmp_path.iterdir())


def test_the_version_is_this_programs_own(tmp_path: Path) -> None:
    words = [sys.executable, str(ROOT / "train.py"), "model=unet", "--version"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=True)
    assert re.fullmatch(rf"seglab {re.escape(version('seglab'))} \(Hydra 1\.3\.\d+\)\n", done.stdout)


def test_what_a_root_is_only_the_class_itself_knows(tmp_path: Path) -> None:
    check_root("mylab.sources.Bucket", {"root": "s3://bucket"})
    check_root("seglab.data.synthetic.shapes.Synthetic2D", {"count": 3})
    (tmp_path / "table.csv").touch()
    check_root("seglab.data.sources.csv_tables.Csv", {"root": str(tmp_path / "table.csv")})
    with pytest.raises(DataError, match="the shell leaves ~ as it is"):
        check_root("seglab.data.sources.nifti.Nifti", {"root": "~/nowhere"})


def test_a_process_that_ends_walks_through_nothing_once_more() -> None:
    code = """if True:
        import atexit, gc
        from seglab.gc_pause import rest_at_exit
        atexit.register(lambda: print(gc.isenabled(), gc.get_freeze_count() > 1000))
        rest_at_exit()
    """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "True"]
