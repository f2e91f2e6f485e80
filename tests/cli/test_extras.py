"""What is declared in pyproject.toml is what is imported: the core predicts without the extras."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from predicted_files import above_half, pictures

from seglab.cli.extras import EXTRA_OF, explained
from seglab.errors import ConfigError
from seglab.inference.bundle import save_bundle

ROOT = Path(__file__).parents[2]
MODULES = {"hydra-core": "hydra", "scikit-learn": "sklearn"}
WITHOUT = f"""import sys
for name in {sorted(EXTRA_OF)}:
    sys.modules[name] = None
from seglab.cli.main import script
sys.argv[0] = "seglab"
script()
"""


def without_extras(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", WITHOUT, *words]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=300, check=False)


def test_every_package_of_an_extra_has_a_remedy() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    for extra in ("train", "search", "cluster"):
        for line in extras[extra]:
            name = line.partition(">")[0]
            assert EXTRA_OF[MODULES.get(name, name)] == extra, name
    assert EXTRA_OF["omegaconf"] == "train", "comes with hydra"


def test_a_verb_whose_packages_are_missing_says_what_to_install(tmp_path: Path) -> None:
    done = without_extras("train", "model=unet", cwd=tmp_path)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert "pip install 'seglab[train]'" in done.stderr
    other = ModuleNotFoundError("no module", name="something")
    assert explained(other, "train") is other
    assert isinstance(explained(ModuleNotFoundError("no", name="optuna.samplers"), "train"), ConfigError)


def test_the_core_predicts_from_a_bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    save_bundle("bundle", *above_half(2))
    Path("in").mkdir()
    pictures(Path("in"))
    done = without_extras("predict", "bundle", "in", "out=masks", "overlay=true", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert len(list(Path("masks").glob("*_overlay.png"))) == 3
