"""A search with Optuna through real jobs: drawn, ended early, cut off and taken up again."""

from __future__ import annotations

import optuna
import pytest
from sweeps import SMALL, Checkout, wait_for

RATES = "optimizer.learning_rate=1e-7,0.003"
SEARCH = ["search=tpe", RATES, "search.study_name=rates"]


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_hopeless_trials_end_early_and_a_killed_search_goes_on(tmp_path) -> None:
    checkout = Checkout(tmp_path / "checkout")
    (checkout.folder / "mlruns").mkdir()
    storage = f"sqlite:///{checkout.folder}/mlruns/search.db"
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(storage=storage, study_name="rates", direction="minimize")
    for rate in ("0.003", "1e-07", "0.003"):
        study.enqueue_trial({"optimizer.learning_rate": rate})
    words = [*SEARCH, "search.startup_trials=1", "search.warmup_epochs=100", "search.trials=3"]
    words += ["trainer.epochs=250", "trainer.monitor=train_loss", "schedule=constant"]
    launcher = checkout.start("-m", *SMALL, *words)
    # Killed in the second trial, which is hopeless.
    wait_for(lambda: checkout.jobs("FINISHED"), launcher, 900)
    wait_for(checkout.states, launcher)
    launcher.kill()
    launcher.wait()
    done = checkout.sweep(*words)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "resumed" in done.stdout
    # The second one was cut off, and drawn again as the last. The second 0.003 is the job of the first: one run.
    assert [trial.state.name for trial in study.get_trials()] == ["COMPLETE", "FAIL", "COMPLETE", "PRUNED"]
    assert study.trials[0].value == study.trials[2].value
    assert len(checkout.jobs()) == 2
    (best,) = checkout.jobs("FINISHED")
    (pruned,) = checkout.jobs("KILLED")
    assert pruned.data.tags["pruned"] == "true"
    assert pruned.data.params["optimizer.learning_rate"] == "1e-07"
    assert max(m.step for m in checkout.store.client.get_metric_history(pruned.info.run_id, "train_loss")) < 250
    assert study.best_value == float(best.data.tags["objective"])
    history = checkout.store.client.get_metric_history(best.info.run_id, "train_loss")
    assert study.best_value == pytest.approx(min(m.value for m in history), abs=1e-6)
    # Enough trials: nothing is left to do.
    again = checkout.sweep(*words)
    assert again.returncode == 0
    assert "3 of 3 trials done" in again.stdout
    assert len(study.get_trials()) == 4


@pytest.mark.slow
def test_a_search_that_was_begun_otherwise_is_refused(tmp_path) -> None:
    checkout = Checkout(tmp_path / "checkout")
    (checkout.folder / "mlruns").mkdir()
    storage = f"sqlite:///{checkout.folder}/mlruns/search.db"
    optuna.create_study(storage=storage, study_name="rates", direction="minimize")
    done = checkout.sweep(*SEARCH)
    assert done.returncode == 2, done.stderr
    assert "a search that was begun with other settings" in done.stderr
    assert "search.study_name=" in done.stderr
    broken = checkout.sweep(*SEARCH, "search.storage=sqlite:////no/such/folder/x.db")
    assert broken.returncode == 2, broken.stderr
    assert "the storage of the search does not work" in broken.stderr


@pytest.mark.slow
def test_a_storage_without_its_driver_says_what_to_install(tmp_path) -> None:
    checkout = Checkout(tmp_path / "checkout")
    done = checkout.sweep(*SEARCH, "search.storage=mysql://me:secret@127.0.0.1:1/x")
    assert done.returncode == 2, done.stderr
    assert "No module named 'MySQLdb'" in done.stderr
    assert "pip install mysqlclient" in done.stderr
    assert "secret" not in done.stderr


@pytest.mark.slow
def test_two_launchers_share_the_trials_of_one_search(tmp_path) -> None:
    one, other = Checkout(tmp_path / "one"), Checkout(tmp_path / "other")
    words = [*SEARCH, "search.trials=4", "trainer.epochs=30", f"search.storage=sqlite:///{tmp_path}/search.db"]
    first = one.start("-m", *SMALL, *words)
    wait_for(lambda: one.jobs("RUNNING"), first)
    second = other.start("-m", *SMALL, *words)
    done = [checkout.finish(process) for checkout, process in ((one, first), (other, second))]
    assert [each.returncode for each in done] == [0, 0], [each.stdout + each.stderr for each in done]
    assert "left alone: another launcher works on it" in done[1].stdout
    study = optuna.load_study(storage=f"sqlite:///{tmp_path}/search.db", study_name="rates")
    trials = study.get_trials()
    assert [trial.state.name for trial in trials] == ["COMPLETE"] * 4
    # Each trial belongs to one of the two, and to no third.
    assert len({trial.user_attrs["launcher"] for trial in trials}) == 2
