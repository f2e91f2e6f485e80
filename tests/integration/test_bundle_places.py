"""A run knows where its data lie; its bundle, which may go anywhere, does not tell."""

from __future__ import annotations

from pathlib import Path

import pytest
import toys
from evaluated_runs import SPLIT, composed, pictures, record
from omegaconf import OmegaConf

from seglab.errors import DataError
from seglab.evaluation.subject import find_subject
from seglab.inference.bundle import read_bundle
from seglab.inference.public_config import WITHHELD, public_config
from seglab.task import Task
from seglab.tracking.bundles import find_bundle


def test_the_data_are_found_by_the_run_and_not_by_the_bundle(tmp_path: Path) -> None:
    toys.fresh_store(tmp_path / "mlruns")
    root = pictures(tmp_path / "data")
    config = composed("data=image_folder", f"data.root={root}", "data.class_names=[background,object]")
    run_id = record(tmp_path, public_config(config), Task(2, 1, ("background", "object")), SPLIT)
    bundle = find_bundle(run_id, directory=tmp_path / "mlruns")
    assert read_bundle(bundle).config["data"]["root"] == WITHHELD
    assert str(tmp_path) not in (bundle / "bundle.json").read_text()
    (kept,) = (tmp_path / "mlruns" / "artifacts").rglob("config/split.json")
    kept.with_name("config.yaml").write_text(OmegaConf.to_yaml(OmegaConf.create(config)))
    found = find_subject(run_id, "test", directory=tmp_path / "mlruns")
    assert [case.id for case in found.cases] == list(SPLIT.test)
    with pytest.raises(DataError, match=r"data\.root is not recorded") as caught:
        find_subject(str(bundle), "all", directory=tmp_path / "mlruns")
    assert "data.root=…" in str(caught.value)
    assert len(find_subject(str(bundle), "all", [f"data.root={root}"], directory=tmp_path / "mlruns").cases) == 8
