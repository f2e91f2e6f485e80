"""A run that starts from another: from the end of a finished one, or from its weights. Trained for real."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from seglab.config.run_config import load_config
from seglab.config.vocabulary import compose
from seglab.errors import ConfigError, TrackingError

SMALL = [
    "model=unet_mini",
    "loss=dice",
    "schedule=constant",
    "data.size=[16,16]",
    "data.count=12",
    "data.batch_size=4",
    "data.split={train:0.5,val:0.25,test:0.25}",
    "precision=float32",
    "tracking.system_metrics=false",
]


def trained(*words: str) -> Any:
    """The run that these words make."""
    from seglab.experiment.run import run
    from seglab.tracking.store import open_store

    store = open_store(None, Path("mlruns"))
    before = {one.info.run_id for one in store.all_runs()}
    run(compose("train", [*SMALL, *words]), list(words))
    (new,) = (one for one in store.all_runs() if one.info.run_id not in before)
    return new


def refused(kind: type[Exception], *words: str) -> str:
    from seglab.experiment.run import run
    from seglab.tracking.store import open_store

    before = len(open_store(None, Path("mlruns")).all_runs())
    with pytest.raises(kind) as caught:
        run(compose("train", [*SMALL, *words]), list(words))
    assert len(open_store(None, Path("mlruns")).all_runs()) == before, "what is refused leaves no run"
    return str(caught.value)


def curve(run: Any, name: str) -> list[float]:
    from seglab.tracking.store import open_store

    points = open_store(None, Path("mlruns")).client.get_metric_history(run.info.run_id, name)
    return [point.value for point in sorted(points, key=lambda point: point.step)]


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory):
    """A finished run of two epochs that kept its state, in the folder where the tests of this file work."""
    before = Path.cwd()
    os.chdir(tmp_path_factory.mktemp("starting"))
    try:
        yield trained("trainer.epochs=2", "tracking.keep_state=true")
    finally:
        os.chdir(before)


def test_a_finished_run_goes_on_in_a_new_one_as_if_it_had_been_longer(first: Any, capsys: Any) -> None:
    run_id = first.info.run_id
    files = {path: path.read_bytes() for path in Path("mlruns").rglob(f"*{run_id}*/**/*") if path.is_file()}
    longer = trained(f"resume={run_id}", "trainer.epochs=3")
    assert "learning rate was 0.001, is 0.001" in capsys.readouterr().out
    whole = trained("trainer.epochs=3")
    for name in ("train_loss", "val_dice", "learning_rate"):
        assert curve(longer, name) == curve(whole, name), name
        assert curve(longer, name)[:2] == curve(first, name)
    assert longer.data.metrics["test_dice"] == whole.data.metrics["test_dice"]
    assert longer.data.tags["started_from"] == f"continues {run_id} from epoch 2"
    assert longer.data.params["continues"] == run_id
    assert "continues" not in whole.data.params
    assert longer.data.tags["mlflow.note.content"].startswith(f"continues {run_id} from epoch 2. ")
    assert {path: path.read_bytes() for path in files} == files, "the finished run stays as it was"
    message = refused(TrackingError, f"resume={longer.info.run_id}", "trainer.epochs=4")
    assert "was not kept" in message
    assert f"init_from={longer.info.run_id}" in message


def test_what_a_finished_run_cannot_go_on_with_is_refused(first: Any) -> None:
    run_id = first.info.run_id
    message = refused(TrackingError, f"resume={run_id}")
    assert "a finished run cannot be resumed" in message
    assert f"resume={run_id} trainer.epochs=4" in message
    assert "loss.name: was DiceLoss" in refused(ConfigError, f"resume={run_id}", "trainer.epochs=4", "loss=focal")


def test_a_run_starts_from_the_weights_of_another_and_says_what_they_had_seen(first: Any) -> None:
    run_id = first.info.run_id
    warm = trained("trainer.epochs=1", f"init_from={run_id}", "optimizer.learning_rate=1e-9", "seed=7")
    assert warm.data.params["init_from"] == run_id
    assert warm.data.tags["started_from"] == f"weights of {run_id} (UNetMini_DiceLoss_Adam)"
    # Another seed is another split: some of its cases were among the six that the other run trained on.
    assert "test cases helped to train or to choose these weights" in warm.data.tags["init_leak"]
    assert warm.data.tags["data_allowed"] == "weights-saw-these-cases"


def test_the_weights_are_those_of_the_bundle_and_the_same_split_leaks_no_test_case(first: Any) -> None:
    from seglab.data.loading.training_data import gather
    from seglab.data.preprocessing.case_fingerprint import examine
    from seglab.experiment.run_parts import assemble, make_augmentation
    from seglab.experiment.warm_start import put_weights, start_of
    from seglab.inference.bundle import load_bundle

    config = load_config(compose("train", [*SMALL, f"init_from={first.info.run_id}"]))
    training_data = gather(config)
    start = start_of(config, training_data, {}, Path("mlruns"))
    assert start.tags["init_leak"] == "3 of 3 validation cases helped to train or to choose these weights"
    # Of a test case that the other run trained on, mirrored since, the hash says nothing.
    known, asked = training_data.split.train[0], training_data.split.test[0]
    mirrored = training_data.source.read_image(next(case for case in training_data.cases("train") if case.id == known))
    mirrored.image = mirrored.image[:, ::-1].copy()
    changed = replace(training_data, facts={**training_data.facts, asked: examine(mirrored, training_data.task)})
    again = start_of(config, changed, {}, Path("mlruns"))
    assert (
        f"1 of 3 test cases look like images that helped to train or to choose these weights ({asked}: mirrored"
        in (again.tags["init_leak"])
    )
    assert again.findings == ("weights-saw-these-cases",)
    assert start.bundle is not None
    parts = assemble(config, training_data, make_augmentation(config, training_data.task))
    trained_weights = load_bundle(start.bundle)[0].get_weights()
    assert any((now != then).any() for now, then in zip(parts.model.get_weights(), trained_weights, strict=True))
    put_weights(start, parts, config)
    assert all((now == then).all() for now, then in zip(parts.model.get_weights(), trained_weights, strict=True))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["model=unet"], ["weights of another model", "conv"]),
        (["model=attention_unet"], ["weights of another model", "UNetMini", "AttentionUNet"]),
        (["data.classes=3"], ["weights of another number of classes", "2 in that run", "3, as this run's data"]),
    ],
)
def test_weights_that_do_not_fit_are_refused_with_both_named(first: Any, words: list[str], message: list[str]) -> None:
    message = refused(ConfigError, f"init_from={first.info.run_id}", *words)
    for word in message:
        assert word in message


def test_a_run_to_start_from_that_is_not_there_is_reported_before_the_data_is_read(
    first: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import seglab.data.loading.training_data

    monkeypatch.setattr(seglab.data.loading.training_data, "gather", lambda config: pytest.fail("the data was read"))
    assert "no run of this id" in refused(TrackingError, "init_from=abc")


def test_what_cannot_be_built_leaves_no_run_behind(first: Any) -> None:
    assert "multiples of 4" in refused(ConfigError, "data.size=[18,18]", "model.size_multiple=1")


def test_the_start_is_part_of_what_a_run_is() -> None:
    plain = load_config(compose("train", SMALL))
    assert "init_from" not in plain.identity
    assert load_config({**plain.resolved}).digest == plain.digest  # of a run before there was a choice
    assert load_config(compose("train", [*SMALL, "init_from=abc"])).digest != plain.digest
