"""A study says a text so that Hydra reads that text: folders may have names that are numbers to YAML."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from omegaconf import OmegaConf
from volumes import save

from seglab.planning.budget import Budget
from seglab.planning.choices import Choice
from seglab.planning.planning import PlanRequest, plan_study


def test_folders_whose_names_are_numbers_to_hydra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`010` was planned as the folder `10`, and a study of `images: 1e3` could not be run."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    for number in range(6):
        label = np.zeros((16, 16, 16), np.uint8)
        label[3:8, 3:8, 3:8] = 1
        save(
            Path("010") / "1e3" / f"p{number}.nii.gz", (rng.normal(100, 10, label.shape) + 80 * label).astype(np.int16)
        )
        save(Path("010") / "2024" / f"p{number}.nii.gz", label)
    words = ("data=nifti", "data.root=010", "data.images=1e3", "data.labels=2024", "data.cache_dir=cache")
    request = PlanRequest(words=words, budget=Budget(2.0, 8.0), name="scans", measure="never")
    plan = plan_study(request, tmp_path / "studies").plan
    assert plan.value("data.root") == str(tmp_path / "010")
    study = OmegaConf.to_container(OmegaConf.load(tmp_path / "studies" / "scans" / "study.yaml"))
    assert isinstance(study, dict)
    assert (study["data"]["images"], study["data"]["labels"]) == ("1e3", "2024")


@pytest.mark.parametrize("text", ["010", "1e3", "2024", "on", "null", "1_1_1", "a: b", "plain", "it's", "scans (1)"])
def test_a_text_in_a_study_is_that_text_to_hydra(text: str) -> None:
    assert OmegaConf.to_container(OmegaConf.create(f"key: {Choice('key', text, '').shown}")) == {"key": text}
