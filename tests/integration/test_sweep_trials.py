"""A search on jobs that train nothing: what is drawn when, what is tried again, what its status says."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import hydra
import optuna
import pretended
import pytest
from hydra._internal.callbacks import Callbacks
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.types import HydraContext
from pretended import Executor, Job, empty_store, store

from seglab.command import SweepFailed
from seglab.config.places import CONF
from seglab.errors import TrackingError
from seglab.sweeping import search as searches
from seglab.sweeping.search import Search
from seglab.sweeping.search_settings import SearchSettings
from seglab.sweeping.status import SweepStatus, sweep_statuses
from seglab.tracking.store import Store

__all__ = ["empty_store", "store"]
RATE = "optimizer.learning_rate"
FREE = f"{RATE}=interval(0.001,0.1)"


def search(executor: Executor, *free: str, monitor: str = "val_dice", **settings: Any) -> Search:
    given = {"study_name": "s", "storage": "sqlite:///mlruns/search.db", "trials": 4, "at_once": 5, "seed": 0}
    given |= {"startup_trials": 2, "warmup_epochs": 0, **settings}
    words = ["data.count=12", "data.size=[32,32]", f"trainer.monitor={monitor}"]
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        config = hydra.compose("train", overrides=words, return_hydra_config=True)
        context = HydraContext(GlobalHydra.instance().config_loader(), Callbacks())
        overrides = OverridesParser.create().parse_overrides([*words, *(free or [FREE])])
        return Search(config, context, executor, SearchSettings(**given), overrides)


def status() -> SweepStatus:
    (one,) = sweep_statuses(Path("mlruns").absolute(), "s")
    return one


def counts(one: SweepStatus) -> dict[str, int]:
    names = ("total", "finished", "pruned", "failed", "running", "left")
    return {name: getattr(one, name) for name in names if getattr(one, name)}


def rate(job: Job) -> float:
    return float(job.settings[RATE])


def at_the_first(*acts: Callable[[Job], Any], then: Callable[[Job], Any]) -> Callable[[Job], Any]:
    """What becomes of the first jobs, and of the others."""

    def play(job: Job) -> None:
        number = job.executor.started.index(job)
        (acts[number] if number < len(acts) else then)(job)

    return play


def states() -> list[str]:
    study = optuna.load_study(study_name="s", storage="sqlite:///mlruns/search.db")
    return [trial.state.name for trial in study.get_trials()]


def test_trials_that_died_or_failed_are_tried_again_with_their_values(store: Store) -> None:
    def fails(job: Job) -> None:
        store.client.set_tag(job.run_id, "end_reason", "TrainingError: the loss is nan")
        store.client.set_terminated(job.run_id, "FAILED")
        job.exit_code = 1

    first = Executor(store, play=at_the_first(Job.die, fails, then=lambda job: job.finish(0.5)))
    with pytest.raises(SweepFailed, match=r"2 of 4 trials failed; launch the search again(.|\n)*the loss is nan"):
        search(first).run()
    assert counts(status()) == {"total": 4, "finished": 2, "failed": 1, "left": 1}
    # What died goes on in its own run, what fails by itself fails again; nothing else is drawn.
    second = Executor(store, play=at_the_first(lambda job: job.finish(0.9), then=fails))
    with pytest.raises(SweepFailed, match="1 of 2 trials failed"):
        search(second).run()
    assert [(rate(job), job.run_id) for job in second.started] == [(rate(job), job.run_id) for job in first.started[:2]]
    assert all(job.resumed for job in second.started)
    assert counts(status()) == {"total": 4, "finished": 3, "failed": 1}
    third = Executor(store, play=lambda job: job.finish(0.7))
    assert search(third).run() == 0.9
    assert [rate(job) for job in third.started] == [rate(first.started[1])]
    assert len(pretended.runs(store)) == len(pretended.runs(store, "FINISHED")) == 4
    assert states() == ["FAIL", "FAIL", "COMPLETE", "COMPLETE", "COMPLETE", "FAIL", "COMPLETE"]


def test_a_trial_whose_launcher_was_killed_before_it_had_its_values_is_not_counted(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(searches, "_CLAIM_SECONDS", 0.0)
    study = search(Executor(store), FREE, "model.width=8,16").study
    study.ask().suggest_float(RATE, 0.001, 0.1)
    executor = Executor(store, play=lambda job: job.finish(0.5))
    search(executor, FREE, "model.width=8,16", trials=2).run()
    assert len(executor.started) == 2


def test_the_status_of_a_search_is_right_while_it_runs_and_when_it_is_launched_again(store: Store) -> None:
    seen = []

    def play(job: Job) -> None:
        seen.append(counts(status()))
        job.finish(0.5)

    search(Executor(store, play=play), trials=3).run()
    assert seen == [
        {"total": 3, "running": 1, "left": 2},
        {"total": 3, "finished": 1, "running": 1, "left": 1},
        {"total": 3, "finished": 2, "running": 1},
    ]
    assert counts(status()) == {"total": 3, "finished": 3}
    idle = Executor(store)
    search(idle, trials=3).run()
    assert idle.started == []
    assert counts(status()) == {"total": 3, "finished": 3}
    # More trials than before, and what a trial has cost is known from the former ones.
    search(Executor(store, play=play), trials=5).run()
    assert seen[3:] == [
        {"total": 5, "finished": 3, "running": 1, "left": 1},
        {"total": 5, "finished": 4, "running": 1},
    ]


def test_trials_that_finished_in_another_store_are_done(
    store: Store, empty_store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = f"sqlite:///{Path.cwd()}/search.db"
    search(Executor(store, play=lambda job: job.finish(0.5)), trials=2, storage=storage).run()
    Path("other").mkdir()
    monkeypatch.chdir("other")
    other = pretended.copied(empty_store)
    search(Executor(other, play=lambda job: job.finish(0.5)), trials=3, storage=storage).run()
    assert len(pretended.runs(other)) == 1
    assert counts(status()) == {"total": 3, "finished": 3}


def test_equal_trials_share_a_run(store: Store) -> None:
    executor = Executor(store, jobs=2, play=lambda job: job.finish(0.5))
    search(executor, "seed=1,2", trials=6).run()
    assert len(executor.started) == len(pretended.runs(store)) == 2
    assert states() == ["COMPLETE"] * 6
    assert counts(status()) == {"total": 6 - 4, "finished": 2}


def test_a_place_that_is_free_takes_a_trial_that_knows_what_has_ended(store: Store) -> None:
    """The first trial outlasts all others, and they are drawn one after the other all the same."""
    drawn_after: list[int] = []

    def play(job: Job) -> None:
        jobs = job.executor.started
        if len(drawn_after) < len(jobs):
            drawn_after.append(states().count("COMPLETE"))
        if job is not jobs[0] or len(jobs) == 8:
            job.finish(1.0 - rate(job))

    executor = Executor(store, jobs=100, play=play)
    search(executor, trials=8, at_once=3).run()
    assert executor.most == 3
    assert len(executor.started) == 8
    assert drawn_after[-1] >= 5
    (parent,) = [run for run in store.all_runs() if "sweep_digest" in run.data.tags]
    fields = {key: value for key, value in parent.data.tags.items() if key.startswith("launcher")}
    assert fields == {"launcher": "pretended", "launcher_jobs": "3", "launcher_threads": "1"}


@pytest.mark.parametrize(("monitor", "better", "worse"), [("val_dice", 0.9, 0.1), ("val_loss", 0.1, 0.9)])
def test_a_trial_worse_than_the_median_ends_early(store: Store, monitor: str, better: float, worse: float) -> None:
    def good(job: Job) -> None:
        job.curve(better, better, metric=monitor)
        job.finish(better)

    def poor(job: Job) -> None:
        looks.append(job)
        job.curve(worse, metric=monitor)
        if len(looks) > 20:  # nobody ends it
            job.finish(worse)

    looks: list[Job] = []

    executor = Executor(store, play=at_the_first(good, poor, then=good))
    assert search(executor, monitor=monitor, trials=3, startup_trials=1).run() == better
    assert states() == ["COMPLETE", "PRUNED", "COMPLETE"]
    (stopped,) = pretended.runs(store, "KILLED")
    assert stopped.info.run_id == executor.started[1].run_id
    assert counts(status()) == {"total": 3, "finished": 2, "pruned": 1}


def test_a_trial_without_an_objective_is_done_and_as_bad_as_any(store: Store) -> None:
    executor = Executor(
        store, play=at_the_first(lambda job: job.finish(float("nan")), then=lambda job: job.finish(1.0))
    )
    assert search(executor, trials=2).run() == 1.0
    assert states() == ["PRUNED", "COMPLETE"]


def test_a_damaged_storage_is_reported_with_what_helps(store: Store) -> None:
    file = Path("mlruns") / "search.db"
    file.parent.mkdir(exist_ok=True)
    file.write_text("no database" * 1000)
    with pytest.raises(TrackingError, match="the storage of the search does not work") as error:
        search(Executor(store))
    assert "restore the database from a copy" in error.value.remedy
    assert file.read_text() == "no database" * 1000


def test_the_last_trial_that_two_launchers_ask_for_at_once_is_the_firsts(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other launcher has asked a moment before, says then that the trial is its own, and does it."""
    executor = Executor(store, play=lambda job: job.finish(0.5))
    one = search(executor, trials=1)
    ask, others = one.study.ask, []

    def after_another() -> optuna.trial.Trial:
        if not others:
            others.append(ask())
        return ask()

    def other_ends(_: float) -> None:
        others[0].suggest_float(RATE, 0.001, 0.1)
        optuna.load_study(study_name="s", storage="sqlite:///mlruns/search.db").tell(others[0].number, 0.25)

    with monkeypatch.context() as patched:
        patched.setattr(one.study, "ask", after_another)
        patched.setattr(searches.time, "sleep", other_ends)
        assert one.run() == 0.25
    assert executor.started == []
    assert states() == ["COMPLETE", "FAIL"]
    assert search(executor, trials=2).run() == 0.5
    assert states() == ["COMPLETE", "FAIL", "COMPLETE"]
