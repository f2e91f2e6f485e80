"""What the second stage of a cascade takes is measured behind labels, before there are masks of the first one."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from volumes import save

from seglab.command import composed_config
from seglab.config.run_config import load_config
from seglab.data.loading.batches import Batches
from seglab.data.loading.training_data import gather
from seglab.planning import dry_run
from seglab.planning.dry_run import measured
from seglab.planning.stand_in_masks import behind_labels

CASES, SHAPE = 8, (12, 10, 9)


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Volumes of three classes, in which one voxel in fifty has no truth."""
    folder, rng = tmp_path_factory.mktemp("scans"), np.random.default_rng(0)
    for number in range(CASES):
        label = rng.integers(0, 3, SHAPE).astype(np.uint8)
        label[rng.random(SHAPE) < 0.02] = 9
        save(folder / "images" / f"s{number}.nii.gz", (100 * rng.random(SHAPE)).astype(np.int16))
        save(folder / "labels" / f"s{number}.nii.gz", label)
    return [
        *("data=nifti", f"data.root={folder}", f"data.cache_dir={folder / 'cache'}", "data.label_values=[0,1,2]"),
        *("data.ignore_value=9", "data.size=[8,8,8]", "data.resize_mode=patch", "data.batch_size=2", "augment=none"),
        *("model=unet3d", "model.width=2", "model.depth=1", "data.split={train:0.5,val:0.25,test:0.25}"),
    ]


def test_images_have_their_labels_behind_them_as_a_mask_of_a_first_stage_lies(words: list[str], tmp_path: Path) -> None:
    config = load_config(composed_config(words))
    plain = gather(config)
    data = behind_labels(plain, tmp_path)
    assert (plain.task.channels, data.task.channels, data.preprocessing.previous) == (1, 3, 2)
    case = data.cases("train")[0]
    image, mask = data.arrays.read(case.id)
    assert (image.shape, data.arrays.outlines[case.id].channels) == ((*SHAPE, 2), 2)
    np.testing.assert_array_equal(image[..., 0], plain.arrays.read(case.id)[0][..., 0])
    np.testing.assert_array_equal(image[..., 1], np.where(mask == 255, 0, mask))
    assert isinstance(image, np.memmap), "of a large volume no more is read than a patch"
    seen = data.source.read(case).seen
    assert seen.shape == (*SHAPE, 2)
    assert set(np.unique(seen[..., 1])) == {0, 1, 2}
    x, y = Batches(data, "train", config.data_config, seed=0)[0]
    assert (x.shape, y.shape) == ((2, 8, 8, 8, 3), (2, 8, 8, 8))
    for k in (1, 2):
        np.testing.assert_array_equal(x[..., k] == 1, y == k)


def test_words_of_a_first_stage_become_labels_in_the_dry_run(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, Any]] = []

    def run(_: Any, input: str, **more: Any) -> Any:
        asked.append(json.loads(input))
        return subprocess.CompletedProcess([], 1, "", "no")

    monkeypatch.setattr(dry_run.subprocess, "run", run)
    for words in (["data=nifti"], ["data=nifti", "data.previous_stage=not/there/yet", "seed=1"]):
        with pytest.raises(dry_run.TrainingError):
            measured(words)
    assert [(one["words"], one["second_stage"]) for one in asked] == [
        (["data=nifti"], False),
        (["data=nifti", "seed=1"], True),
    ]


@pytest.mark.slow
def test_a_second_stage_is_measured_with_its_channels(words: list[str]) -> None:
    alone, second = measured(words), measured([*words, "data.previous_stage=not/there/yet"])
    assert second.parameters - alone.parameters == 2 * 27 * 2, "two more channels into a kernel of 3 × 3 × 3 and 2"
    assert (second.steps, second.val_steps, second.test_cases) == (alone.steps, alone.val_steps, alone.test_cases)
    assert second.memory_mb > 300
