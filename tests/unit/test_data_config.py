"""What `conf/data` and `conf/augment` say is what the code does by default."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest
import yaml

from seglab.data.augment import Augment
from seglab.data.image_folder import ImageFolder
from seglab.data.nifti import Nifti
from seglab.data.synthetic import Synthetic2D, Synthetic3D
from seglab.schema import DataCard

CONF = Path(__file__).parents[2] / "conf"


@pytest.mark.parametrize(
    ("option", "source"),
    [("synthetic2d", Synthetic2D), ("synthetic3d", Synthetic3D), ("image_folder", ImageFolder), ("nifti", Nifti)],
)
def test_data_pages_spell_out_the_defaults(option, source):
    page = yaml.safe_load((CONF / "data" / f"{option}.yaml").read_text())
    card = {key: page.pop(key) for key in DataCard.model_fields}
    assert DataCard(**card).rank == len(card["size"])
    assert page.pop("_target_") == f"{source.__module__}.{source.__name__}"
    own = {name: parameter.default for name, parameter in inspect.signature(source).parameters.items()}
    assert page.keys() == own.keys()
    for key, value in page.items():
        if key == "root":
            assert (value, own[key]) == ("???", inspect.Parameter.empty)
        elif value == "${data.size}":
            assert list(own[key]) == card["size"]
        else:
            assert (list(own[key]) if isinstance(own[key], tuple) else own[key]) == value, key


def test_the_augment_pages_spell_out_the_defaults():
    own = {name: p.default for name, p in inspect.signature(Augment).parameters.items() if name != "task"}
    light = yaml.safe_load((CONF / "augment" / "light.yaml").read_text())
    assert {key: value for key, value in light.items() if key not in ("name", "_target_")} == own
    strong = yaml.safe_load((CONF / "augment" / "strong.yaml").read_text())
    assert strong.keys() == light.keys()


@pytest.mark.parametrize("option", ["synthetic2d", "synthetic3d", "image_folder", "nifti"])
def test_data_pages_open_with_a_comment(option):
    assert (CONF / "data" / f"{option}.yaml").read_text().startswith("# ")
