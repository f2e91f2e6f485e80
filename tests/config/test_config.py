"""Every yaml composes, every key is a parameter, every mistake has one message that says what to do."""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

import hydra
import pytest
from omegaconf import OmegaConf

from seglab.config.run_config import load_config
from seglab.config.targets import parameters_of
from seglab.errors import ConfigError

ROOT = Path(__file__).parents[2]
CONF = ROOT / "conf"
TARGET_GROUPS = ("data", "model", "loss", "optimizer", "schedule", "augment")
GROUPS = (*TARGET_GROUPS, "precision", "trainer", "tracking", "debug")


def compose(*overrides: str):
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        return hydra.compose("train", overrides=list(overrides))


def options(group: str) -> list[str]:
    return sorted(path.stem for path in (CONF / group).glob("*.yaml"))


def rank_fitting(group: str, option: str) -> list[str]:
    """The overrides that make one option part of a whole config of the right rank."""
    overrides = [f"{group}={option}"]
    if group == "model" and OmegaConf.load(CONF / "model" / f"{option}.yaml").rank == 3:
        overrides.append("data=synthetic3d")
    if group == "data":
        card = OmegaConf.load(CONF / "data" / f"{option}.yaml")
        overrides += ["model=unet3d"] if card.rank == 3 else []
        overrides += ["data.root=some/folder"] if OmegaConf.is_missing(card, "root") else []
    return overrides


@pytest.mark.parametrize(("group", "option"), [(g, o) for g in GROUPS for o in options(g)])
def test_every_option_composes_and_passes_the_checks(group: str, option: str) -> None:
    config = load_config(compose(*rank_fitting(group, option)))
    assert config.run_name == f"{config.model.name}_{config.loss.name}_{config.optimizer.name}"


@pytest.mark.parametrize("option", options("experiment"))
def test_every_experiment_composes(option: str) -> None:
    root = ["data.root=some/folder"] if "data.root=<" in (CONF / "experiment" / f"{option}.yaml").read_text() else []
    load_config(compose(f"experiment={option}", *root))


@pytest.mark.parametrize(("group", "option"), [(g, o) for g in TARGET_GROUPS for o in options(g)])
def test_every_parameter_is_spelled_in_the_yaml(group: str, option: str) -> None:
    written = set(OmegaConf.load(CONF / group / f"{option}.yaml"))
    config = load_config(compose(*rank_fitting(group, option)))
    component = getattr(config, group)
    if component.target.startswith("keras."):  # any class may be named there: what it takes is added with +
        return
    missing = set(parameters_of(component.target, group)) - written
    assert not missing, f"conf/{group}/{option}.yaml leaves out {missing}"


def test_the_name_is_arch_loss_opt_and_can_be_overridden() -> None:
    assert load_config(compose("model=unet", "loss=dice")).run_name == "UNet_DiceLoss_Adam"
    assert load_config(compose("model=conv3d", "data=synthetic3d")).run_name == "Conv3D_CombinedLoss_Adam"
    assert load_config(compose("run_name=Baseline")).run_name == "Baseline"


def test_the_digest_changes_with_results_and_not_with_names() -> None:
    base = load_config(compose()).digest
    assert load_config(compose("run_name=other", "tracking.experiment=other")).digest == base
    assert load_config(compose("data.workers=3", "data.cache_dir=elsewhere")).digest == base
    assert load_config(compose("optimizer.learning_rate=0.5")).digest != base
    assert load_config(compose("seed=1")).digest != base


# overrides, words that the message must hold
BAD = [
    (["+lrr=1"], ["unknown setting 'lrr'", "nothing reads it", "one of"]),
    (["+trainer.epoch=3"], ["trainer.epoch", "did you mean: trainer.epochs=3"]),
    (["+model.dept=3"], ["model.dept", "did you mean: model.depth=3"]),
    (["+loss.lambda=3"], ["loss.lambda", "one of"]),
    (["model=unet3d"], ["3D model on 2D data", "model.rank", "model=UNet3D is 3D", "choose a 2D model"]),
    (["data=synthetic3d"], ["2D model on 3D data", "choose a 3D model"]),
    (["data.size=[130,128]"], ["UNet cannot halve", "[130, 128]", "multiples of 8", "data.size=[136,128]"]),
    (
        ["model.norm=instance", "data.size=[8,8]"],
        ["single position", "[8, 8]", "data.size=[16,16]", "model.norm=group"],
    ),
    (["data.size=[128]"], ["wrong rank", "2 numbers"]),
    (["data.spacing=[1,1,1]"], ["data.spacing", "2D data", "data.spacing=null"]),
    (["data=synthetic3d", "model=unet3d", "data.spacing=[1,1]"], ["data.spacing", "three lengths"]),
    (["data.interpolation=cubic"], ["data.interpolation", "without a spacing", "data.spacing=[1,1,1]"]),
    (["data.fold=5"], ["data.fold", "fold 5 of 5", "0 to 4"]),
    (["data.size=[0,128]"], ["data.size.0", "0", "greater than 0"]),
    (["trainer.epochs=0"], ["trainer.epochs", "0", "greater than 0"]),
    (["trainer.epochs=-3"], ["trainer.epochs", "-3", "greater than 0"]),
    (["trainer.epochs=many"], ["trainer.epochs", "'many'", "a whole number"]),
    (
        ["trainer.monitor=val_dcie"],
        ["monitored metric that does not exist", "val_dcie", "did you mean: trainer.monitor=val_dice"],
    ),
    (["trainer.monitor=val_loss/cell"], ["monitored metric that does not exist"]),
    (["data.split={train:0.8,val:0.0,test:0.2}"], ["without validation cases", "trainer.monitor=train_dice"]),
    (["data.split.train=0.9"], ["do not sum to 1", "train 0.9"]),
    (
        ["data.foreground_share=0.5"],
        ["data.foreground_share", "0.5 with data.resize_mode=resize", "data.resize_mode=patch"],
    ),
    (
        ["data.resize_mode=letterbox", "data.foreground_share=0.5"],
        ["0.5 with data.resize_mode=letterbox", "data.resize_mode=patch"],
    ),
    (["data.batch_size=0"], ["data.batch_size", "greater than 0"]),
    (["optimizer.learning_rate=-1"], ["optimizer.learning_rate", "-1", "greater than 0"]),
    (["optimizer.learning_rate=fast"], ["optimizer.learning_rate", "'fast'", "a valid number"]),
    (["schedule.warmup_epochs=-1"], ["schedule.warmup_epochs", "-1"]),
    (["schedule.warmup_epochs=40"], ["warm-up that never ends", "40 of 30 epochs"]),
    (["model.norm=bacth"], ["model.norm", "'bacth'", "did you mean: model.norm=batch"]),
    (["model.depth=0"], ["model.depth", "greater than 0"]),
    (["model._target_=seglab.models.unet.unett"], ["has no 'unett'", "model._target_", "did you mean 'unet'?"]),
    (["model._target_=seglab.nowhere.unet"], ["cannot be found", "seglab.nowhere.unet"]),
    (["seed=-1"], ["seed", "-1", "greater than or equal to 0"]),
    (["~trainer.epochs"], ["missing setting", "trainer.epochs"]),
    (["~loss"], ["a missing section", "loss"]),
    (["data=nifti", "model=unet3d"], ["data.root", "give it"]),
    (["tracking.heartbeat_seconds=0"], ["tracking.heartbeat_seconds", "greater than 0"]),
    (
        ["model=unet_encoder", "model.freeze_epochs=3", "model.weights=null"],
        ["random weights", "freeze_epochs=3 with weights=null", "model.weights=imagenet"],
    ),
    (["model=pspnet", "model.weights=no/such.h5"], ["does not exist", "model.weights", "no/such.h5", "check the path"]),
    (["loss.class_weights=[1,2,3]"], ["loss.class_weights", "[1, 2, 3]", "2 numbers", "loss.class_weights=[1.0,1.0]"]),
    (["data.classes=3", "loss=lovasz", "loss.class_weights=[1,2]"], ["loss.class_weights", "[1, 2]", "3 numbers"]),
    (["loss.class_weights=[0,0]"], ["loss.class_weights", "[0, 0]", "not all 0"]),
    (
        ["data=image_folder", "data.root=some", "data.label_values=[0,1,2]", "loss.class_weights=[1,2]"],
        ["loss.class_weights", "[1, 2]", "3 numbers"],
    ),
    (["loss=tversky", "loss.alpha=0", "loss.beta=0"], ["both weigh 0", "loss.alpha, loss.beta", "loss.beta=0.7"]),
    (
        ["loss=total", "loss.dice_weight=0", "loss.focal_weight=0"],
        ["without terms", "loss.dice_weight, loss.focal_weight", "loss.dice_weight=1.0"],
    ),
    (["optimizer=lion", "optimizer.beta_1=0"], ["optimizer.beta_1", "0", "greater than 0"]),
]
GOOD = [
    ["model=unet_encoder", "data.normalize=window"],
    ["model=unet_encoder", "model.weights=imagenet", "model.freeze_epochs=3"],
    ["data=image_folder", "data.root=some", "data.label_schema=labels.csv", "loss.class_weights=[1,2,3]"],
    # Refused with the regions of the data, whichever way these are declared, and not for their number first.
    [
        *("data=image_folder", "data.root=some", "data.label_values=[0,1,2]", "loss.class_weights=[1,2]"),
        *("data.regions={all: [1,2], core: 2}", "data.regions_class_order=[1,2]"),
    ],
    ["loss=tversky", "loss.alpha=0"],
    ["loss=combined", "loss.dice_weight=0"],
]


@pytest.mark.parametrize(("overrides", "words"), BAD, ids=[" ".join(row[0]) for row in BAD])
def test_a_mistake_has_one_message_with_key_found_expected_remedy(overrides: list[str], words: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(compose(*overrides))
    for word in (*words, "where:", "found:", "expected:", "remedy:"):
        assert word in str(caught.value), f"{word!r} not in:\n{caught.value}"


@pytest.mark.parametrize("overrides", GOOD, ids=" ".join)
def test_what_can_work_is_let_through(overrides: list[str]) -> None:
    load_config(compose(*overrides))


# What Hydra itself refuses: said on the real command line.
BAD_WORDS = [
    (["trainer.epoch=3"], ["unknown setting 'trainer.epoch'", "did you mean: trainer.epochs=3"]),
    (["lrr=1"], ["unknown setting 'lrr'", "nothing reads it"]),
    (["optimizer.lr=1"], ["unknown setting 'optimizer.lr'", "did you mean: optimizer.learning_rate=1"]),
    (["model=unett"], ["unknown choice for model", "unett", "attention_unet", "did you mean: model=unet"]),
    (["model=null"], ["unknown choice for model", "null", "attention_unet", "leave it out for the default"]),
    (["-m", "model=unet,unett"], ["unknown choice for model", "unett"]),
    (["modle=unet"], ["modle", "did you mean: model=unet"]),
    (["data.size=[1,"], ["parse error in override", "data.size=[1,"]),
    (["+learning=1"], ["unknown setting 'learning'"]),
    (["trainer.epochs=0"], ["trainer.epochs", "greater than 0"]),
    (["-m", "--cfg", "job"], ["flags that exclude each other", "-m --cfg"]),
]


@pytest.mark.parametrize(("words", "expected"), BAD_WORDS, ids=[" ".join(row[0]) for row in BAD_WORDS])
def test_the_command_line_says_the_same_and_leaves_with_2(
    words: list[str], expected: list[str], tmp_path: Path
) -> None:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [sys.executable, "-X", "importtime", str(ROOT / "train.py"), *words],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines() if line.startswith("import time:")}
    # What a sweep says of its beginning is no part of the refusal.
    output = "\n".join(line for line in done.stderr.splitlines() if not line.startswith(("import time:", "… ")))
    assert done.returncode == 2, output
    assert not loaded & {"tensorflow", "keras", "mlflow"}
    assert output.startswith("error: "), output
    assert "Traceback" not in output
    for word in expected:
        assert word in output, f"{word!r} not in:\n{output}"
    computed = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    assert computed < 2, "seconds of computing until refused"


@pytest.mark.parametrize("words", [["--cfg", "job"], ["--help"]])
def test_showing_the_config_loads_nothing_heavy(words: list[str], tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-X", "importtime", str(ROOT / "train.py"), *words],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert not loaded & {"tensorflow", "keras", "mlflow"}
    assert "unet" in done.stdout
    assert not list(tmp_path.iterdir()), "showing the config leaves nothing behind"
