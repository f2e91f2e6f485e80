"""What the former version has left is read, compared, resumed, evaluated and promoted: see `tests/former_versions`."""

from __future__ import annotations

import os
import socket
import sqlite3
import subprocess
import sys
import tarfile
from pathlib import Path

import mlflow
import numpy as np
import pytest
from cached_cases import PATCH, same

from seglab.comparison.settings import CompareSettings
from seglab.config.former_names import SETTINGS, TARGETS, current_config, current_params
from seglab.config.targets import parameters_of
from seglab.data.cache.case_cache import Cache
from seglab.data.cache.in_memory import store_in_memory
from seglab.data.sources.image_folder import ImageFolder
from seglab.evaluation.subject import find_subject
from seglab.inference.predictor import Predictor
from seglab.registry.gate import Gate
from seglab.registry.promotion import promote
from seglab.reports.comparison.compare import compare
from seglab.run_record import Tag
from seglab.sweeping.status import sweep_statuses
from seglab.tracking.bundles import find_bundle
from seglab.tracking.clockless_heartbeat import machine
from seglab.tracking.repair_paths import former_places, relocate
from seglab.tracking.store import Store, open_store

ROOT = Path(__file__).parents[2]
WORDS = ["data.size=[16,16]", "data.count=8", "model=unet_mini", "model.width=2", "model.depth=1", "data.batch_size=4"]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("former")
    with tarfile.open(ROOT / "tests" / "former_versions" / "0.1.tar.xz") as archive:
        archive.extractall(folder, filter="data")
    store = open_store(None, folder / "mlruns")
    assert [str(place) for place in former_places(store)] == ["/tmp/seglab-0.1/mlruns"]
    relocate(store)
    return folder


@pytest.fixture
def store(home: Path) -> Store:
    return open_store(None, home / "mlruns")


def named(store: Store, words: str) -> str:
    found = store.all_runs(words)
    assert len(found) == 1, [run.info.run_name for run in found]
    return str(found[0].info.run_id)


def train(home: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "train.py"), *words]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "COLUMNS": "200"}
    return subprocess.run(command, cwd=home, env=environment, capture_output=True, text=True, timeout=300, check=False)


def test_every_former_target_leads_to_one_of_today() -> None:
    for former, now in TARGETS.items():
        assert parameters_of(now, former)


def test_configs_and_params_get_the_names_of_today_and_what_is_given_twice_stays() -> None:
    before = {
        "seed": 3,
        "data": {"_target_": "seglab.data.nifti.Nifti", "fit": "pad"},
        "model": {"_target_": "mine.Net"},
    }
    now = {
        "seed": 3,
        "data": {"_target_": "seglab.data.sources.nifti.Nifti", "resize_mode": "pad"},
        "model": {"_target_": "mine.Net"},
    }
    assert current_config(before) == now == current_config(now)
    flat = {"data._target_": "seglab.data.nifti.Nifti", "data.fit": "pad", "seed": "3"}
    assert current_params(flat) == {
        "data._target_": "seglab.data.sources.nifti.Nifti",
        "data.resize_mode": "pad",
        "seed": "3",
    }
    both = {"data": {"fit": "pad", "resize_mode": "patch"}}  # refused afterwards as any unknown setting
    assert current_config(both) == both
    assert SETTINGS["data"]["fit"] == "resize_mode"


@pytest.mark.slow
def test_runs_of_both_versions_pair_and_are_marked(home: Path, store: Store) -> None:
    trained = train(
        home, *WORDS, "loss=dice", "seed=3", "trainer.epochs=2", "data.fit=resize", "tracking.system_metrics=false"
    )
    assert trained.returncode == 0, trained.stderr[-2000:]
    found = compare(CompareSettings(filter="params.loss.name = 'DiceLoss'"), store)
    table = found.variants
    assert table["variant"].tolist() == ["UNetMini_DiceLoss_Adam"]
    assert len(found.found.runs) == 3
    assert table["mixed_code"].tolist() == [True]


def test_a_run_that_was_killed_goes_on_to_its_end(home: Path, store: Store) -> None:
    killed = named(store, "attributes.status = 'RUNNING'")
    with sqlite3.connect(home / "mlruns" / "mlflow.db") as database:  # its process ran here, and is gone
        for key, value in {Tag.HOST: socket.gethostname(), Tag.MACHINE: machine()}.items():
            database.execute("UPDATE tags SET value = ? WHERE key = ?", (value, key))
    database.close()
    resumed = train(home, f"resume={killed}", "tracking.system_metrics=false")
    assert resumed.returncode == 0, resumed.stderr[-2000:]
    run = store.run(killed)
    assert run.info.status == "FINISHED"
    assert [m.step for m in store.client.get_metric_history(killed, "val_dice")] == [1, 2, 3, 4, 5, 6]
    assert run.data.params["data.fit"] == "resize"  # as it was logged


def test_its_bundle_predicts_and_its_model_loads(home: Path, store: Store) -> None:
    run_id = named(store, "params.loss.name = 'FocalLoss'")
    subject = find_subject(run_id, "test", directory=home / "mlruns")
    assert len(subject.cases) == 1
    predictor = Predictor.load(find_bundle(run_id, store.uri, store.directory))
    image = np.random.default_rng(0).integers(0, 256, (16, 16, 1)).astype(np.uint8)
    mask = predictor.predict(image)
    assert mask.shape == (16, 16)
    mlflow.set_tracking_uri(store.uri)
    model = mlflow.pyfunc.load_model(f"runs:/{run_id}/model")
    assert np.array_equal(model.predict(image[None])[0], mask)


def test_its_sweep_is_known(home: Path) -> None:
    (status,) = sweep_statuses(home / "mlruns", "sweep-5f59999a3dec")
    assert (status.finished, status.total) == (2, 2)


def test_a_run_is_promoted(home: Path, store: Store) -> None:
    run = store.run(named(store, "params.seed = '1' and params.loss.name = 'DiceLoss'"))
    promoted = promote(store, run, "former", Gate(rules=[], allowed_findings=True))
    assert store.client.get_model_version_by_alias("former", "champion").run_id == run.info.run_id
    assert promoted.version


def test_its_cache_stays_beside_the_one_of_today_and_gives_no_other_cases(tmp_path: Path) -> None:
    """Its folder is named after the code that made it: other code makes a folder of its own."""
    with tarfile.open(ROOT / "tests" / "former_versions" / "0.1_cache.tar.xz") as archive:
        archive.extractall(tmp_path, filter="data")
    cache = tmp_path / "cache"
    former = {path: path.read_bytes() for path in cache.rglob("*") if path.is_file()}
    source = ImageFolder(root=str(tmp_path / "data"), label_values=[0, 255], class_names=["none", "square"])
    ids = [case.id for case in source.cases]
    held_facts, held = store_in_memory(source, PATCH, source.cases)
    for _ in range(2):  # built, then found
        facts, kept = Cache(source, source.digest(), PATCH, cache, 1.0).collect(source.cases)
        assert facts == held_facts
        same(kept, held, ids)
    assert len(former) == 26
    assert all(path.read_bytes() == content for path, content in former.items())
    assert sorted(path.name != "03b1debd4cf5acf8" for path in cache.glob("?" * 16)) == [False, True]
