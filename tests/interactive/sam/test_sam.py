"""The networks give the stored answers of the reference implementations, and the model keeps its contract.

The answers are made by `tests/numeric/test_sam_oracle.py`, which needs the references."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from sam_cases import CASES, EXPECTED, Case, expected_of
from sam_models import SIZES, arrays, checkpoint, model, networks, small
from sam_weights import picture

from seglab.errors import ConfigError
from seglab.interactive.prompt import Prompt
from seglab.interactive.prompt_models import PromptModel, load_model
from seglab.interactive.sam.frame import Frame
from seglab.interactive.sam.sam_model import load
from seglab.interactive.sam.sam_network import SamNetwork
from seglab.interactive.sam.tokens import tokens
from seglab.interactive.volume_prompts import VolumeSession

__all__ = ["arrays", "checkpoint", "model", "networks", "small"]

SHAPE = picture().shape[:2]


def prompt_of(case: Case) -> Prompt:
    points = np.array(case.points, float).reshape(-1, 2)
    box = np.array(case.box, float) if case.box else None
    return Prompt((SHAPE[0], SHAPE[1]), points, np.array(case.labels, int), box)


@pytest.mark.parametrize("name", SIZES)
def test_the_stored_answers(name: str, networks: Any) -> None:
    network: SamNetwork = networks(name)
    frame = Frame((SHAPE[0], SHAPE[1]), network.variant.side)
    found = {"embedding": network.encode(frame.square(picture()))}
    for case in CASES:
        mask = case.low(network.variant)[..., None] if case.mask else None
        logits, scores = network.decode(found["embedding"], *tokens(prompt_of(case), frame), mask)
        found |= {
            f"{case.name}/logits": logits,
            f"{case.name}/scores": scores,
            f"{case.name}/full": frame.native(logits),
        }
    kept = expected_of(found)
    with np.load(EXPECTED / f"{name}.npz") as stored:
        assert set(kept) == set(stored)
        for key in stored:
            np.testing.assert_allclose(kept[key], stored[key], rtol=0, atol=1e-4, err_msg=key)


def test_the_contract(model: PromptModel) -> None:
    assert (model.name, model.rank, len(model.digest)) == ("sam_vit_l", 2, 64)
    assert model.device.endswith("float32")
    embedding = model.embed(picture())
    assert embedding.shape == SHAPE
    assert embedding.bytes == 8 * 8 * 32 * 4
    found = model.candidates(embedding, Prompt.of(SHAPE, [[180, 150]], [1]))
    assert (found.logits.shape, found.logits.dtype) == ((3, *SHAPE), np.float32)
    assert (found.scores.shape, found.scores.dtype) == ((3,), np.float32)
    assert ((found.scores >= 0) & (found.scores <= 1)).all()
    with np.load(EXPECTED / "small.npz") as stored:
        full = stored["point/full"]
    steps = [max(1, length // 32) for length in SHAPE]
    np.testing.assert_allclose(found.logits[:, :: steps[0], :: steps[1]], full[1:], rtol=0, atol=1e-4)


def test_a_mask_of_before_is_understood(model: PromptModel) -> None:
    embedding = model.embed(picture())
    before = model.candidates(embedding, Prompt.of(SHAPE, [[180, 150]], [1]))
    again = Prompt.of(SHAPE, [[180, 150]], [1], mask=before.logits[0])
    assert not np.array_equal(model.candidates(embedding, again).logits, before.logits)


@pytest.mark.parametrize("shape", [(1, 1), (1, 700), (700, 1), (128, 128), (127, 129), (2000, 1500)])
def test_images_of_any_shape(model: PromptModel, shape: tuple[int, int]) -> None:
    prompt = Prompt.of(shape, [[0, 0]], [1], mask=np.ones(shape, bool))
    found = model.candidates(model.embed(np.zeros((*shape, 3), np.uint8)), prompt)
    assert found.logits.shape == (3, *shape)
    assert np.isfinite(found.logits).all()


def test_another_precision_is_another_model(model: PromptModel, checkpoint: Path) -> None:
    mixed = load_model("sam_vit_l", checkpoint, "mixed_bfloat16")
    with pytest.raises(ConfigError, match="no choice of it"):
        load_model("grabcut", precision="mixed_bfloat16")
    with pytest.raises(ConfigError, match="unknown number format"):
        load_model("sam_vit_l", checkpoint, "float8")
    assert mixed.digest != model.digest
    assert mixed.device.endswith("mixed_bfloat16")
    one, other = (each.embed(picture()).arrays["image"] for each in (model, mixed))
    assert other.dtype == np.float32
    assert 1e-4 < np.abs(one - other).max() < 0.3


def test_a_mask_goes_to_the_square_and_back() -> None:
    """Smooth logits of the decoder's size, at the image's own size and small again, are what they were."""
    rng = np.random.default_rng(0)
    coarse = rng.normal(0, 4, (1, 9, 9)).astype(np.float32)
    smooth = cv2.resize(coarse[0], (256, 256), interpolation=cv2.INTER_CUBIC)
    for shape in ((600, 900), (1024, 1024), (3000, 2000), (300, 1000)):
        frame = Frame(shape, 1024)
        back = frame.small(frame.native(smooth[None])[0])[0, ..., 0]
        height, width = (length // 4 - 2 for length in frame.inner)
        assert np.abs(back - smooth)[:height, :width].max() < 0.1
        assert (back[height + 4 :] == -10).all()
        assert (back[:, width + 4 :] == -10).all()


def test_points_go_where_their_pixels_go() -> None:
    """The middle of the left half of a wide image, and the last pixel."""
    frame = Frame((100, 400), 1024)
    assert frame.inner == (256, 1024)
    np.testing.assert_allclose(frame.places(np.array([[100.0, 50], [399, 99]])), [[256, 128], [1021.44, 253.44]])


def test_what_stands_beside_a_prompt() -> None:
    """A point without a box is followed by nothing; a box by no such thing; a mask alone has no tokens."""
    frame = Frame((128, 128), 128)
    places, kinds = tokens(Prompt.of((128, 128), [[1, 2]], [1]), frame)
    assert (places.tolist(), kinds.tolist()) == ([[[1, 2], [0, 0]]], [[1, -1]])
    places, kinds = tokens(Prompt.of((128, 128), [[1, 2]], [0], box=[3, 4, 5, 6]), frame)
    assert (places.tolist(), kinds.tolist()) == ([[[1, 2], [3, 4], [5, 6]]], [[0, 2, 3]])
    places, kinds = tokens(Prompt.of((128, 128), mask=np.ones((128, 128), bool)), frame)
    assert (places.shape, kinds.shape) == ((1, 0, 2), (1, 0))


def test_two_threads_and_two_images(model: PromptModel) -> None:
    """A model holds nothing of an image."""
    images = [picture(60, 80), picture(90, 40)]
    prompts = [Prompt.of(image.shape[:2], [[20, 20]], [1]) for image in images]

    def ask(index: int) -> np.ndarray:
        return model.candidates(model.embed(images[index]), prompts[index]).logits

    alone = [ask(0), ask(1)]
    with ThreadPoolExecutor(4) as pool:
        for index, found in zip([0, 1] * 8, pool.map(ask, [0, 1] * 8), strict=True):
            np.testing.assert_allclose(found, alone[index], rtol=0, atol=1e-5)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("name", "parameters", "millions"),
    [("sam_vit_b", 93_735_472, 93.7), ("sam_vit_l", 312_342_832, 312), ("sam_vit_h", 641_090_608, 641)],
)
def test_the_large_networks_have_as_many_numbers_as_the_published_ones(
    name: str, parameters: int, millions: float
) -> None:
    """And the 2 × 128 of the matrix that positions are made with, which is no parameter there."""
    code = (
        "import math; from seglab.interactive.sam.sam_network import SamNetwork; "
        "from seglab.interactive.sam.sam_variants import VARIANTS; "
        f"print(sum(math.prod(one.shape) for one in SamNetwork(VARIANTS[{name!r}]).variables))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) == parameters + 256
    assert parameters / 1e6 == pytest.approx(millions, rel=2e-3)


def test_slices_of_a_volume_are_clicked_on(checkpoint: Path) -> None:
    volume = np.random.default_rng(0).normal(100, 20, (40, 30, 5)).astype(np.float32)
    session = VolumeSession(load("sam_vit_l", checkpoint), volume)
    session.predict(2, 2, [[20, 10]], [1])
    first = session.mask
    assert first[20, 10, 2]
    shown = bool(first[8, 8, 3])
    session.predict(2, 3, [[8, 8], [20, 10]], [int(not shown), 1])  # another slice, of which one click changes the mask
    assert session.mask[20, 10, 2]
    assert session.mask[20, 10, 3]
    assert session.mask[8, 8, 3] != shown
    assert session.undo()
    assert (session.mask == first).all()
