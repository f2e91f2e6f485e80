"""Promotions that find a register silent, a disk full, files gone, or another promotion."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import filelock
import pytest
import toys
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import TEMPORARILY_UNAVAILABLE
from mounts import needs_mounts, small, within
from promotable import GATE, trained
from registered_runs import bundle, log, store

from seglab.errors import TrackingError
from seglab.registry import promotion
from seglab.registry.promotion import promote
from seglab.run_record import StoreFile
from seglab.tracking.bundles import find_bundle
from seglab.tracking.store import Store, open_store

__all__ = ["bundle", "store"]

ROOT = Path(__file__).parents[2]


def test_a_champion_whose_files_are_gone_can_be_replaced(store: Store, bundle: Path) -> None:
    first, second = trained(store, bundle, 0.6, 0.7), trained(store, bundle, 0.7, 0.8)
    promote(store, store.run(first), "cells", GATE)
    shutil.rmtree(find_bundle(first, store.uri, store.directory))
    done = promote(store, store.run(second), "cells", GATE)
    assert done.passed
    assert "the champion has a model bundle that is gone" in done.checks[-1].found


def test_a_run_whose_table_of_cases_is_gone_registers_nothing(store: Store, bundle: Path) -> None:
    run = trained(store, bundle, 0.9, 0.9)
    Path(store.run(run).info.artifact_uri.removeprefix("file://"), "test_cases.csv").unlink()
    with pytest.raises(TrackingError, match=r"no test_cases\.csv"):
        promote(store, store.run(run), "cells", GATE)
    assert not store.client.search_registered_models()
    assert not (store.directory / StoreFile.PROMOTIONS).exists()


def test_a_table_of_cases_of_other_classes_registers_nothing(store: Store, bundle: Path) -> None:
    run = trained(store, bundle, 0.9, 0.9, names=("background", "nucleus"))
    with pytest.raises(TrackingError, match="does not fit its model") as caught:
        promote(store, store.run(run), "cells", GATE)
    assert "no dice/cell" in str(caught.value)
    assert not store.client.search_registered_models()


def test_a_register_that_does_not_answer_is_no_missing_champion(
    store: Store, bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = trained(store, bundle, 0.9, 0.9), trained(store, bundle, 0.6, 0.6)
    promote(store, store.run(first), "cells", GATE)

    def silent(name: str, alias: str) -> None:
        raise MlflowException("database is locked", error_code=TEMPORARILY_UNAVAILABLE)

    with monkeypatch.context() as patched:
        patched.setattr(store.client, "get_model_version_by_alias", silent)
        with pytest.raises(TrackingError, match="the model registry does not answer") as caught:
            promote(store, store.run(second), "cells", GATE)
    assert "database is locked" in str(caught.value)
    assert store.client.get_model_version_by_alias("cells", "champion").run_id == first


def test_a_promotion_that_goes_on_for_ever_is_reported(
    store: Store, bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(promotion, "_LOCK_SECONDS", 0.2)
    run = trained(store, bundle, 0.9, 0.9)
    with (
        filelock.FileLock(store.directory / ".promotion-cells.lock"),
        pytest.raises(TrackingError, match="another promotion of cells is under way"),
    ):
        promote(store, store.run(run), "cells", GATE)
    assert promote(store, store.run(run), "cells", GATE).passed


@needs_mounts
def test_a_full_disk_leaves_the_champion_and_promoting_again_ends_it(store: Store, bundle: Path) -> None:
    first, second = trained(store, bundle, 0.6, 0.7), trained(store, bundle, 0.8, 0.9)
    promote(store, store.run(first), "cells", GATE)
    place = Path(store.run(second).info.artifact_uri.removeprefix("file://"))
    picture = place / "pictures" / "test_worst.png"
    picture.write_bytes(bytes(300_000))
    model_id = store.run(second).outputs.model_outputs[0].model_id
    weights = Path(store.client.get_logged_model(model_id).artifact_location.removeprefix("file://"))
    kept = shutil.copytree(weights, store.directory / "kept")
    # The folder of the weights on a disk with no room for the card: for what is in it, in whole blocks, and 100 kB.
    blocks = sum(file.stat().st_size // 4096 + 1 for file in kept.rglob("*"))
    mount = f"{small(weights, f'{4 * blocks + 100}k')} && cp -r {kept}/. {weights}"
    command = [sys.executable, str(ROOT / "scripts" / "promote.py"), f"run={second}", "name=cells"]
    code, output = within(mount, command, store.directory.parent)
    assert code == 2
    assert "error: the promotion failed before its end" in output
    assert "No space left on device" in output
    assert "champion is version 1 as before" in output
    assert "Traceback" not in output
    assert store.client.get_model_version_by_alias("cells", "champion").run_id == first
    done = promote(store, store.run(second), "cells", GATE)
    assert (done.passed, done.version, done.former) == (True, "2", "1")


def test_a_moved_store_is_not_promoted_in(store: Store, bundle: Path, tmp_path: Path) -> None:
    run = trained(store, bundle, 0.9, 0.9)
    moved = open_store(None, store.directory.rename(tmp_path / "after"))
    with pytest.raises(TrackingError, match="a store that was moved"):
        promote(moved, moved.run(run), "cells", GATE)
    assert not store.directory.exists()


@pytest.mark.slow
def test_two_promotions_at_once_both_count(store: Store, bundle: Path) -> None:
    runs = [trained(store, bundle, 0.8, 0.9, value) for value in (0.85, 0.86)]
    command = [sys.executable, str(ROOT / "scripts" / "promote.py"), "name=cells"]
    started = [
        subprocess.Popen(
            [*command, f"run={run}"],
            cwd=store.directory.parent,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for run in runs
    ]
    output = [process.communicate(timeout=120)[0] for process in started]
    assert [process.returncode for process in started] == [0, 0], output
    version = store.client.get_model_version_by_alias
    assert {version("cells", alias).run_id for alias in ("champion", "previous")} == set(runs)
    assert [line["action"] for line in log(store)] == ["promote", "promote"]
    assert all("VALIDATED" in text for text in output)
    command = [sys.executable, str(ROOT / "scripts" / "promote.py"), "log", "name=cells"]
    output = subprocess.run(command, cwd=store.directory.parent, capture_output=True, text=True, check=True).stdout
    assert [f"version {number} of run" in line for number, line in enumerate(output.splitlines(), 1)] == [True, True]


@pytest.mark.slow
def test_the_command_says_what_it_needs(tmp_path: Path) -> None:
    def call(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, str(ROOT / "scripts" / "promote.py"), *words]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)

    assert "no store of runs" in call("run=abc", "name=x").stderr
    toys.fresh_store(tmp_path / "mlruns")
    for words, message in (
        (["run=abc"], "name"),
        (["run=abc", "nmae=x"], "did you mean 'name'"),
        (["run=abc", "name=x", "gate=none"], "no gate of this name"),
        (["run=abc", "name=x"], "no run of this id"),
        (["log", "name=x"], "no promotion log"),
    ):
        done = call(*words)
        assert done.returncode == 2
        assert message in done.stderr
