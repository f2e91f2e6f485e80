"""What a job is, which jobs a search draws, how many run at once: without training anything."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import hydra
import optuna
import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import given, settings
from hypothesis import strategies as st
from sweep_configs import identity

from seglab.command import _in_hydra
from seglab.config.places import CONF
from seglab.config.run_config import Config, load_config
from seglab.errors import ConfigError
from seglab.runtime import source_files
from seglab.sweeping import job_identity as identities
from seglab.sweeping.job_identity import JobIdentity
from seglab.sweeping.space import SearchSpace

__all__ = ["identity"]

LISTING = """
atexit.register(lambda: print("LOADED", *(name for name in sys.modules if name.partition(".")[0] == "seglab")))
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def config(*overrides: str) -> Config:
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        return load_config(hydra.compose("train", overrides=["data.count=12", "data.size=[32,32]", *overrides]))


@pytest.mark.parametrize(
    "words",
    [
        ["run_name=another"],
        ["tracking.experiment=another", "tracking.uri=sqlite:///elsewhere.db", "tracking.heartbeat_seconds=1.0"],
        ["data.cache_dir=elsewhere", "data.cache_gb=1.0", "data.workers=2"],
        ["launcher=local", "search=tpe"],
    ],
)
def test_where_things_are_kept_is_no_part_of_an_identity(identity: JobIdentity, words: list[str]) -> None:
    assert identity.of(config(*words)) == identity.of(config())


@pytest.mark.parametrize(
    "word",
    ["seed=1", "loss=dice", "optimizer.learning_rate=0.002", "data.seed=5", "data.split.val=0.2", "augment=none"],
)
def test_what_can_change_a_result_is(identity: JobIdentity, word: str) -> None:
    words = [word, "data.split.train=0.65"] if "split" in word else [word]
    assert identity.of(config(*words)) != identity.of(config())


def test_other_contents_of_the_same_files_are_another_job(tmp_path: Path) -> None:
    import numpy as np
    from PIL import Image

    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
        for i in range(4):
            pixels = np.full((32, 32), i % 2, np.uint8)
            pixels[:9] = 1 - i % 2
            Image.fromarray(pixels).save(tmp_path / folder / f"{i}.png")
    words = ["data=image_folder", f"data.root={tmp_path}", "~data.count", "data.class_names=[background,object]"]
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        checked = load_config(hydra.compose("train", overrides=["data.size=[32,32]", *words[:2], words[3]]))
    before = JobIdentity().of(checked)
    assert JobIdentity().of(checked) == before
    Image.fromarray(np.ones((32, 32), np.uint8)).save(tmp_path / "masks" / "0.png")
    assert JobIdentity().of(checked) != before


@pytest.mark.parametrize(
    ("file", "another"),
    [
        ("experiment/run.py", True),
        ("losses/region.py", True),  # named by a _target_ alone
        ("models/blocks.py", True),  # imported by what a _target_ names
        ("models/volumetric.py", False),
        ("reports/study/write_report.py", False),
        ("reports/comparison/plots.py", False),
        ("sweeping/job_identity.py", False),
    ],
)
def test_only_code_that_the_job_can_reach_makes_it_another(
    file: str, another: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = shutil.copytree(source_files.PACKAGE, tmp_path / "seglab", ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(source_files, "PACKAGE", copy)
    before = JobIdentity().of(config())
    with (copy / file).open("a") as source:
        source.write("x = 1\n")
    assert (JobIdentity().of(config()) != before) == another


def test_no_module_that_a_run_loads_is_missing_from_its_code(tmp_path: Path) -> None:
    words = ["model=unet_mini", "data.count=12", "data.size=[16,16]", "trainer.epochs=1"]
    script = f"import atexit, runpy, sys; sys.argv = {[str(CONF.parent / 'train.py'), *words]}\n{LISTING}"
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    loaded = set(done.stdout.rpartition("LOADED ")[2].split())
    checked = config(*words)
    known = set(source_files.sources_of([identities.RUN, *identities.targets_in(checked.resolved)]))
    # What reads the command line and composes: it makes the config, which counts as it is. Every layer is registered
    # before a bundle is read, those of other networks too.
    composing = {"command", "config.overrides", "extras", "runtime.terminal", "version"}
    assert {
        name
        for name in loaded - known - {f"seglab.{name}" for name in composing}
        if not name.startswith(("seglab.models.", "seglab.cli"))
    } == set()
    assert len(loaded & known) > 60


def test_another_line_of_ones_own_model_is_another_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own_parts").mkdir()
    own = {
        "own_models.py": "import keras\nfrom own_parts import blocks\ndef plain(task, size, *, width: int = 1): ...\n",
        "own_parts/__init__.py": "",
        "own_parts/blocks.py": "from . import norms\n",
        "own_parts/norms.py": "# -*- coding: latin-1 -*-\nx = 1  # \xe4\n",
        "train.py": "no part of it",
    }
    for name, text in own.items():
        (tmp_path / name).write_text(text, encoding="latin-1")
    monkeypatch.syspath_prepend(tmp_path)
    checked = config()
    model = {"_target_": "own_models.plain", "name": "Own", "rank": 2, "size_multiple": 1}
    mine = load_config({**checked.resolved, "model": model})
    targets = ["own_models.plain", checked.model.target, "keras.optimizers.Adam", "nowhere.at_all"]
    modules = {"own_models", "own_parts", "own_parts.blocks", "own_parts.norms"}
    assert {name for name in source_files.sources_of(targets) if name.partition(".")[0] != "seglab"} == modules
    before = [JobIdentity().of(checked), JobIdentity().of(mine)]
    assert [JobIdentity().of(checked), JobIdentity().of(mine)] == before
    for name in ("own_models.py", "own_parts/norms.py"):
        (tmp_path / name).write_text(own[name] + "y = 2\n", encoding="latin-1")
        after = [JobIdentity().of(checked), JobIdentity().of(mine)]
        assert after[0] == before[0]
        assert after[1] != before[1]
        before = after


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("launcher.jobs=2", "hydra.launcher.jobs=2"),
        ("+search.trials=3", "+hydra.sweeper.trials=3"),
        ("launcher=local", "launcher=local"),
        ("--cfg", "--cfg"),
        ("trainer.epochs=2", "trainer.epochs=2"),
    ],
)
def test_settings_of_launcher_and_search_are_found_by_hydra(word: str, expected: str) -> None:
    assert _in_hydra(word) == expected


def space(*words: str) -> SearchSpace:
    return SearchSpace.of(OverridesParser.create().parse_overrides(list(words)))


def test_a_space_is_read_from_overrides() -> None:
    made = space(
        "model=unet",
        "loss=dice,combined",
        "optimizer.learning_rate=tag(log, interval(1e-4, 1e-2))",
        "model.width=range(8, 33, 8)",
        "schedule.warmup_epochs=interval(0.0, 2.0)",
        "model.depth=int(interval(2, 4))",
    )
    kinds = optuna.distributions
    assert made.fixed == ("model=unet",)
    assert made.free == {
        "loss": kinds.CategoricalDistribution(["dice", "combined"]),
        "optimizer.learning_rate": kinds.FloatDistribution(1e-4, 1e-2, log=True),
        "model.width": kinds.IntDistribution(8, 32, step=8),
        "schedule.warmup_epochs": kinds.FloatDistribution(0.0, 2.0),
        "model.depth": kinds.IntDistribution(2, 4),
    }


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_every_draw_is_one_of_hydras_own_values(seed: int) -> None:
    made = space("data.size=[32,32],[64,64]", "model.width=range(8, 33, 8)", "a=range(0.1, 0.35, 0.1)")
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
    size, width, a = (word.partition("=")[2] for word in made.draw(study.ask()))
    assert size in ("[32,32]", "[64,64]")
    assert int(width) in (8, 16, 24, 32)
    assert float(a) == pytest.approx(0.1) or float(a) == pytest.approx(0.2) or float(a) == pytest.approx(0.3)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["model=unet"], "nothing to search"),
        (["a=tag(log, interval(0.0, 1.0))"], "range that cannot be searched"),
        (["a=range(3, 3)"], "range that cannot be searched"),
    ],
)
def test_a_space_that_cannot_be_searched_is_refused(words: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        space(*words)
