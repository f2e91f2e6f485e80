"""What a report keeps when it is written again, what it marks, and what it says of how its runs were made."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest
from studies import Bench

from seglab.errors import ConfigError
from seglab.reports.study.page_record import BEGIN, END, STALE
from seglab.reports.study.study import load_study
from seglab.reports.study.study_plan import plan_of
from seglab.run_record import Artifact

CONCLUDED = "The focal loss wins\nby a tenth."
NAMES = {"loss=dice": "DiceLoss", "loss=focal": "FocalLoss"}


class Grid(Bench):
    """The study of two losses and two seeds, whose runs have the settings that its jobs have."""

    def __init__(self, folder: Path):
        super().__init__(folder)
        (self.folder / "study.yaml").write_text(
            "# @package _global_\n# seglab train -m experiment=grid\n# Does the focal loss win?\n"
            "trainer:\n  epochs: 20\nhydra:\n  sweeper:\n    params:\n      loss: dice,focal\n      seed: 0,1\n"
        )
        self.jobs = plan_of(load_study("grid", self.studies), []).missing

    def train(self, parent: str | None = None, jobs: slice = slice(None), **settings: str) -> list[str]:
        """A finished run of each job, with other settings where they are given; as children of a sweep's run."""
        ids = []
        changed = {key.replace("__", "."): value for key, value in settings.items()}
        for job in self.jobs[jobs]:
            loss, seed = NAMES[job.words[0]], int(job.words[1].removeprefix("seed="))
            mean = 0.6 if loss == "DiceLoss" else 0.7
            ids.append(self.run(loss, mean, seed, params={**job.settings, **changed}))
            if parent:
                self.recorder.store.client.set_tag(ids[-1], "mlflow.parentRunId", parent)
        return ids

    def sweep(self, jobs: list[list[str]]) -> str:
        client = self.recorder.store.client
        parent = client.create_run(self.recorder.store.experiment_id("seglab"), tags={"study": "grid"}).info.run_id
        client.log_text(
            parent,
            json.dumps([{"job": n, "overrides": words, "identity": str(n)} for n, words in enumerate(jobs)]),
            Artifact.SWEEP_JOBS,
        )
        return str(parent)

    def conclude(self, text: str = CONCLUDED) -> None:
        """As an author does: other words between the two marks."""
        page = re.sub(rf"{BEGIN}\n.*\n{END}", f"{BEGIN}\n{text}\n{END}", self.readme, flags=re.DOTALL)
        (self.folder / "README.md").write_text(page)

    @property
    def files(self) -> dict[Path, bytes]:
        return {path: path.read_bytes() for path in self.studies.rglob("*") if path.is_file()}


@pytest.fixture
def grid(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Grid:
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin")  # git; no browser: to print takes seconds
    monkeypatch.setattr("seglab.reports.study.write_report.print_page", lambda *_: None)
    return Grid(tmp_path)


def marks(page: str) -> list[str]:
    return [line for line in page.splitlines() if line.startswith(STALE)]


def test_a_conclusion_about_other_runs_is_kept_and_marked_until_its_author_says_it_holds(grid: Grid) -> None:
    first = grid.train()
    grid.report()
    grid.conclude()
    grid.train()
    grid.report()
    (mark,) = marks(grid.readme)
    named = ", ".join(sorted(run[:8] for run in first))
    assert f"written for other runs (4 runs, {named}; 4 of them are among these 8)" in mark
    assert "`seglab report study=grid conclusion=confirmed`" in mark
    assert grid.readme.index(mark) < grid.readme.index(f"{BEGIN}\n{CONCLUDED}\n{END}")
    note = (grid.folder / "note.md").read_text()
    assert f"This conclusion was written for other runs (4 runs, {named}; " in note
    assert "but those of the conclusion" in note
    grid.report(confirmed=True)
    assert marks(grid.readme) == []
    assert f"{BEGIN}\n{CONCLUDED}\n{END}" in grid.readme


def test_there_must_be_a_conclusion_to_confirm(grid: Grid) -> None:
    with pytest.raises(ConfigError, match="no conclusion to confirm"):
        grid.report(confirmed=True)


def test_the_command_is_the_one_that_made_the_runs_and_what_is_less_than_the_study_is_stated(grid: Grid) -> None:
    words = [
        [f"loss={loss}", "seed=0", "experiment=grid", "trainer.epochs=2", "data.limit_cases=4", "tracking.uri=x"]
        for loss in ("dice", "focal")
    ]
    grid.train(grid.sweep(words), slice(0, None, 2), trainer__epochs="2", data__limit_cases="4")
    grid.train(jobs=slice(0, 3))
    grid.report()
    assert (
        "```\nseglab train -m experiment=grid loss=dice,focal seed=0 trainer.epochs=2 data.limit_cases=4\n"
        in grid.readme
    )
    limits = (
        "- 3 of the 4 jobs of study.yaml have a finished run here; without one: loss=focal seed=1.\n"
        "- 2 runs are no job of study.yaml: "
    )
    assert limits in grid.readme
    assert limits in (grid.folder / "note.md").read_text()
    assert "trainer.epochs=2 where it says 20 (fewer epochs)" in grid.readme
    assert "data.limit_cases=4 where it says null (a part of the data)" in grid.readme
    assert "# the command of 3 of these runs is not recorded" in grid.readme


def test_what_a_command_holds_of_a_machine_is_left_away_and_a_search_is_reported_job_by_job(grid: Grid) -> None:
    words = [
        [
            "experiment=grid",
            "data._target_=seglab.data.sources.nifti.Nifti",
            "data.root=/home/me/scans",
            f"seed={n}",
            f"x={n}",
        ]
        for n in range(2)
    ]
    grid.train(
        grid.sweep([*words, ["experiment=grid", "a='b c'", "data.cache_dir=/tmp"]]),
        data___target_="seglab.data.sources.nifti.Nifti",
    )
    grid.report()
    code = grid.readme.partition("```\n")[2].partition("```")[0]
    first = "seglab train experiment=grid data._target_=seglab.data.sources.nifti.Nifti data.root=<folder>"
    assert code.splitlines()[:3] == [
        f"{first} seed=0 x=0",
        f"{first} seed=1 x=1",
        "seglab train experiment=grid 'a='\\''b c'\\'''",
    ]


def test_a_study_that_cannot_be_composed_is_reported_all_the_same(grid: Grid) -> None:
    grid.train()
    (grid.folder / "study.yaml").write_text("# @package _global_\n# Why?\ndefaults:\n  - override /loss: gone\n")
    grid.report()
    assert "How far these runs are those of study.yaml is not known: its commands cannot be composed" in grid.readme


def test_a_trial_does_not_replace_the_pages_of_a_whole_study(grid: Grid) -> None:
    ids = grid.train()
    grid.report()
    grid.conclude()
    for run in ids:  # as in another store, where the trial alone was made
        grid.recorder.store.client.delete_run(run)
    trial = grid.train(trainer__epochs="2")
    before = grid.files
    with pytest.raises(ConfigError, match="those of a trial") as refused:
        grid.report()
    assert "there 4 runs, 4 of the study's jobs; here 4: 0 of the 4 jobs" in str(refused.value)
    assert "trainer.epochs=2 where it says 20 (fewer epochs)" in str(refused.value)
    assert "overwrite=true" in str(refused.value)
    assert grid.files == before
    elsewhere = grid.studies.parent / "trial"
    grid.report(out=elsewhere)
    assert grid.files == before
    assert all(run in (elsewhere / "README.md").read_text() for run in trial)
    grid.report(overwrite=True)
    assert all(run in grid.readme for run in trial)
    assert f"{BEGIN}\n{CONCLUDED}\n{END}" in grid.readme
    assert "other runs (4 runs" in marks(grid.readme)[0]


@pytest.mark.slow
def test_words_and_pictures_of_a_person_are_not_lost(grid: Grid) -> None:
    grid.train()
    grid.report()
    pages = [grid.folder / "README.md", grid.folder / "note.md"]
    for path in pages:
        path.write_text(path.read_text().replace("Does the focal loss win?", "Does it really?", 1))
    pages[0].write_text(pages[0].read_text().replace("Does it", "![mine](pictures/mine.png) Does it", 1))
    (grid.folder / "pictures" / ".gitignore").write_text("mine.png")
    (grid.folder / "pictures" / "mine.png").write_bytes(b"a")
    before = grid.files
    with pytest.raises(ConfigError, match="not the report's own") as refused:
        grid.report()
    assert all(str(path) in str(refused.value) for path in pages)
    assert grid.files == before
    for words in (["init", "-q"], ["add", "."], ["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "a"]):
        subprocess.run(["git", "-C", str(grid.folder), *words], check=True)
    grid.conclude()  # an uncommitted conclusion is kept anyway
    grid.report()  # the last commit has the rest
    assert not any("Does it really" in path.read_text() for path in pages)
    assert CONCLUDED in grid.readme
    assert (grid.folder / "pictures" / "mine.png").exists()
