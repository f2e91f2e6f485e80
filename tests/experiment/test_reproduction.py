"""A run had again: the verdict on its metrics, and its code from the repository."""

from __future__ import annotations

import math
import subprocess
from contextlib import nullcontext
from pathlib import Path

import pandas as pd
import pytest
import toys
from omegaconf import OmegaConf

from seglab.errors import TrackingError
from seglab.experiment import reproduce as reproduction
from seglab.experiment.code_checkout import ROOT, code_of
from seglab.experiment.reproduce import compare_histories, reproduce
from seglab.runtime.code_version import code_version
from seglab.tracking.archive import export_runs, import_runs
from seglab.tracking.bundles import run_file
from seglab.tracking.store import Store, open_store
from seglab.tracking.tracker import Tracker


def git(folder: Path, *words: str) -> str:
    name = ["-c", "user.name=Test", "-c", "user.email=test@example.org"]
    done = subprocess.run(["git", "-C", str(folder), *name, *words], capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    root = tmp_path / "repository"
    root.mkdir()
    git(root, "init", "-q")
    (root / "code.py").write_text("one\n")
    git(root, "add", ".")
    git(root, "commit", "-qm", "one")
    return root


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(None, toys.fresh_store(tmp_path / "mlruns"))


def recorded(store: Store, root: Path, **changes: str) -> str:
    """A run that was made with the repository as it is now."""
    code = code_version(root)
    tags = {"git_commit": str(code.commit), "git_dirty": str(code.dirty)} | changes
    with Tracker(toys.tracking(), store.directory, run_name="Toy", params={}, tags=tags) as tracked:
        if code.dirty:
            tracked.log_text(code.diff, "config/code.diff")
    return tracked.run_id


def test_the_verdict_on_each_metric() -> None:
    nan = math.nan
    former = {"same": {1: 0.5, 2: nan}, "near": {1: 0.5, 2: 0.7}, "far": {1: 0.5, 2: 0.7}, "short": {1: 0.5, 2: 0.6}}
    again = {"same": {1: 0.5, 2: nan}, "near": {1: 0.5, 2: 0.704}, "far": {1: 0.4, 2: 0.7}, "short": {1: 0.5}}
    table = compare_histories(former, again, 0.005).set_index("metric")
    assert table["verdict"].to_dict() == {
        "same": "identical",
        "near": "within tolerance",
        "far": "different",
        "short": "different",
    }
    assert table.loc["near", "first_epoch"] == 2
    assert table.loc["far", "first_epoch"] == 1
    assert table.loc["short", "first_epoch"] == 2
    assert pd.isna(table.loc["same", "first_epoch"])
    assert table.loc["near", "largest_difference"] == pytest.approx(0.004)
    assert table.loc["far", "largest_difference"] == pytest.approx(0.1)
    assert table.loc["short", "largest_difference"] == math.inf
    assert (table.loc["far", "former"], table.loc["near", "again"]) == (0.7, 0.704)


def test_a_value_that_became_undefined_is_another() -> None:
    table = compare_histories({"dice": {1: 0.5}}, {"dice": {1: math.nan}}, 1.0)
    assert table["verdict"].tolist() == ["different"]


def test_the_code_of_an_unchanged_repository_is_the_repository(repository: Path, store: Store) -> None:
    run = store.run(recorded(store, repository))
    with code_of(store, run, repository) as code:
        assert code == repository


def test_former_code_comes_from_its_commit_and_its_logged_changes(repository: Path, store: Store) -> None:
    (repository / "code.py").write_text("one, changed\n")
    (repository / "new.py").write_text("untracked\n")
    run = store.run(recorded(store, repository))
    (repository / "code.py").write_text("two\n")
    git(repository, "add", ".")
    git(repository, "commit", "-qm", "two")
    (repository / "code.py").write_text("three, not committed\n")
    with code_of(store, run, repository) as code:
        assert code != repository
        assert (code / "code.py").read_text() == "one, changed\n"
        assert (code / "new.py").read_text() == "untracked\n"
    assert not code.exists()
    assert (repository / "code.py").read_text() == "three, not committed\n"
    assert len(git(repository, "worktree", "list").splitlines()) == 1


def test_code_that_cannot_be_had_again_is_stated(repository: Path, store: Store) -> None:
    lost = store.run(recorded(store, repository, git_commit="c0ffee" * 6 + "c0ff"))
    with pytest.raises(TrackingError, match="cannot be restored") as caught, code_of(store, lost, repository):
        pass
    assert "fetch commit c0ffeec0ffee" in str(caught.value)
    (repository / "large.py").write_text("#" * 5_000_000)
    partial = store.run(recorded(store, repository))
    (repository / "large.py").unlink()
    with pytest.raises(TrackingError, match="untracked files that were too large"), code_of(store, partial, repository):
        pass
    with Tracker(toys.tracking(), store.directory, run_name="Toy", params={}, tags={}) as tracked:
        pass
    with pytest.raises(TrackingError, match="no tag git_commit"), code_of(store, store.run(tracked.run_id), repository):
        pass


def test_what_is_neither_code_nor_settings_is_not_kept_and_does_not_hinder(repository: Path, store: Store) -> None:
    (repository / "notes.env").write_text("DATABASE=hunter2\n")
    (repository / "results.csv").write_text("1,2\n")
    run = store.run(recorded(store, repository))
    kept = run_file(store, run, "config/code.diff").read_text()
    assert "hunter2" not in kept
    assert "# neither code nor settings, not kept: notes.env" in kept
    (repository / "notes.env").unlink()
    with code_of(store, run, repository) as code:
        assert not (code / "notes.env").exists()
        assert (code / "code.py").read_text() == "one\n"


def test_a_file_with_a_secret_is_left_out_and_its_line_named(repository: Path, store: Store) -> None:
    (repository / "conf" / "tracking").mkdir(parents=True)
    (repository / "conf" / "tracking" / "server.yaml").write_text("name: server\nuri: null\n")
    git(repository, "add", ".")
    git(repository, "commit", "-qm", "conf")
    (repository / "conf" / "tracking" / "server.yaml").write_text("name: server\nuri: postgresql://me:hunt/er2@h/d\n")
    (repository / "conf" / "new.yaml").write_text("a: 1\nb:\n  api_key: hunter2\n")
    (repository / "keys.py").write_text('TOKEN = "hunter2"\n')
    (repository / "code.py").write_text("two\n")
    version = code_version(repository)
    assert "hunt" not in version.diff
    assert "+two" in version.diff
    assert version.withheld == (
        "conf/tracking/server.yaml, line 2: an address with a password",
        "conf/new.yaml, line 3: the value of a password, token or key",
        "keys.py, line 1: the value of a password, token or key",
    )
    run = store.run(recorded(store, repository))
    with code_of(store, run, repository) as code:
        assert code == repository  # the tree as it was
    git(repository, "checkout", "-q", "code.py")
    with pytest.raises(TrackingError, match=r"not kept: conf/tracking/server.yaml, line 2"):
        code_of(store, run, repository).__enter__()


def test_an_imported_run_is_repeated_into_the_store_that_it_was_found_in(
    tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def train(uri: str | None, directory: Path, tags: dict[str, str]) -> str:
        with Tracker(toys.tracking(uri), directory, run_name="Toy", params={}, tags=tags) as tracked:
            tracked.emit({"val_dice": 0.5}, 1)
            # A server of the cluster, which is not to be reached from here.
            tracked.log_text("tracking: {uri: 'http://cluster.invalid:5000'}\n", "config/config.yaml")
            machine = {"processor": "another", "cpu_flags": [], "usable_cores": 1}
            tracked.log_json({"machine": machine, "settings": {}}, "config/environment.json")
        return tracked.run_id

    former = train(None, store.directory, {})
    there = open_store(None, toys.fresh_store(tmp_path / "laptop"))
    run_id = import_runs(there, export_runs(store, [store.run(former)], tmp_path / "runs"))[former]
    monkeypatch.setattr(reproduction, "code_of", lambda *_: nullcontext(ROOT))
    monkeypatch.setattr(
        reproduction,
        "_train",
        lambda run, config, code, tags, variables: train(OmegaConf.load(config).tracking.uri, there.directory, tags),
    )
    done = reproduce(there, there.run(run_id), trust_diff=True)
    assert done.verdict == "identical"
    assert there.run(done.run_id).data.tags["reproduces"] == run_id
    assert [run.info.run_id for run in store.all_runs()] == [former]
