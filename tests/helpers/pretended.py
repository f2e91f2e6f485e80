"""Shared by the tests of sweeps: jobs that record runs and train nothing, in the test's own process."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from mlflow.entities import Run

from seglab.command import JOB_VARIABLE
from seglab.run_record import WorkFile
from seglab.sweeping import job_runner
from seglab.sweeping.executor import Command
from seglab.tracking.heartbeat import beat, identity
from seglab.tracking.store import Store, open_store

GONE = {"pid": "1", "process_started": "1.00"}  # process 1 began at another time


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The database of a store without runs: making one takes seconds, copying it none."""
    store = open_store(None, tmp_path_factory.mktemp("empty"))
    assert store.file is not None
    return store.file


@pytest.fixture
def store(empty_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """An empty store in `mlruns/` of a folder of its own, and a sweep that looks at its jobs without delay."""
    monkeypatch.chdir(tmp_path)
    for name, seconds in (("_POLL_SECONDS", 0.001), ("_POLL_OTHERS_SECONDS", 0.001), ("_WATCH_SECONDS", 0.0)):
        monkeypatch.setattr(job_runner, name, seconds)
    return copied(empty_store)


def copied(empty: Path) -> Store:
    """A store of its own in `mlruns/` here."""
    Path("mlruns").mkdir()
    shutil.copyfile(empty, Path("mlruns") / empty.name)
    return open_store(None, Path("mlruns"))


def begin(store: Store, tags: Mapping[str, str], *, state: bool = True) -> str:
    """A run as the process of a job makes it; `state`: what a resumed run must find is there."""
    experiment = store.experiment_id("seglab")
    signs = {**identity(), **beat(5.0), "resume_count": "0"}
    run_id = str(store.client.create_run(experiment, tags={**signs, **tags}).info.run_id)
    if state:
        store.work_dir(run_id).mkdir(parents=True)
        (store.work_dir(run_id) / WorkFile.CONFIG).write_text("{}")
    return run_id


def finish(store: Store, run_id: str, objective: float) -> None:
    """The end of a job that has reached this objective."""
    store.client.set_tag(run_id, "objective", str(objective))
    store.client.set_terminated(run_id, "FINISHED")


@dataclass
class Job:
    """A job that runs until `end` says its exit code; told to stop, it ends as a run that was stopped."""

    executor: Executor
    command: Command
    run_id: str
    resumed: bool
    exit_code: int | None = None

    @property
    def settings(self) -> dict[str, str]:
        """What is said on its command line, by key."""
        return dict(word.split("=", 1) for word in self.command.words if "=" in word)

    def curve(self, *values: float, metric: str = "val_dice") -> None:
        for epoch, value in enumerate(values, start=1):
            self.executor.store.client.log_metric(self.run_id, metric, value, step=epoch)

    def finish(self, objective: float) -> None:
        finish(self.executor.store, self.run_id, objective)
        self.exit_code = 0

    def die(self) -> None:
        """By kill -9: its run says RUNNING, and its process is gone."""
        for tag, value in GONE.items():
            self.executor.store.client.set_tag(self.run_id, tag, value)
        self.exit_code = -9

    def code(self) -> int | None:
        if self.exit_code is None and self.executor.play is not None:
            self.executor.play(self)
        return self.exit_code

    def reason(self) -> str:
        return f"exit code {self.exit_code}"

    def interrupt(self) -> None:
        self.executor.store.client.set_terminated(self.run_id, "KILLED")
        self.exit_code = 143

    def stop(self) -> None:
        """Nothing to wait for."""


@dataclass
class Executor:
    """Starts such jobs.

    Attributes:
        play: asked again and again for each job that runs: it may end it.
        started: every job so far.
        most: so many ran at once.
    """

    store: Store
    jobs: int = 1
    play: Callable[[Job], Any] | None = None
    started: list[Job] = field(default_factory=list)
    most: int = 0
    local: bool = True
    name: str = "pretended"
    threads: int = 1

    def room(self, job_runner: Any) -> bool:
        self.most = max(self.most, len(job_runner))
        return len(job_runner) < self.jobs

    def busy(self, identity: str) -> str:
        return ""

    def start(self, command: Command) -> Job:
        tags = json.loads(command.environment[JOB_VARIABLE])["tags"]
        resume = dict(word.split("=", 1) for word in command.words if "=" in word).get("resume")
        if resume is not None:
            for tag, value in {**identity(), "resume_count": "1"}.items():
                self.store.client.set_tag(resume, tag, value)
            self.store.client.update_run(resume, status="RUNNING")
        job = Job(self, command, resume or begin(self.store, tags), resume is not None)
        self.started.append(job)
        return job


def runs(store: Store, status: str = "") -> list[Run]:
    """The runs of jobs."""
    found = [run for run in store.all_runs() if "job_identity" in run.data.tags]
    return [run for run in found if not status or run.info.status == status]
