"""seglab as others install it: from a wheel, without a checkout, in a folder that knows nothing of it."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

from seglab.config.places import CONF, ROOT

pytestmark = pytest.mark.slow

OWN_LOSS = """from seglab.losses.region import DiceLoss


class Mine(DiceLoss):
    pass
"""


def call(*words: object, cwd: Path, check: bool = True) -> subprocess.CompletedProcess[str]:
    variables = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(
        [str(word) for word in words], cwd=cwd, capture_output=True, text=True, env=variables, timeout=900, check=False
    )
    assert not check or done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return done


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What git knows of this checkout, its changes included, as a folder of its own."""
    folder = tmp_path_factory.mktemp("source")
    listed = call("git", "ls-files", "-z", cwd=ROOT).stdout.split("\0")
    for name in filter(None, listed):
        if (ROOT / name).exists():
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            os.symlink(os.readlink(ROOT / name), target) if (ROOT / name).is_symlink() else target.write_bytes(
                (ROOT / name).read_bytes()
            )
    return folder


@pytest.fixture(scope="module")
def wheel(source: Path) -> Path:
    """Built from the sdist, as an index would have it."""
    build = "import setuptools.build_meta as backend; print(backend.build_sdist('sdist'))"
    sdist = call(sys.executable, "-c", build, cwd=source).stdout.split()[-1]
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", "wheel"]
    call(*pip, f"sdist/{sdist}", cwd=source)
    (found,) = (source / "wheel").glob("*.whl")
    return found


@pytest.fixture(scope="module")
def commands(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of commands of an environment that has the wheel, and sees what it needs without the checkout."""
    folder = tmp_path_factory.mktemp("environment") / "venv"
    call(sys.executable, "-m", "venv", "--without-pip", folder, cwd=folder.parent)
    python = folder / "bin" / "python"
    call(sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps", wheel, cwd=folder.parent)
    places = call(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=folder).stdout.strip()
    (Path(places) / "needed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return folder / "bin"


def test_every_yaml_is_in_the_wheel(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    assert {f"seglab/conf/{file.relative_to(CONF)}" for file in CONF.rglob("*.yaml")} <= names
    assert {"seglab/py.typed", "seglab/__init__.pyi"} <= names
    assert not [name for name in names if name.startswith(("tests/", "conf/"))]


def test_it_runs_from_any_folder_whose_own_conf_comes_first(commands: Path, tmp_path: Path) -> None:
    python, seglab = commands / "python", commands / "seglab"
    where = call(python, "-c", "import seglab; print(seglab.__file__)", cwd=tmp_path).stdout
    assert str(ROOT) not in where
    assert call(seglab, "--version", cwd=tmp_path).stdout.startswith("seglab ")
    assert "unet_mini" in call(seglab, "train", "--help", cwd=tmp_path).stdout
    (tmp_path / "conf" / "loss").mkdir(parents=True)
    (tmp_path / "conf" / "loss" / "mine.yaml").write_text("_target_: mine.Mine\nname: MyLoss\n")
    (tmp_path / "conf" / "loss" / "focal.yaml").write_text("_target_: mine.Mine\nname: NotFocal\n")
    (tmp_path / "mine.py").write_text(OWN_LOSS)
    shown = call(seglab, "train", "--cfg", "job", "loss=focal", cwd=tmp_path).stdout
    assert "name: NotFocal" in shown
    assert "mine" in call(seglab, "train", "loss=mien", cwd=tmp_path, check=False).stderr
    done = call(seglab, "train", "-m", "debug=fast", "model=unet_mini", "loss=dice,mine", cwd=tmp_path)
    assert done.stdout.count("finished in") == 2
    assert any("UNetMini_MyLoss_Adam" in log.read_text() for log in tmp_path.glob("mlruns/**/job-*.log"))
    assert (tmp_path / "mlruns" / "mlflow.db").is_file()
    assert len(list(tmp_path.glob("mlruns/artifacts/**/test_cases.csv"))) == 2
    refused = call(seglab, "bench", cwd=tmp_path, check=False)
    assert refused.returncode == 2
    assert "benchmarks are not part of an installed seglab" in refused.stderr
    assert "git clone" in refused.stderr
    assert "Nothing to repair." in call(seglab, "doctor", cwd=tmp_path).stdout
