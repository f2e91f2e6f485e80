"""Runs read in a few queries are those of MLflow's own search, whole and in its order."""

from __future__ import annotations

import pytest
import toys
from mlflow.entities import Dataset, DatasetInput, InputTag, LoggedModelOutput, Run
from recorded_runs import START, Recorder, level

from seglab.errors import ConfigError
from seglab.tracking import reading
from seglab.tracking.reading import read_runs
from seglab.tracking.selection import search

FILTERS = [
    "",
    "attributes.status = 'FAILED'",
    "attributes.run_name LIKE 'UNet%' AND metrics.test_dice > 0.6",
    "tags.study = 'a' AND params.`loss.name` = 'DiceLoss'",
    "tags.study = 'a' AND tags.seed = '1' AND metrics.test_dice > 0.1",
    "tags.nobody = 'x'",
    "datasets.name = 'toy/train'",
]


@pytest.fixture(scope="module")
def recorder(tmp_path_factory: pytest.TempPathFactory) -> Recorder:
    """Seven runs in two experiments, one deleted, one with data sets and a model, one with nothing at all."""
    made = Recorder(toys.fresh_store(tmp_path_factory.mktemp("reading") / "mlruns"))
    client = made.store.client
    for seed in (0, 1):
        made.run(level(0.5), seed=seed, tags={"study": "a"})
        made.run(level(0.7), seed=seed, tags={"study": "a"}, loss="Focal", experiment="other")
    made.run({}, model="VNet", status="FAILED")
    client.log_metric(made.run(level(0.6)), "test_dice", float("nan"), step=9)
    bare = client.create_run(made.store.experiment_id("bare"), start_time=START, run_name="Bare").info.run_id
    gone = made.run(level(0.5))
    client.delete_run(gone)
    source = Dataset(name="toy/train", digest="d", source_type="local", source="{}")
    for context in ("training", "testing"):
        client.log_inputs(bare, datasets=[DatasetInput(source, [InputTag("mlflow.data.context", context)])])
    model = client.create_logged_model(made.store.experiment_id("bare"), name="model", source_run_id=bare)
    client.log_outputs(bare, models=[LoggedModelOutput(model.model_id, step=0)])
    return made


def fields_of(run: Run) -> str:
    return str({key: value for key, value in run.to_dictionary().items() if key != "data"}) + str(
        {name: dict(sorted(getattr(run.data, name).items())) for name in ("metrics", "params", "tags")}
    )


@pytest.mark.parametrize("at_once", [1000, 2])
@pytest.mark.parametrize("filter_string", FILTERS)
def test_as_by_mlflow(recorder: Recorder, filter_string: str, at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "AT_ONCE", at_once)
    client = recorder.store.client
    ids = [one.experiment_id for one in client.search_experiments()]
    theirs = client.search_runs(ids, filter_string)
    ours = read_runs(client, filter_string)
    assert [fields_of(run) for run in ours] == [fields_of(run) for run in theirs]
    assert bool(ours) is ("nobody" not in filter_string)


def test_counts_and_experiments(recorder: Recorder) -> None:
    assert recorder.store.counts() == {"FINISHED": 5, "FAILED": 1, "RUNNING": 1}
    other = recorder.store.experiment_id("other")
    assert {run.info.experiment_id for run in read_runs(recorder.store.client, "", [other])} == {other}
    assert read_runs(recorder.store.client, "", []) == []


def test_a_filter_that_mlflow_does_not_understand(recorder: Recorder) -> None:
    with pytest.raises(ConfigError, match="a filter that MLflow does not understand"):
        search(recorder.store, "params.loss.name ~ 'x'")
