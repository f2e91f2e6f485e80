"""Every model's yaml says what its function takes, no more and no less."""

from __future__ import annotations

import importlib
import inspect
from pathlib import Path

import pytest
from omegaconf import OmegaConf

import seglab.config.run_config  # noqa: F401  registers the resolvers that the yaml uses

CONF = Path(__file__).parents[2] / "conf" / "model"
# Half a second each for the layers of a classifier; one of them stands for all.
OF_ENCODERS = {"deeplabv3plus", "pspnet", "fpn", "linknet", "unetplusplus", "upernet", "segformer"}
FILES = sorted(CONF.glob("*.yaml"))
CARD = {"name", "_target_", "rank", "size_multiple", "prompted"}
# Variants of a function that stands in its own right in another file.
OTHER_DEFAULTS = {
    "unet_mini": {"depth", "width"},
    "unet3d": {"width"},
    "click_unet": {"width"},
    "click_unet3d": {"width"},
}
VOLUMETRIC = {"vnet", "segresnet", "dynunet", "unetr", "swin_unetr"}
NAMES = {
    "unet": "UNet",
    "unet_mini": "UNetMini",
    "attention_unet": "AttentionUNet",
    "unet_encoder": "VGG16UNet",
    "unetplusplus": "UNetPlusPlus",
    "linknet": "LinkNet",
    "fpn": "FPN",
    "segformer": "SegFormerB0",
    "segresnet": "SegResNet",
    "segresnet2d": "SegResNet2D",
    "dynunet": "DynUNet",
    "dynunet2d": "DynUNet2D",
    "upernet": "UPerNet",
    "unetr": "UNETR",
    "swin_unetr": "SwinUNETR",
    "deeplabv3plus": "DeepLabV3Plus",
    "pspnet": "PSPNet",
    "conv3d": "Conv3D",
    "unet3d": "UNet3D",
    "vnet": "VNet",
    "unet3d_res": "ResUNet3D",
    "click_unet": "ClickUNet",
    "click_unet3d": "ClickUNet3D",
}

every_file = pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)


def composed(path: Path, **changes):
    model = OmegaConf.merge(OmegaConf.load(path), changes)
    return OmegaConf.create({"model": model, "data": {"normalize": "standard"}})


def target(path: Path):
    module, _, name = OmegaConf.load(path)._target_.rpartition(".")
    return getattr(importlib.import_module(module), name)


def test_there_is_a_file_for_each_model():
    assert {path.stem for path in FILES} == set(NAMES)


@every_file
def test_keys_are_the_keyword_only_parameters(path):
    parameters = inspect.signature(target(path)).parameters.values()
    injected = [p.name for p in parameters if p.kind is not inspect.Parameter.KEYWORD_ONLY]
    keywords = {p.name for p in parameters if p.kind is inspect.Parameter.KEYWORD_ONLY}
    assert injected == ["task", "size"]
    assert set(OmegaConf.load(path)) - CARD == keywords
    assert set(OmegaConf.load(path)) >= CARD - {"prompted"}


@every_file
def test_values_are_the_defaults(path):
    given = OmegaConf.to_container(composed(path).model, resolve=True)
    for parameter in inspect.signature(target(path)).parameters.values():
        if parameter.kind is parameter.KEYWORD_ONLY and parameter.name not in OTHER_DEFAULTS.get(path.stem, ()):
            default = parameter.default
            assert given[parameter.name] == (list(default) if isinstance(default, tuple) else default), parameter.name


@every_file
def test_name_rank_and_opening_comment(path):
    model = composed(path).model
    assert model.name == NAMES[path.stem]
    assert model.rank == (3 if "3d" in path.stem or path.stem in VOLUMETRIC else 2)
    text = path.read_text().splitlines()
    opening = [line for line in text if line.startswith("# ")]
    assert text[0] == opening[0]
    assert "https://arxiv.org/abs/" in opening[1]
    assert all("# " in line for line in text if not line.startswith("_target_"))


@pytest.mark.parametrize(
    ("encoder", "name"),
    [
        ("vgg16", "VGG16UNet"),
        ("resnet50", "ResNet50UNet"),
        ("mobilenetv3", "MobileNetV3UNet"),
        ("efficientnetv2b0", "EfficientNetV2B0UNet"),
        ("efficientnetv2m", "EfficientNetV2MUNet"),
        ("convnext_base", "ConvNeXtBaseUNet"),
    ],
)
def test_encoder_is_in_the_name(encoder, name):
    assert composed(CONF / "unet_encoder.yaml", encoder=encoder).model.name == name


def test_variant_is_in_the_name():
    assert composed(CONF / "segformer.yaml", variant="b5").model.name == "SegFormerB5"


@pytest.mark.parametrize(
    ("file", "changes", "multiple"),
    [
        ("unet", {}, 8),
        ("unet", {"depth": 5}, 32),
        ("unet_mini", {}, 4),
        ("vnet", {}, 16),
        ("conv3d", {}, 1),
        ("unet_encoder", {}, 32),
        ("unetplusplus", {}, 16),
        ("fpn", {}, 32),
        ("linknet", {}, 32),
        ("segformer", {"variant": "b5"}, 32),
        ("segresnet", {}, 8),
        ("dynunet", {}, 32),
        ("upernet", {}, 32),
        ("unetr", {}, 16),
        ("swin_unetr", {}, 32),
        ("dynunet", {"strides": [1, [1, 2, 2], 2, [2, 1, 2]]}, [4, 4, 8]),
        ("deeplabv3plus", {}, 16),
        ("deeplabv3plus", {"output_stride": 8}, 8),
        ("pspnet", {}, 8),
    ],
)
def test_size_multiple_follows_the_settings(file, changes, multiple):
    assert composed(CONF / f"{file}.yaml", **changes).model.size_multiple == multiple


@pytest.mark.parametrize(
    "path",
    [pytest.param(p, id=p.stem, marks=[pytest.mark.slow] if p.stem in OF_ENCODERS else []) for p in FILES],
)
def test_size_multiple_is_what_the_model_accepts(path):
    """A size of one multiple along each axis builds; half of it, where there is a half, does not."""
    from seglab.errors import ConfigError
    from seglab.task import Task

    model = OmegaConf.to_container(composed(path).model, resolve=True)
    rank, multiple = model["rank"], model["size_multiple"]
    options = {key: value for key, value in model.items() if key not in CARD}
    small = {"width": 2, "weights": None, "encoder": "vgg16", "hidden": 12, "depth": 2}
    small |= {"heads": [1, 1, 1, 1] if "depths" in options else 12, "depths": [1, 1, 1, 1], "window": 2}
    small["depth"] = options.get("depth", 2) if "hidden" not in options else 2
    options |= {key: value for key, value in small.items() if key in options}
    task = Task(rank=rank, channels=1, class_names=("background", "a"))
    assert target(path)(task, (multiple,) * rank, **options).inputs[0].shape[1:-1] == (multiple,) * rank
    if multiple > 1:
        with pytest.raises(ConfigError, match=f"multiples of {multiple}"):
            target(path)(task, (multiple // 2,) * rank, **options)
