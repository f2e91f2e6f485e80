"""Shared by the tests of SAM: small networks of both kinds, their checkpoints and answers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sam_weights import SMALL, SMALL_MOBILE, random_tensor
from torch_files import write_torch

from seglab.interactive.prompt_models import PromptModel, load_model
from seglab.interactive.sam.sam_network import SamNetwork
from seglab.interactive.sam.sam_variants import VARIANTS
from seglab.interactive.sam.weights import slots

SIZES = {"small": SMALL, "small_mobile": SMALL_MOBILE}


@pytest.fixture(scope="module")
def networks() -> Iterator[Any]:
    @cache
    def made(name: str) -> SamNetwork:
        network = SamNetwork(SIZES[name])
        for slot in slots(network.variables):
            slot.variable.assign(random_tensor(slot.name, slot.shape).transpose(slot.axes))
        return network

    yield made
    made.cache_clear()


@pytest.fixture(scope="module")
def arrays(networks: Any) -> dict[str, np.ndarray]:
    """What a checkpoint of the small network holds, and what the published ones of MobileSAM hold besides."""
    found = {slot.name: random_tensor(slot.name, slot.shape) for slot in slots(networks("small").variables)}
    found["image_encoder.norm_head.weight"] = np.ones(3, np.float32)
    found["image_encoder.x.bn.num_batches_tracked"] = np.array(9)
    return found


@pytest.fixture(scope="module")
def checkpoint(arrays: dict[str, np.ndarray], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_torch(tmp_path_factory.mktemp("small") / "small.pth", arrays)


@pytest.fixture(scope="module", autouse=True)
def small() -> Iterator[None]:
    """`sam_vit_l` is the small network."""
    real = VARIANTS["sam_vit_l"]
    shrunk = replace(SMALL, file=real.file, megabytes=real.megabytes, page=real.page)
    with pytest.MonkeyPatch.context() as patch:
        for module in ("sam_model", "weights", "convert"):
            patch.setattr(f"seglab.interactive.sam.{module}.VARIANTS", {**VARIANTS, "sam_vit_l": shrunk})
        yield


@pytest.fixture(scope="module")
def model(checkpoint: Path) -> PromptModel:
    return load_model("sam_vit_l", checkpoint)
