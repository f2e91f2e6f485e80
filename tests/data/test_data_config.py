"""What `conf/data` and `conf/augment` say is what the code does by default."""

from __future__ import annotations

import importlib
import inspect
from pathlib import Path

import pytest
import yaml
from omegaconf import OmegaConf

import seglab.config.run_config  # noqa: F401  knows the words that a page may compute with
from seglab.config.sections import DataConfig
from seglab.data.augment import Augment

CONF = Path(__file__).parents[2] / "conf"


PAGES = sorted(path.stem for path in (CONF / "data").glob("*.yaml"))


@pytest.mark.parametrize("option", PAGES)
def test_data_pages_spell_out_the_defaults(option):
    path = CONF / "data" / f"{option}.yaml"
    page = yaml.safe_load(path.read_text())
    # What every data set has stands in train.yaml; a page says it again where it differs.
    whole = OmegaConf.merge(OmegaConf.load(CONF / "train.yaml").data, OmegaConf.load(path))
    card = OmegaConf.to_container(OmegaConf.create({"data": whole}), resolve=True)["data"]
    card = DataConfig(**{key: card[key] for key in DataConfig.model_fields})
    assert card.rank == len(card.size)
    module, _, name = page.pop("_target_").rpartition(".")
    own = inspect.signature(getattr(importlib.import_module(module), name)).parameters
    own = {key: parameter.default for key, parameter in own.items()}
    page = {key: value for key, value in page.items() if key not in DataConfig.model_fields}
    assert page.keys() == own.keys()
    for key, value in page.items():
        if key == "root":
            assert (value, own[key]) == ("???", inspect.Parameter.empty)
        elif value == "${data.size}":
            assert list(own[key]) == card.size
        else:
            assert (list(own[key]) if isinstance(own[key], tuple) else own[key]) == value, key


def test_the_augment_pages_spell_out_the_defaults():
    own = {name: p.default for name, p in inspect.signature(Augment).parameters.items() if name != "task"}
    light = yaml.safe_load((CONF / "augment" / "light.yaml").read_text())
    assert {key: value for key, value in light.items() if key not in ("name", "_target_")} == own
    strong = yaml.safe_load((CONF / "augment" / "strong.yaml").read_text())
    assert strong.keys() == light.keys()


@pytest.mark.parametrize("option", PAGES)
def test_data_pages_open_with_a_comment(option):
    assert (CONF / "data" / f"{option}.yaml").read_text().startswith("# ")
