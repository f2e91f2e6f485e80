"""A verb that needs no model reads the sections that it needs, and asks for nothing else."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import hydra
import pytest
from omegaconf import OmegaConf

from seglab.config.run_config import DataSettings, load_config, load_data, load_section
from seglab.config.sections import DataConfig, TrainerSettings
from seglab.config.vocabulary import models_of
from seglab.errors import ConfigError

ROOT = Path(__file__).parents[2]
NIFTI = ("data=nifti", "data.root=some/folder")


def compose(*words):
    with hydra.initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        return hydra.compose("train", overrides=list(words))


@pytest.mark.parametrize(
    "words",
    [
        NIFTI,
        ("data.size=[47,63]",),
        (*NIFTI, "data.size=[1,1,1]"),
        ("data.split={train:0.9,val:0.0,test:0.1}",),
        ("loss.class_weights=[1,2,3]",),
        ("model.encoder=no_such", "model.weights=nowhere"),
    ],
    ids=" ".join,
)
def test_data_that_a_model_would_refuse_can_be_looked_at(words):
    cfg = compose(*[f"+{word}" if word.startswith("model.") else word for word in words])
    with pytest.raises(ConfigError):
        load_config(cfg)
    config = load_data(cfg)
    assert config.data_config.size == list(cfg.data.size)
    assert config.data.arguments.get("root", "some/folder") == "some/folder"


def test_a_whole_config_holds_the_same_as_its_part_for_the_data():
    cfg = compose("data=synthetic3d", "model=unet3d", "seed=7", "augment=mri")
    whole, part = load_config(cfg), load_data(cfg)
    assert isinstance(whole, DataSettings)
    assert part.seed == 7
    assert all(getattr(whole, name) == getattr(part, name) for name in DataSettings.__dataclass_fields__)


def test_one_section_is_read_alone():
    cfg = compose(*NIFTI)
    card, component = load_section("data", cfg)
    assert isinstance(card, DataConfig)
    assert (card.rank, component.name) == (3, "Nifti")
    assert component.arguments["root"] == "some/folder"
    assert "size" not in component.arguments
    trainer, nothing = load_section("trainer", cfg)
    assert isinstance(trainer, TrainerSettings)
    assert nothing is None
    # What stands around it may be anything, references into it are followed.
    alone = OmegaConf.create({"data": {**compose().data, "image_size": "${data.size}"}, "model": "???"})
    assert load_section("data", alone)[1].arguments["image_size"] == [128, 128]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["data=nifti"], ["data.root", "give it on the command line: data.root=…"]),
        ([*NIFTI, "data.size=[64,64]"], ["data.size", "3 numbers"]),
        ([*NIFTI, "+data.lable_values=[0,1]"], ["data.lable_values", "data.label_values"]),
        ([*NIFTI, "data.fold=5"], ["data.fold", "0 to 4"]),
        ([*NIFTI, "data.split.train=0.9"], ["do not sum to 1"]),
        (["data.foreground_share=0.5"], ["0.5 with data.resize_mode=resize"]),
        (["augment.noise=lots"], ["augment.noise", "'lots'"]),
        (["trainer.monitor=val_dcie"], ["trainer.monitor=val_dice"]),
        (["seed=-1"], ["seed", "greater than or equal to 0"]),
        (["seed=???"], ["seed", "give it: seed=…"]),
        (["+lrr=1"], ["unknown setting 'lrr'"]),
        (["~augment"], ["a missing section", "augment"]),
    ],
    ids=lambda part: " ".join(part[:1]),
)
def test_what_the_data_itself_needs_is_checked_all_the_same(words, message):
    with pytest.raises(ConfigError) as caught:
        load_data(compose(*words))
    assert all(word in str(caught.value) for word in message), caught.value


def test_models_are_named_by_what_they_take():
    assert models_of(3) == [
        *("click_unet3d", "conv3d", "dynunet", "segresnet", "swin_unetr", "unet3d", "unet3d_res", "unetr", "vnet"),
    ]
    assert {"unet", "pspnet"} < set(models_of(2))
    assert not set(models_of(2)) & set(models_of(3))


def ask(*words, cwd):
    command = [sys.executable, str(ROOT / "scripts" / "check_data.py"), "data.count=6", *words]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=120, check=False)


def test_the_verb_asks_for_a_model_only_when_one_was_asked_of_it(tmp_path):
    words = ["data=synthetic3d", "data.size=[19,18,17]"]
    looked = ask(*words, cwd=tmp_path)
    assert looked.returncode == 0, looked.stdout + looked.stderr
    assert "Synthetic3D, 6 cases" in looked.stdout
    assert f"models that fit, as it is 3D: {', '.join(models_of(3))}" in " ".join(looked.stdout.split())
    for model, message in (("model=unet", "a 2D model on 3D data"), ("model=unet3d", "UNet3D cannot halve")):
        refused = ask(*words, model, cwd=tmp_path)
        assert refused.returncode == 2, refused.stdout
        assert message in refused.stderr
