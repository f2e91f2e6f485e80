"""Where data lie, and how a path to them is written, is no part of what they are."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import hydra
import numpy as np
import pytest
from PIL import Image
from recorded_runs import Recorder
from volumes import folders

from seglab.command import composed_config
from seglab.comparison.runs import find_runs
from seglab.comparison.settings import CompareSettings
from seglab.comparison.variants import variants_of
from seglab.config.run_config import Config, load_config
from seglab.config.targets import places_of
from seglab.sweeping.job_identity import JobIdentity

ROOT = Path(__file__).parents[2]


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """`one` and `two` with the same six cases, and a table of their labels beside each."""
    for n in range(6):
        for kind in ("images", "masks"):
            path = tmp_path / "one" / kind / f"c{n}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            pixels = np.random.default_rng(n).integers(0, 2, (8, 8), np.uint8)
            Image.fromarray(pixels * (120 if kind == "images" else 1)).save(path)
    (tmp_path / "one" / "labels.csv").write_text("id,name,ignored\n0,ground,true\n1,cell,false\n")
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def checked(*words: str) -> Config:
    with hydra.initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        return load_config(hydra.compose("train", overrides=["data=image_folder", *words]))


@pytest.mark.parametrize(
    "words",
    [
        ["data.root=one/"],
        ["data.root=./one"],
        ["data.root=two/../one"],
        ["data.root=two"],
        ["data.root=two", "data.images=images/", "data.masks=../two/masks"],
        ["data.root=two", "data.label_schema=two/labels.csv"],
        ["data.root=two", "data.cache_dir=elsewhere", "data.workers=3"],
        ["optimizer.learning_rate=1"],
    ],
)
def test_the_same_data_are_the_same_job_wherever_they_lie(data: Path, words: list[str]) -> None:
    plain = [] if "learning_rate" not in words[0] else ["optimizer.learning_rate=1.0"]
    before = checked("data.root=one", "data.label_schema=one/labels.csv", *plain)
    after = checked("data.root=one", "data.label_schema=one/labels.csv", *words)
    assert JobIdentity().of(after) == JobIdentity().of(before)
    assert after.digest == before.digest


@pytest.mark.parametrize("change", ["pixels", "names", "ignored"])
def test_other_contents_in_the_same_place_are_another_job(data: Path, change: str) -> None:
    config = checked("data.root=one", "data.label_schema=one/labels.csv")
    before, table = JobIdentity().of(config), data / "one" / "labels.csv"
    if change == "pixels":
        Image.fromarray(np.zeros((8, 8), np.uint8)).save(data / "one" / "images" / "c0.png")
    elif change == "names":
        table.write_text(table.read_text().replace("cell", "nucleus"))
    else:
        table.write_text(table.read_text().replace("0,ground,true", "0,ground,false"))
    assert JobIdentity().of(config) != before


def test_of_a_file_of_weights_the_contents_count(data: Path) -> None:
    for name, text in (("a", "same"), ("b", "same"), ("c", "other")):
        (data / f"{name}.weights.h5").write_text(text)
    words = ("data.root=one", "model=unet_encoder", "data.size=[32,32]")
    digests = {name: checked(*words, f"model.weights={name}.weights.h5").digest for name in "abc"}
    assert digests["a"] == digests["b"] != digests["c"]


def test_settings_that_name_places_say_so() -> None:
    places = {"root", "table", "images", "labels", "label_schema", "folds_file", "previous_stage"}
    assert places_of("seglab.data.sources.nifti.Nifti", "") == places
    assert places_of("seglab.data.sources.cityscapes.Cityscapes", "") == {"root"}
    assert places_of("seglab.models.unet.unet", "") == set()


def test_runs_on_the_same_data_elsewhere_are_one_variant(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "mlruns")
    target = {"data._target_": "seglab.data.sources.image_folder.ImageFolder"}
    for seed, root in enumerate(("data/one", "data/one/", "data/two")):
        rate = {"optimizer.learning_rate": "1.0" if seed else "1"}
        recorder.run({"a": 0.5, "b": 0.6}, seed=seed, params={**target, **rate, "data.root": root})
    recorder.run({"a": 0.5, "b": 0.6}, data="data-b", params={**target, "data.root": "data/one"})
    runs = find_runs(recorder.store, CompareSettings()).runs
    assert sorted(len(variant.runs) for variant in variants_of(runs)) == [1, 3]
    assert len({variant.label for variant in variants_of(runs)}) == 2


def test_other_folds_of_a_file_are_another_job(tmp_path: Path) -> None:
    """The file is a place; what it says is who tests what."""
    folders(tmp_path, names=("a", "b", "c", "d"))

    def identity(*folds: str) -> str:
        dealt = [{"train": sorted({*"abcd"} - {*held}), "val": list(held)} for held in folds]
        (tmp_path / "splits_final.json").write_text(json.dumps(dealt))
        words = ["data=nifti", f"data.root={tmp_path}", "model=unet3d", "data.fold=0", "data.folds=2"]
        return JobIdentity().of(load_config(composed_config([*words, "data.folds_file=splits_final.json"])))

    before = identity("ab", "cd")
    assert identity("ab", "cd") == before
    assert identity("ac", "bd") != before
