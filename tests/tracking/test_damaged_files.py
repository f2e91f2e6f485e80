"""Whatever lies in the place of a file that a run has left here: no traceback, and nothing else is held up by it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import toys

from seglab import doctor
from seglab.config.places import ROOT
from seglab.errors import TrackingError, TrainingError
from seglab.experiment.resume import _read
from seglab.run_record import Tag
from seglab.tracking import operations
from seglab.tracking.clockless_heartbeat import PeerSightings
from seglab.tracking.heartbeat import identity, mark_stale_runs
from seglab.tracking.outbox import Outbox, deliver_all
from seglab.tracking.repair_paths import relocate
from seglab.tracking.store import Store, open_store
from seglab.training.checkpoint import finished_epochs, load_state

Harm = Callable[[Path], object]
DEEP = "[" * 100_000


def a_folder(file: Path) -> None:
    file.unlink()
    file.mkdir()


HARMS: dict[str, Harm] = {
    "gone": Path.unlink,
    "a folder": a_folder,
    "cut in half": lambda file: os.truncate(file, file.stat().st_size // 2),
    "zeroed": lambda file: file.write_bytes(bytes(file.stat().st_size)),
    "emptied": lambda file: file.write_bytes(b""),
    "deep": lambda file: file.write_text(DEEP),
    "a list": lambda file: file.write_text("[1, 2]"),
    "another object": lambda file: file.write_text('{"format": 1}'),
    "binary": lambda file: file.write_bytes(bytes(range(256))),
}
harmed = pytest.mark.parametrize("harm", HARMS.values(), ids=HARMS.keys())


def dead_run(store: Store) -> tuple[str, Path]:
    """A run that says RUNNING, whose process is gone and has left a metric and its end; its id and its outbox."""
    tags = {**identity(), Tag.HEARTBEAT: f"{time.time():.0f}", "heartbeat_seconds": "30", "process_started": "1.00"}
    run_id = store.client.create_run(store.experiment_id("seglab"), tags=tags).info.run_id
    box = Outbox(store.work_dir(run_id) / "outbox", run_id, store.uri)
    box.add(operations.metrics({"val_dice": 0.5}, 1))
    box.add(operations.end("FAILED", "its own reason"))
    return run_id, box.directory


@harmed
def test_the_address_of_an_outbox(tmp_path: Path, harm: Harm) -> None:
    store = open_store(None, toys.fresh_store(tmp_path / "mlruns"))
    run_id, box = dead_run(store)
    harm(box / "address")
    (one,) = deliver_all(store.directory)
    assert (one.run_id, one.records, one.left, "cannot be read" in one.reason) == (run_id, 0, 2, True)
    output = subprocess.run(
        [sys.executable, ROOT / "scripts" / "sync.py", "--runs", store.directory],
        capture_output=True, text=True, check=False,
    ) if harm is HARMS["zeroed"] else None  # fmt: skip
    assert output is None or (output.returncode == 1 and "0 records delivered, 2 left" in output.stdout)
    # The run's store knows better: the next start or the doctor delivers what was left, the run's own end among it.
    assert mark_stale_runs(store) == []
    run = store.run(run_id)
    assert (run.info.status, run.data.tags["end_reason"]) == ("FAILED", "its own reason")
    assert run.data.metrics == {"val_dice": 0.5}


@harmed
def test_a_record(tmp_path: Path, harm: Harm) -> None:
    store = open_store(None, toys.fresh_store(tmp_path / "mlruns"))
    run_id, box = dead_run(store)
    (box / "notes.json").write_text("of the user")
    harm(box / "00000000.json")
    mark_stale_runs(store)
    run = store.run(run_id)
    assert (run.info.status, run.data.metrics) == ("FAILED", {})
    assert len(list((box / "refused").glob("*.reason"))) == (0 if harm is HARMS["gone"] else 1)


@harmed
def test_what_was_seen_of_others(tmp_path: Path, harm: Harm) -> None:
    seen = PeerSightings.kept_in(tmp_path)
    seen.still_for("process", "sign")
    (file,) = (tmp_path / "sightings").glob("*.json")
    harm(file)
    assert PeerSightings.kept_in(tmp_path).still_for("process", "sign") == 0.0


@harmed
def test_what_a_run_goes_on_with(tmp_path: Path, harm: Harm) -> None:
    file = tmp_path / "config.json"
    file.write_text('{"seed": 1}')
    harm(file)
    if harm is HARMS["another object"]:
        assert _read(file, "the-run") == {"format": 1}
        return
    with pytest.raises(TrackingError, match="the saved state of a run cannot be read"):
        _read(file, "the-run")


@harmed
def test_the_state_of_training(tmp_path: Path, harm: Harm) -> None:
    file = tmp_path / "state.npz"
    np.savez(file, words=np.frombuffer(b'{"format": 1}', "uint8"), model_0=np.zeros(1000))
    harm(file)
    assert finished_epochs(file) == (0, False)
    with pytest.raises(TrainingError, match=r"no state of training|no stored state of training") as error:
        load_state(file)
    assert "unsafe" not in str(error.value)


@pytest.mark.parametrize("words", [DEEP, "[1]", "null", '{"format": 1}', '{"format": 1, "counts": 3}'])
def test_the_words_of_a_state(tmp_path: Path, words: str) -> None:
    file = tmp_path / "state.npz"
    np.savez(file, words=np.frombuffer(words.encode(), "uint8"))
    assert finished_epochs(file) == (0, False)
    with pytest.raises(TrainingError, match="a file that is no state of training"):
        load_state(file)


@harmed
def test_a_store_that_is_moved_beside_it(tmp_path: Path, harm: Harm) -> None:
    before = open_store(None, toys.fresh_store(tmp_path / "before"))
    run_id, box = dead_run(before)
    (before.directory / "artifacts").mkdir()
    harm(box / "address")
    after = open_store(None, before.directory.rename(tmp_path / "after"))
    assert relocate(after) is not None
    mark_stale_runs(after)
    assert after.run(run_id).info.status == "FAILED"


def diagnoses(directory: Path) -> dict[str, doctor.Finding]:
    return {one.label: one for one in doctor._guarded(lambda: doctor._store(None, directory, False))}


def test_a_link_to_a_disk_that_is_not_there(tmp_path: Path) -> None:
    link = tmp_path / "mlruns"
    link.symlink_to(tmp_path / "disk" / "mlruns")
    with pytest.raises(TrackingError, match="a link to a place that is not there"):
        open_store(None, link)
    assert not diagnoses(link)["Trouble"].ok
    assert not (tmp_path / "disk").exists()


def test_a_file_in_the_place_of_the_folder(tmp_path: Path) -> None:
    file = tmp_path / "mlruns"
    file.write_text("mine")
    with pytest.raises(TrackingError, match="a file of that name"):
        open_store(None, file)
    assert not diagnoses(file)["Trouble"].ok
    assert file.read_text() == "mine"


def test_a_database_that_is_gone_is_not_begun_anew_beside_its_runs(tmp_path: Path) -> None:
    directory = toys.fresh_store(tmp_path / "mlruns")
    (directory / "artifacts" / "seglab" / ("a" * 32)).mkdir(parents=True)
    (directory / "mlflow.db").unlink()
    with pytest.raises(TrackingError, match="no such file, and artifacts of 1 runs"):
        open_store(None, directory)
    assert "restore the database from a copy" in diagnoses(directory)["Trouble"].text
    assert not (directory / "mlflow.db").exists()
