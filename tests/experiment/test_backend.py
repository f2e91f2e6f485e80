"""The backend is a setting of a run: checked before anything is loaded, part of what makes two runs the same."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from seglab.config.places import ROOT
from seglab.config.run_config import load_config
from seglab.config.vocabulary import compose
from seglab.errors import ConfigError
from seglab.experiment.backend import check_backend


def test_it_is_part_of_what_makes_a_run_and_unsaid_none(monkeypatch: pytest.MonkeyPatch) -> None:
    plain, named, jax = (
        load_config(compose("train", words)) for words in ([], ["backend=tensorflow"], ["backend=jax"])
    )
    assert (plain.backend, named.backend, jax.backend) == ("tensorflow", "tensorflow", "jax")
    assert "backend" not in plain.identity, "runs of before there was a choice keep their digest"
    assert plain.digest == named.digest != jax.digest
    assert jax.identity["backend"] == "jax"
    with pytest.raises(ConfigError, match=r"'tensorflow' or 'jax'"):
        load_config(compose("train", ["backend=torch"]))


def test_without_jax_it_is_refused_with_what_installs_it(tmp_path: Path) -> None:
    hidden = """if True:
        import importlib.util, sys
        find = importlib.util.find_spec
        importlib.util.find_spec = lambda name, *rest: None if name == "jax" else find(name, *rest)
        from seglab.cli.main import script
        script()
    """
    words = [sys.executable, "-X", "importtime", "-c", hidden, "train", "backend=jax"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 2
    assert "[package-missing]\n  where:    backend=jax\n  found:    no module jax\n" in done.stderr
    assert "remedy:   pip install 'seglab[jax]'" in done.stderr
    assert not any(
        line.rpartition("|")[2].strip() in ("keras", "tensorflow", "mlflow") for line in done.stderr.splitlines()
    )
    assert not list(tmp_path.iterdir())


def test_a_process_has_one_backend(monkeypatch: pytest.MonkeyPatch) -> None:
    keras = pytest.importorskip("keras")
    other = {"tensorflow": "jax", "jax": "tensorflow"}[keras.backend.backend()]
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)  # all is installed
    with pytest.raises(ConfigError, match="another backend than the one that this process has loaded"):
        check_backend(other)
    check_backend(keras.backend.backend())


def test_the_extra_says_what_the_makefile_installs() -> None:
    assert 'jax = ["jax==0.10.2"]' in (ROOT / "pyproject.toml").read_text()
    assert "jax==0.10.2" in (ROOT / "Makefile").read_text()
