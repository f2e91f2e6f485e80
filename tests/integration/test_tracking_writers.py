"""Many processes at one store: 32 runs through a server that dies for a minute, 32 launchers on one search."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import optuna
import pytest
import toys
from mlflow_server import MlflowServer
from postgres_server import needs_postgres, postgres

from seglab.tracking.store import open_store

pytestmark = [pytest.mark.slow, needs_postgres]
WRITERS, STEPS, AWAY_SECONDS = 32, 60, 60

# Children of one process, which has imported all and opened nothing: argv is the folder, the address, writers, steps.
WRITING = """
import multiprocessing, sys, time
from pathlib import Path
from seglab.config.sections import TrackingSettings
from seglab.tracking.tracker import Tracker
folder, uri, writers, steps = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
settings = TrackingSettings(uri=uri, experiment="writers", system_metrics=False, heartbeat_seconds=5.0)
def write(number, begun):
    with Tracker(settings, Path(folder), run_name=f"Writer{number}", params={"seed": number}, tags={}) as run:
        begun.wait()
        if number == 0:
            print("BEGUN", flush=True)
        for step in range(1, steps + 1):
            run.emit({"train_dice": step / 100, "val_dice": number + step / 1000}, step)
            if step % 20 == 0:
                run.log_text(str(step), f"texts/{step}.txt")
            time.sleep(2)
context = multiprocessing.get_context("fork")
begun = context.Barrier(writers)
started = [context.Process(target=write, args=(number, begun)) for number in range(writers)]
for process in started: process.start()
for process in started: process.join()
sys.exit(sum(process.exitcode != 0 for process in started))
"""

# Children that are launchers of one search, each with a folder of runs of its own: argv is the folder of an empty
# store, the storage, launchers, trials.
SEARCHING = """
import multiprocessing, os, sys, time
from pathlib import Path
import hydra
from hydra._internal.callbacks import Callbacks
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.types import HydraContext
from pretended import Executor, copied
from seglab.config.places import CONF
from seglab.sweeping import job_runner
from seglab.sweeping.search import Search
from seglab.sweeping.search_settings import SearchSettings
folder, storage, launchers, trials = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
job_runner._POLL_SECONDS = 0.01
words = ["data.count=12", "data.size=[32,32]"]
free = "optimizer.learning_rate=interval(0.001,0.1)"
settings = SearchSettings("many", storage, trials, 5, 0, 2, 0)
hydra.initialize_config_dir(str(CONF), version_base="1.3").__enter__()
config = hydra.compose("train", overrides=words, return_hydra_config=True)
context = HydraContext(GlobalHydra.instance().config_loader(), Callbacks())
overrides = OverridesParser.create().parse_overrides([*words, free])
def launch(number, begun):
    home = folder / str(number)
    home.mkdir()
    os.chdir(home)
    store = copied(folder / "mlflow.db")
    executor = Executor(store, jobs=1, play=lambda job: job.finish(float(job.settings["optimizer.learning_rate"])))
    begun.wait()
    Search(config, context, executor, settings, overrides).run()
fork = multiprocessing.get_context("fork")
begun = fork.Barrier(launchers)
started = [fork.Process(target=launch, args=(number, begun)) for number in range(launchers)]
for process in started: process.start()
for process in started: process.join()
sys.exit(sum(process.exitcode != 0 for process in started))
"""


def test_a_server_on_postgresql_with_32_writers_that_is_away_for_a_minute(tmp_path: Path) -> None:
    (tmp_path / "server").mkdir()
    with postgres() as address:
        server = MlflowServer(tmp_path / "server", address)
        server.start()
        try:
            words = [sys.executable, "-c", WRITING, str(tmp_path / "mlruns"), server.uri, str(WRITERS), str(STEPS)]
            with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as writers:
                assert writers.stdout is not None
                assert writers.stdout.readline() == "BEGUN\n", writers.communicate()
                time.sleep(20)
                server.kill()
                time.sleep(AWAY_SECONDS)
                server.start()
                out, output = writers.communicate(timeout=1500)
            assert writers.returncode == 0, out + output
            assert output.count("does not answer; the run goes on") == WRITERS
            sync = [sys.executable, "-m", "seglab", "sync", f"runs={tmp_path / 'mlruns'}"]
            assert subprocess.run(sync, check=False, capture_output=True, timeout=300).returncode == 0
            store = open_store(server.uri, tmp_path / "more")
            runs = store.all_runs()
            assert sorted(run.info.run_name for run in runs) == sorted(f"Writer{n}" for n in range(WRITERS))
            for run in runs:
                number = int(run.data.params["seed"])
                assert run.info.status == "FINISHED"
                for name, first in (("train_dice", 0.01), ("val_dice", number + 0.001)):
                    points = store.client.get_metric_history(run.info.run_id, name)
                    assert sorted(point.step for point in points) == list(range(1, STEPS + 1)), (number, name)
                    assert min(point.value for point in points) == pytest.approx(first)
                texts = store.client.list_artifacts(run.info.run_id, "texts")
                assert sorted(one.path for one in texts) == ["texts/20.txt", "texts/40.txt", "texts/60.txt"]
        finally:
            server.kill()


def test_32_launchers_on_one_search_keep_its_budget(tmp_path: Path) -> None:
    launchers, trials = 32, 50
    toys.fresh_store(tmp_path / "empty")
    (tmp_path / "empty" / "mlflow.db").rename(tmp_path / "mlflow.db")
    with postgres() as address:
        optuna.storages.RDBStorage(address)  # makes the tables
        words = [sys.executable, "-c", SEARCHING, str(tmp_path), address, str(launchers), str(trials)]
        helpers = str(Path(toys.__file__).parent)
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join([helpers, os.environ.get("PYTHONPATH", "")])}
        done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False, timeout=1500)
        assert done.returncode == 0, done.stdout + done.stderr
        study = optuna.load_study(study_name="many", storage=address)
        kept = [trial for trial in study.get_trials() if "surplus" not in trial.user_attrs]
    assert [trial.state.name for trial in kept] == ["COMPLETE"] * trials
    assert len({trial.params["optimizer.learning_rate"] for trial in kept}) == trials
