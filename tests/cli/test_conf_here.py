"""`conf/` of the current folder is searched before the package's own, by seglab alone."""

from __future__ import annotations

from pathlib import Path

import hydra
import pytest

from seglab.command import composed_config
from seglab.config.places import CONF, IN_CHECKOUT
from seglab.config.vocabulary import compose, folders, models_of, options_of
from seglab.errors import ConfigError
from seglab.registry.gate import load_gate


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with yamls of its own: a new loss, another U-Net, and a gate."""
    conf = tmp_path / "conf"
    for group in ("loss", "model", "gate"):
        (conf / group).mkdir(parents=True)
    (conf / "loss" / "mine.yaml").write_text("_target_: mine.Mine\nname: MyLoss\n")
    small = (CONF / "model" / "unet.yaml").read_text().replace("name: UNet", "name: OurUNet")
    (conf / "model" / "unet.yaml").write_text(small)
    gate = (CONF / "gate" / "default.yaml").read_text().replace("test_dice", "test_iou")
    (conf / "gate" / "mine.yaml").write_text(gate)
    monkeypatch.chdir(tmp_path)
    return conf


def test_the_current_folder_comes_first(here: Path) -> None:
    assert folders() == (here, CONF)
    assert compose("train", ["model=unet"]).model.name == "OurUNet"
    assert compose("train", ["loss=mine"]).loss.name == "MyLoss"
    assert compose("train", ["loss=dice"]).loss.name == "DiceLoss"
    assert options_of("model")["unet"] == "OurUNet"
    assert "unet" in models_of(2)
    assert load_gate("mine").rules[0].metric == "test_iou"
    assert load_gate("default").rules[0].metric == "test_dice"


def test_a_mistake_names_the_options_of_both(here: Path) -> None:
    with pytest.raises(ConfigError) as refused:
        composed_config(["loss=mien"])
    assert "jaccard, keras_loss, lovasz, mine, total" in str(refused.value)


def test_a_folder_without_conf_has_the_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert folders() == (CONF,)
    monkeypatch.chdir(CONF.parent)
    assert folders() == (CONF,), "that of a checkout is the package's own"
    assert IN_CHECKOUT


def test_another_program_on_hydra_is_left_alone(here: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "main.yaml").write_text("defaults:\n  - loss: mine\n")
    with (
        hydra.initialize_config_dir(str(other), version_base="1.3"),
        pytest.raises(hydra.errors.HydraException, match="loss"),
    ):
        hydra.compose("main")
