"""What is declared in pyproject.toml is what is imported: the core reads images, a runtime comes with an extra."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from predicted_files import above_half, pictures
from served import CELLS, served_folder

import seglab
from seglab.cli.main import main
from seglab.cli.verbs import VERBS, Verb
from seglab.errors import ConfigError
from seglab.extras import EXTRA_OF, explained
from seglab.inference.bundle import save_bundle

ROOT = Path(__file__).parents[2]
MODULES = {"hydra-core": "hydra", "scikit-image": "skimage", "scikit-learn": "sklearn", "python-pptx": "pptx"}
WITHOUT = f"""import sys
for name in set({sorted(EXTRA_OF)}) - set(sys.argv.pop().split(",")):
    sys.modules[name] = None
from seglab.cli.main import script
sys.argv[0] = "seglab"
script()
"""


def without_extras(*words: str, cwd: Path, but: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", WITHOUT, *words, ",".join(but)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=300, check=False)


def test_every_package_of_an_extra_has_a_remedy() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    for extra in ("keras", "train", "search", "cluster"):
        for line in extras[extra]:
            name = line.partition(">")[0]
            if name == "seglab[keras]":
                continue
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


@pytest.fixture
def images(tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    pictures(tmp_path / "in")
    return tmp_path / "in"


def test_a_bundle_needs_one_extra_and_nothing_else(images: Path, tmp_path: Path) -> None:
    save_bundle(tmp_path / "bundle", *above_half(2))
    words = ("predict", "bundle", "in", "out=masks", "overlay=true")
    done = without_extras(*words, cwd=tmp_path)
    assert done.returncode == 2
    assert "pip install 'seglab[keras]'" in done.stderr
    assert "Traceback" not in done.stderr
    assert not list((tmp_path / "masks").glob("*"))
    done = without_extras(*words, cwd=tmp_path, but=("keras", "tensorflow", "rich"))  # Keras brings rich along
    assert done.returncode == 0, done.stderr
    assert len(list((tmp_path / "masks").glob("*_overlay.png"))) == 3


def test_an_exported_folder_needs_its_runtime_alone(images: Path, tmp_path: Path) -> None:
    served_folder(tmp_path / "out" / "openvino-float32", CELLS, (16, 16))
    words = ("predict", "out", "in", "out=masks")
    done = without_extras(*words, cwd=tmp_path)
    assert done.returncode == 2
    assert "pip install openvino" in done.stderr
    done = without_extras(*words, cwd=tmp_path, but=("openvino",))
    assert done.returncode == 0, done.stderr
    assert len(list((tmp_path / "masks").glob("*.png"))) == 3


@pytest.mark.parametrize("verb", [verb for verb in VERBS.values() if verb.extras], ids=lambda verb: verb.name)
def test_a_verb_refuses_before_it_imports_what_is_not_there(verb: Verb, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in EXTRA_OF:
        monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.setattr(Verb, "load", lambda self: pytest.fail("imported"))
    with pytest.raises(ConfigError, match=rf"pip install 'seglab\[{','.join(verb.extras)}\]'") as refused:
        main([verb.name])
    assert refused.value.code == "package-missing"
    assert refused.value.where == f"seglab {verb.name}"


def test_what_works_without_an_extra_is_known() -> None:
    free = {verb.name for verb in VERBS.values() if not verb.extras}
    benches = {"bench", "bench-data", "bench-serving", "bench-near-duplicates"}  # ask for a checkout first
    assert free == {"predict", "verify", "monitor", "segment", "doctor", "synthetic-dataset", "backup"} | benches


def test_every_extra_of_a_verb_is_one_that_is_declared() -> None:
    declared = set(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"])
    assert {extra for verb in VERBS.values() for extra in verb.extras} <= declared
    assert set(EXTRA_OF.values()) <= declared


def test_python_refuses_with_the_same_words(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in EXTRA_OF:
        monkeypatch.setitem(sys.modules, module, None)
    for call in (seglab.train, seglab.evaluate, seglab.open_run, seglab.load, seglab.datasets.check):
        with pytest.raises(ConfigError, match=r"pip install 'seglab\[(train|keras)\]'"):
            call(".")
