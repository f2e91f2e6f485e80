"""A store of runs for the pages: a study of two models and three seeds, with names that a page may be given, one run
that is at work, one that failed, and a sweep."""

from __future__ import annotations

import json
from pathlib import Path

from app_data import HOSTILE
from recorded_runs import START, Recorder, level

from seglab.run_record import Tag
from seglab.tracking.heartbeat import beat, identity

STUDY = f"grid {HOSTILE}"
LONG = "Net_" + "with_a_very_long_name_" * 5 + "Model"
"""Of about 120 letters."""
RUNNING, FAILED = "At_Work_Adam", "Came_To_Nothing"


def write_runs(place: Path) -> Path:
    """The folder of the store."""
    recorder = Recorder(place)
    client = recorder.store.client
    for name, mean in (("UNet", 0.8), (LONG, 0.7)):
        for seed in range(3):
            params = {"run_name": f"{name}_{HOSTILE}", "trainer.epochs": "4"}
            recorder.run(level(mean), model=name, seed=seed, params=params, tags={Tag.STUDY: STUDY})
    alive = {**identity(), **beat(3600)}
    params = {"run_name": RUNNING, "trainer.epochs": "10"}
    recorder.run(level(0.5), params=params, tags={Tag.STUDY: "other", **alive}, status="RUNNING", begun=90)
    failed = {Tag.STUDY: "other", Tag.END_REASON: f"ValueError: {HOSTILE}"}
    recorder.run({}, params={"run_name": FAILED}, tags=failed, status="FAILED", epochs=0, begun=60)
    parent = client.create_run(recorder.store.experiment_id("seglab"), start_time=START, run_name="sweep")
    fields = {Tag.STUDY: STUDY, Tag.SWEEP_ID: "0123456789ab", Tag.SWEEP_DIGEST: "d", Tag.SWEEP_JOBS: "8"}
    for name, value in fields.items():
        client.set_tag(parent.info.run_id, name, value)
    jobs = [{"job": n, "identity": f"i{n}", "status": "finished" if n < 6 else "failed"} for n in range(7)]
    client.log_text(parent.info.run_id, json.dumps(jobs), "sweep/jobs.json")
    client.set_terminated(parent.info.run_id, "FINISHED", START + 400_000)
    return recorder.store.directory
