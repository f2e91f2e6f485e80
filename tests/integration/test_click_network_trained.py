"""Promptable networks from the command to the answer: trained like any model, loaded from their run, asked."""

from __future__ import annotations

import os
from pathlib import Path

import hydra
import numpy as np
import pytest

from seglab.errors import SeglabError
from seglab.interactive.prompt import Prompt
from seglab.interactive.prompt_models import load_model
from seglab.interactive.whole_volume import WholeVolumeSession

ROOT = Path(__file__).parents[2]
SMALL = [
    "model.depth=1",
    "model.width=4",
    "data.batch_size=4",
    "data.split={train:0.5,val:0.25,test:0.25}",
    "precision=float32",
    "tracking.system_metrics=false",
]
FLAT = ["model=click_unet", "data=synthetic2d", "data.count=12", "data.size=[32,32]", "data.image_size=[48,64]"]
SOLID = ["model=click_unet3d", "data=synthetic3d", "data.count=4", "data.size=[16,16,16]", "data.image_size=[20,24,16]"]


def trained(folder: Path, *overrides: str):
    """A finished run below a folder: its record and the folder of its bundle."""
    from seglab.experiment.run import run
    from seglab.tracking.bundles import resolve_bundle
    from seglab.tracking.store import open_store

    before = Path.cwd()
    os.chdir(folder)
    try:
        with hydra.initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
            objective = run(hydra.compose("train", overrides=list(overrides)))
    finally:
        os.chdir(before)
    (record,) = open_store(None, folder / "mlruns").all_runs()
    return record, resolve_bundle(record.info.run_id, None, folder / "mlruns").folder, objective


@pytest.fixture(scope="module")
def flat(tmp_path_factory: pytest.TempPathFactory):
    words = [*FLAT, *SMALL, "data.resize_mode=patch", "trainer.epochs=2", "loss=dice"]
    folder = tmp_path_factory.mktemp("flat")
    return folder, *trained(folder, *words)


def test_a_promptable_network_trains_and_is_recorded_like_any_model(flat) -> None:
    folder, record, _, objective = flat
    assert record.info.status == "FINISHED"
    assert record.info.run_name == "ClickUNet_DiceLoss_Adam"
    assert record.data.metrics["val_dice"] == pytest.approx(objective, abs=0.2)
    assert 0 <= record.data.metrics["test_dice"] <= 1
    table = next(iter(folder.rglob("test_cases.csv")))
    assert "#1" in table.read_text()  # a row for each object of a test case


def test_its_bundle_answers_prompts_on_images_of_any_size(flat) -> None:
    model = load_model("click_unet", flat[2])
    for height, width in ((48, 64), (20, 33)):
        image = np.random.default_rng(0).integers(0, 255, (height, width, 3)).astype(np.uint8)
        embedding = model.embed(image)
        first = model.candidates(embedding, Prompt.of((height, width), [[10, 12]], [1], box=[4, 4, 16, 15]))
        assert first.logits.shape == (3, height, width)
        assert np.isfinite(first.logits).all()
        assert ((first.scores >= 0) & (first.scores <= 1)).all()
        again = model.candidates(embedding, Prompt.of((height, width), [[10, 12]], [1], box=[4, 4, 16, 15]))
        np.testing.assert_array_equal(first.logits, again.logits)
        clicked = Prompt.of((height, width), [[10, 12], [2, 3]], [1, 0], mask=first.logits[first.best])
        assert not np.array_equal(model.candidates(embedding, clicked).logits, first.logits)


@pytest.mark.slow
def test_a_network_for_volumes_trains_and_answers(tmp_path: Path) -> None:
    words = [*SOLID, *SMALL, "data.batch_size=1", "trainer.epochs=1", "data.normalize=zscore"]
    record, bundle, _ = trained(tmp_path, *words)
    assert record.info.status == "FINISHED"
    model = load_model("click_unet3d", bundle)
    volume = np.random.default_rng(0).normal(size=(20, 18, 14, 1)).astype(np.float32)
    answer = model.candidates(model.embed(volume), Prompt.of((20, 18, 14), [[9, 8, 7]], [1]))
    assert answer.logits.shape == (3, 20, 18, 14)
    assert np.isfinite(answer.logits).all()
    session = WholeVolumeSession(model, volume[..., 0], np.diag([-1.0, 1, 2, 1]))
    session.predict(2, 7, [[9, 8]], [1])
    assert session.mask[9, 8, 7]
    session.predict(2, 4, [[3, 3]], [0])
    assert session.mask[9, 8, 7]
    assert not session.mask[3, 3, 4]
    with pytest.raises(SeglabError) as refused:
        load_model("click_unet", bundle)
    assert refused.value.code == "checkpoint-of-other-model"


@pytest.mark.slow
def test_it_learns_one_object_by_heart(tmp_path: Path) -> None:
    words = [*FLAT, *SMALL, "model.depth=2", "model.width=16", "data.limit_cases=1", "data.validate_on_train=true"]
    words += ["data.patches_per_case=64", "data.batch_size=8", "trainer.epochs=25", "trainer.patience_epochs=null"]
    _, bundle, objective = trained(tmp_path, *words, "augment=none", "data.resize_mode=patch")
    assert objective > 0.95

    from seglab.data.prompts.objects import objects_of
    from seglab.data.synthetic.shapes import Synthetic2D

    source = Synthetic2D(count=12, image_size=(48, 64))
    model = load_model("click_unet", bundle)
    ious = []
    for case in source.cases:
        sample = source.read(case)
        for one in objects_of(sample.mask, (1,)):
            rows, columns = (start + side / 2 for start, side in zip(one.start, one.shape, strict=True))
            box = [one.start[1], one.start[0], one.start[1] + one.shape[1] - 1, one.start[0] + one.shape[0] - 1]
            answer = model.candidates(
                model.embed(np.repeat(sample.image, 3, axis=-1)),
                Prompt.of(sample.mask.shape, [[columns, rows]], [1], box=box),
            )
            truth = np.zeros(sample.mask.shape, bool)
            truth[one.start[0] : one.start[0] + one.shape[0], one.start[1] : one.start[1] + one.shape[1]] = one.inside
            mask = answer.logits[answer.best] > 0
            ious.append((mask & truth).sum() / (mask | truth).sum())
    assert max(ious) > 0.9
