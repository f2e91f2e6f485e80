"""What only looks something up makes no store, and says in a second that there is none."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from seglab.errors import TrackingError
from seglab.tracking.store_place import check_findable, check_there

ID = "0123456789abcdef0123456789abcdef"


@pytest.mark.parametrize(
    "words",
    [
        ["evaluate", f"run={ID}"],
        ["predict", ID, "image.png", "out=masks"],
        ["reproduce", f"run={ID}"],
        ["promote", f"run={ID}", "name=x"],
        ["runs", "export", "out", f"run={ID}"],
        ["sweep-status", "study=a"],
    ],
)
def test_looking_up_makes_nothing_and_loads_little(words: list[str], tmp_path: Path) -> None:
    command = [sys.executable, "-X", "importtime", "-m", "seglab", *words]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert "no store of runs [store-missing]" in done.stderr
    assert not list(tmp_path.iterdir())
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert not loaded & {"mlflow", "tensorflow", "keras", "pandas"}


def test_what_is_there_may_be_asked(tmp_path: Path) -> None:
    database = tmp_path / "mlflow.db"
    with pytest.raises(TrackingError, match="no store of runs"):
        check_there(None, tmp_path)
    with pytest.raises(TrackingError, match="no store of runs"):
        check_there(f"sqlite:///{tmp_path}/other.db", tmp_path)
    check_there("http://host:5000", tmp_path)
    check_findable(str(tmp_path), None, tmp_path)  # the folder of a bundle
    check_findable("folders/that/are/none", None, tmp_path)  # told as a bundle that is missing
    with pytest.raises(TrackingError, match="no store of runs"):
        check_findable("models:/x@champion", None, tmp_path)
    database.touch()
    check_there(None, tmp_path)


def test_the_variable_that_is_not_followed_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:secret@host:5000")
    with pytest.raises(TrackingError, match="is not followed") as caught:
        check_there(None, tmp_path)
    assert "secret" not in str(caught.value)
