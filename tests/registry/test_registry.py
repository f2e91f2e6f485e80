"""From a run to a champion: the register, the log, the card; and back."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

import cv2
import filelock
import pytest
import toys
from mlflow.entities import Metric
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import TEMPORARILY_UNAVAILABLE
from mounts import needs_mounts, small, within
from promotable import GATE, PICTURES, made_bundle, trained

from seglab.errors import TrackingError
from seglab.registry import promotion
from seglab.registry.promotion import promote, rollback
from seglab.registry.promotion_log import entries
from seglab.run_record import Artifact, StoreFile
from seglab.task import Task
from seglab.tracking import operations
from seglab.tracking.bundles import find_bundle
from seglab.tracking.store import Store, open_store

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_bundle(tmp_path_factory.mktemp("bundle") / "bundle")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(None, toys.fresh_store(tmp_path / "mlruns"))


def log(store: Store) -> list[dict[str, object]]:
    return [json.loads(line) for line in (store.directory / StoreFile.PROMOTIONS).read_text().splitlines()]


def test_promotion_moves_the_alias_and_rollback_moves_it_back(store: Store, bundle: Path) -> None:
    first, second = trained(store, bundle, 0.6, 0.7, 0.65), trained(store, bundle, 0.7, 0.8, 0.75)
    done = promote(store, store.run(first), "cells", GATE, reason="the first")
    assert (done.passed, done.version, done.former) == (True, "1", None)
    done = promote(store, store.run(second), "cells", GATE)
    assert (done.passed, done.version, done.former) == (True, "2", "1")
    version = store.client.get_model_version_by_alias
    assert (version("cells", "champion").run_id, version("cells", "previous").run_id) == (second, first)
    # The champion is loadable, and has its card beside the weights.
    folder = find_bundle("models:/cells@champion", store.uri, store.directory)
    card = next(folder.parents[1].rglob(Artifact.MODEL_CARD)).read_text()
    assert "| cell | 0.750 [" in card
    assert second in card
    assert "Lowest Dice: 000 (0.700)" in card
    assert version("cells", "champion").description.startswith("# Model card: cells")
    assert rollback(store, "cells", reason="complaints") == ("1", "2")
    assert (version("cells", "champion").run_id, version("cells", "previous").run_id) == (first, second)
    assert [(line["action"], line["run"], line["reason"]) for line in log(store)] == [
        ("promote", first, "the first"),
        ("promote", second, ""),
        ("rollback", first, "complaints"),
    ]
    assert log(store)[0]["scores"] == {"test_dice": pytest.approx(0.65)}
    assert entries(store, "cells") == log(store)


def test_the_card_states_the_licence_of_the_data_and_shows_where_the_model_fails(store: Store, bundle: Path) -> None:
    run = trained(store, bundle, 0.6, 0.7)

    def card() -> Path:
        folder = find_bundle("models:/cells@champion", store.uri, store.directory)
        return next(folder.parents[1].rglob(Artifact.MODEL_CARD))

    promote(store, store.run(run), "cells", GATE)
    text = card().read_text()
    assert "| licence | **not stated** |" in text
    assert "Nobody has stated the licence of the data" in text
    for picture in PICTURES:
        assert f"![{picture}]({picture})" in text.partition("## Where it fails")[2]
        shown = cv2.imread(str(card().with_name(picture)))
        assert (shown == len(picture)).all()
    promote(store, store.run(run), "cells", GATE, licence="CC BY-SA 4.0")
    stated = card().read_text()
    assert "| licence | CC BY-SA 4.0 |" in stated
    assert "The data: CC BY-SA 4.0." in stated
    assert "not stated" not in stated
    promote(store, store.run(run), "cells", GATE)  # the run has been told
    assert "The data: CC BY-SA 4.0." in card().read_text()


def test_a_bundle_that_the_run_logs_later_is_champion_when_it_is_promoted(store: Store, bundle: Path) -> None:
    run = trained(store, bundle, 0.9, 0.9)
    promote(store, store.run(run), "cells", GATE)
    before = find_bundle("models:/cells@champion", store.uri, store.directory)
    for _ in range(3):  # MLflow lists models by random ids
        operations.log_model_folder(store.client, run, before.parents[1])
        assert find_bundle("models:/cells@champion", store.uri, store.directory) == before
    latest = find_bundle(run, store.uri, store.directory)
    assert latest != before
    assert promote(store, store.run(run), "cells", GATE).version == "2"
    assert find_bundle("models:/cells@champion", store.uri, store.directory) == latest


def test_a_champion_of_another_machine_is_not_overrun(
    store: Store, bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second, third = (trained(store, bundle, value, value) for value in (0.6, 0.7, 0.65))
    promote(store, store.run(first), "cells", GATE)
    monkeypatch.setattr(promotion, "_alone", lambda *_: nullcontext())  # the lock of one machine is none on another
    held = promotion.check

    def meanwhile(*arguments: object) -> object:
        monkeypatch.setattr(promotion, "check", held)
        promote(store, store.run(second), "cells", GATE)
        return held(*arguments)

    monkeypatch.setattr(promotion, "check", meanwhile)
    with pytest.raises(TrackingError, match="changed from another machine meanwhile") as caught:
        promote(store, store.run(third), "cells", GATE)
    assert f"version 2, of run {second}" in str(caught.value)
    assert "promote again" in str(caught.value)
    version = store.client.get_model_version_by_alias
    assert [version("cells", alias).run_id for alias in ("champion", "previous")] == [second, first]
    assert [entry["run"] for entry in entries(store, "cells")] == [first, second]
    assert not promote(store, store.run(third), "cells", GATE).passed  # significantly worse than the new one


def test_an_entry_that_is_too_long_for_the_register_leaves_out_what_the_run_has(store: Store, bundle: Path) -> None:
    run = trained(store, bundle, 0.9, 0.9)
    store.client.log_batch(run, metrics=[Metric(f"test_dice/class {i}", 0.5, 0, 1) for i in range(300)])
    promote(store, store.run(run), "cells", GATE, reason="many classes")
    (entry,) = entries(store, "cells")
    assert "scores" not in entry
    assert (entry["run"], entry["reason"], entry["version"]) == (run, "many classes", "1")
    assert len(log(store)[0]["scores"]) == 301


def test_a_rejected_run_changes_nothing_but_its_tags_and_the_log(store: Store, bundle: Path) -> None:
    good, bad = trained(store, bundle, 0.9, 0.9, 0.9), trained(store, bundle, 0.6, 0.7, 0.6)
    promote(store, store.run(good), "cells", GATE)
    done = promote(store, store.run(bad), "cells", GATE)
    assert (done.passed, done.version) == (False, None)
    assert store.client.get_model_version_by_alias("cells", "champion").run_id == good
    assert len(store.client.search_model_versions("name = 'cells'")) == 1
    assert store.run(bad).data.tags["promotion"] == "REJECTED"
    assert "FAILED: test_dice not significantly worse" in store.run(bad).data.tags["promotion_reasons"]
    assert store.run(good).data.tags["promotion"] == "VALIDATED"
    assert [line["action"] for line in log(store)] == ["promote", "reject"]
    assert entries(store, "cells") == log(store)


def test_promoting_the_champion_again_keeps_its_version_and_the_previous(store: Store, bundle: Path) -> None:
    run = trained(store, bundle, 0.9, 0.9)
    promote(store, store.run(run), "cells", GATE)
    done = promote(store, store.run(run), "cells", GATE)
    assert (done.passed, done.version, done.former) == (True, "1", "1")
    with pytest.raises(TrackingError, match="nothing to roll back to"):
        rollback(store, "cells")


def test_a_run_without_a_model_is_refused(store: Store) -> None:
    run = trained(store, None, 0.9, 0.9)
    with pytest.raises(TrackingError, match="no model bundle"):
        promote(store, store.run(run), "cells", GATE)
    store.client.update_run(run, status="FAILED")
    with pytest.raises(TrackingError, match="only a finished run"):
        promote(store, store.run(run), "cells", GATE)


@pytest.mark.parametrize("names", [("cell", "background"), ("background", "cell", "wall"), ("background", "nucleus")])
def test_a_model_of_other_classes_does_not_take_the_name_over(
    store: Store, bundle: Path, tmp_path: Path, names: tuple[str, ...]
) -> None:
    first = trained(store, bundle, 0.6, 0.7)
    promote(store, store.run(first), "cells", GATE)
    other = trained(store, made_bundle(tmp_path / "other", Task(2, 1, names)), 0.9, 0.9, names=names)
    done = promote(store, store.run(other), "cells", GATE)
    assert not done.passed
    assert [str(each) for each in done.checks if not each.passed] == [
        f"FAILED: channels and classes are the champion's (found 2D, 1 channel(s), {', '.join(names)})"
    ]
    assert store.client.get_model_version_by_alias("cells", "champion").run_id == first
    assert promote(store, store.run(other), "others", GATE).passed


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


def test_a_promotion_that_goes_on_for_ever_is_told(store: Store, bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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
    code, said = within(mount, command, store.directory.parent)
    assert code == 2
    assert "error: the promotion failed before its end" in said
    assert "No space left on device" in said
    assert "champion is version 1 as before" in said
    assert "Traceback" not in said
    assert store.client.get_model_version_by_alias("cells", "champion").run_id == first
    done = promote(store, store.run(second), "cells", GATE)
    assert (done.passed, done.version, done.former) == (True, "2", "1")


def test_a_moved_store_is_not_promoted_in(store: Store, bundle: Path, tmp_path: Path) -> None:
    run = trained(store, bundle, 0.9, 0.9)
    moved = open_store(None, store.directory.rename(tmp_path / "after"))
    with pytest.raises(TrackingError, match="a store that was moved"):
        promote(moved, moved.run(run), "cells", GATE)
    assert not store.directory.exists()


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
    said = [process.communicate(timeout=120)[0] for process in started]
    assert [process.returncode for process in started] == [0, 0], said
    version = store.client.get_model_version_by_alias
    assert {version("cells", alias).run_id for alias in ("champion", "previous")} == set(runs)
    assert [line["action"] for line in log(store)] == ["promote", "promote"]
    assert all("VALIDATED" in text for text in said)
    command = [sys.executable, str(ROOT / "scripts" / "promote.py"), "log", "name=cells"]
    told = subprocess.run(command, cwd=store.directory.parent, capture_output=True, text=True, check=True).stdout
    assert [f"version {number} of run" in line for number, line in enumerate(told.splitlines(), 1)] == [True, True]


def test_the_command_says_what_it_needs(tmp_path: Path) -> None:
    def call(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, str(ROOT / "scripts" / "promote.py"), *words]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)

    assert "no store of runs" in call("run=abc", "name=x").stderr
    toys.fresh_store(tmp_path / "mlruns")
    for words, told in (
        (["run=abc"], "name"),
        (["run=abc", "nmae=x"], "did you mean 'name'"),
        (["run=abc", "name=x", "gate=none"], "no gate of this name"),
        (["run=abc", "name=x"], "no run of this id"),
        (["log", "name=x"], "no promotion log"),
    ):
        done = call(*words)
        assert done.returncode == 2
        assert told in done.stderr
