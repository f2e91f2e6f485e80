"""The numbers of weights in docs/networks.md are those of the networks."""

from __future__ import annotations

import importlib
import re
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

import seglab.config.run_config  # noqa: F401  registers the resolvers that the yaml uses
from seglab.models.encoders import ENCODERS
from seglab.task import Task

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "networks.md").read_text()
# Built in less than a second of processor time.
QUICK = {"unet", "unet_mini", "attention_unet", "conv3d", "unet3d", "unet3d_res", "segresnet2d", "segformer"}
CHANGES: dict[str, dict[str, Any]] = {
    "dynunet, residual": {"block": "residual", "encoder_blocks": [1, 3, 4, 6, 6, 6], "decoder_blocks": 1}
}
QUICK_ENCODERS = {"vgg16"}


def documented() -> dict[str, str]:
    """Of each network of the tables the millions as they are written; of those of one row, one after another."""
    found: dict[str, str] = {}
    for names, numbers in re.findall(r"^\| ([^|]*`[^|]*) \| ([\d., ]+)(?: \(to [\d.]+\))? \|", PAGE, re.MULTILINE):
        plain = names.replace(" (`variant=b0` to `b5`)", "")
        known = [plain.replace("`", "")] if plain.endswith("residual") else re.findall(r"`([a-z0-9_]+)`", plain)
        values = numbers.split(", ")
        assert len(values) in (1, len(known)), names
        found |= dict(zip(known, values * len(known), strict=False))
    return found


def rounded(count: int, as_written: str) -> str:
    """In millions, with as many decimals as the page has."""
    return f"{count / 1e6:.{len(as_written.partition('.')[2])}f}"


def weights_of(name: str) -> int:
    path = ROOT / "conf" / "model" / f"{name.partition(',')[0]}.yaml"
    settings = OmegaConf.merge(OmegaConf.load(path), CHANGES.get(name, {}))
    card = OmegaConf.create({"model": settings, "data": {"normalize": "standard"}})
    values: dict[str, Any] = OmegaConf.to_container(card, resolve=True)["model"]  # type: ignore[index, call-overload, assignment]
    module, _, function = values["_target_"].rpartition(".")
    arguments = {k: v for k, v in values.items() if k not in ("name", "_target_", "rank", "size_multiple", "prompted")}
    arguments |= {"weights": None} if "weights" in arguments else {}
    size = (128, 128) if values["rank"] == 2 else (96, 96, 96)
    task = Task(values["rank"], 1, ("background", "a"))
    return int(getattr(importlib.import_module(module), function)(task, size, **arguments).count_params())


def marked(names: Any, quick: set[str]) -> list[Any]:
    return [name if name in quick else pytest.param(name, marks=pytest.mark.slow) for name in names]


def test_every_network_is_reported() -> None:
    files = {path.stem for path in (ROOT / "conf" / "model").glob("*.yaml")}
    assert {name.partition(",")[0] for name in documented()} - set(ENCODERS) == files - {"click_unet", "click_unet3d"}
    assert set(ENCODERS) <= set(documented())


@pytest.mark.parametrize("name", marked([name for name in documented() if name not in ENCODERS], QUICK))
def test_networks_have_the_weights_that_are_reported(name: str) -> None:
    assert rounded(weights_of(name), documented()[name]) == documented()[name]


@pytest.mark.parametrize("name", marked(ENCODERS, QUICK_ENCODERS))
def test_encoders_have_the_weights_that_are_reported(name: str) -> None:
    """Those of keras.applications without its top, and without what comes behind the last features."""
    whole = ENCODERS[name].build(include_top=False, weights=None, input_shape=(None, None, 3))
    assert rounded(whole.count_params(), documented()[name]) == documented()[name]
