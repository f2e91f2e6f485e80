"""SAM and MobileSAM give what the reference implementations give, and the stored answers of `tests/interactive/sam`.

Runs in `make test-oracles`. MobileSAM has no package: SEGLAB_MOBILE_SAM names a folder with its repository.
SEGLAB_WRITE_EXPECTED=1 writes the stored answers anew.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sam_cases import CASES, EXPECTED, Case, expected_of
from sam_weights import picture
from torch_files import write_torch

from seglab.interactive.prompt import Prompt
from seglab.interactive.sam.frame import Frame
from seglab.interactive.sam.sam_network import SamNetwork
from seglab.interactive.sam.tokens import tokens
from seglab.interactive.sam.torch_file import TorchFile
from seglab.interactive.sam.weights import check_fit, fill, slots

torch = pytest.importorskip("torch")
if importlib.util.find_spec("segment_anything") is None:
    pytest.skip("segment-anything is not installed: make test-oracles", allow_module_level=True)

from sam_reference import ALL, reference, segment_anything  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore")


def skip_without_its_reference(name: str) -> None:
    if "mobile" in name and not os.environ.get("SEGLAB_MOBILE_SAM"):
        pytest.skip("SEGLAB_MOBILE_SAM names no folder with the repository of MobileSAM")


@cache
def answers(name: str) -> dict[str, np.ndarray]:
    """What the reference says of each case: embedding, logits of all four masks, scores, masks at the image's size."""
    model, image = reference(name), picture()
    transform = segment_anything().utils.transforms.ResizeLongestSide(ALL[name].side)
    with torch.no_grad():
        small = torch.as_tensor(transform.apply_image(image)).permute(2, 0, 1)[None]
        square = model.preprocess(small)
        embedding = model.image_encoder(square)
        found = {"square": square.numpy().transpose(0, 2, 3, 1), "embedding": embedding.numpy().transpose(0, 2, 3, 1)}
        for case in CASES:
            points = boxes = masks = None
            if case.points:
                moved = transform.apply_coords(np.array(case.points, float), image.shape[:2])
                points = torch.as_tensor(moved, dtype=torch.float)[None], torch.as_tensor(case.labels)[None]
            if case.box:
                boxes = torch.as_tensor(
                    transform.apply_boxes(np.array(case.box, float), image.shape[:2]), dtype=torch.float
                )
            if case.mask:
                masks = torch.as_tensor(case.low(ALL[name]))[None]
            sparse, dense = model.prompt_encoder(points=points, boxes=boxes, masks=masks)
            logits, scores = model.mask_decoder.predict_masks(
                embedding, model.prompt_encoder.get_dense_pe(), sparse, dense
            )
            full = model.postprocess_masks(logits, small.shape[-2:], image.shape[:2])
            found |= {f"{case.name}/logits": logits[0].numpy(), f"{case.name}/scores": scores[0].numpy()}
            found[f"{case.name}/full"] = full[0].numpy()
    return found


@pytest.fixture(scope="module")
def networks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    @cache
    def made(name: str) -> SamNetwork:
        network, path = SamNetwork(ALL[name]), tmp_path_factory.mktemp(name) / "a.pth"
        torch.save(reference(name).state_dict(), path)
        tensors, wanted = TorchFile(path), slots(network.variables)
        check_fit(wanted, tensors, path, name)
        fill(wanted, tensors, path)
        path.unlink()
        return network

    yield made
    made.cache_clear()


def decoded(network: SamNetwork, embedding: np.ndarray, case: Case) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    shape = picture().shape[:2]
    frame = Frame((shape[0], shape[1]), network.variant.side)
    points = np.array(case.points, float).reshape(-1, 2)
    prompt = Prompt(frame.shape, points, np.array(case.labels, int), np.array(case.box, float) if case.box else None)
    mask = case.low(network.variant)[..., None] if case.mask else None
    logits, scores = network.decode(embedding, *tokens(prompt, frame), mask)
    return logits, scores, frame.native(logits)


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", ALL)
def test_the_reference_and_the_network_agree(name: str, networks: Any) -> None:
    skip_without_its_reference(name)
    wanted, network, shape = answers(name), networks(name), picture().shape
    square = Frame((shape[0], shape[1]), network.variant.side).square(picture())
    np.testing.assert_array_equal(square, wanted["square"])
    embedding = network.encode(square)
    np.testing.assert_allclose(embedding, wanted["embedding"], rtol=0, atol=1e-4)
    for case in CASES:
        logits, scores, full = decoded(network, embedding, case)
        np.testing.assert_allclose(logits, wanted[f"{case.name}/logits"], rtol=0, atol=1e-4)
        np.testing.assert_allclose(scores, wanted[f"{case.name}/scores"], rtol=0, atol=1e-4)
        mine, theirs = full > 0, wanted[f"{case.name}/full"] > 0
        assert (mine & theirs).sum() >= 0.9999 * (mine | theirs).sum()


@pytest.mark.parametrize("name", ["small", "small_mobile"])
def test_the_stored_answers_are_the_references(name: str) -> None:
    skip_without_its_reference(name)
    found, path = expected_of(answers(name)), EXPECTED / f"{name}.npz"
    if os.environ.get("SEGLAB_WRITE_EXPECTED"):
        np.savez_compressed(path, **found)
    with np.load(path) as stored:
        assert set(stored) == set(found)
        for key in stored:
            np.testing.assert_allclose(stored[key], found[key], rtol=0, atol=1e-5, err_msg=key)


@pytest.mark.parametrize("protocol", [2, 3, 4])
def test_what_torch_saves_is_read_bit_for_bit(protocol: int, tmp_path: Path) -> None:
    path = tmp_path / "a.pth"
    kinds = [
        torch.float32,
        torch.float64,
        torch.float16,
        torch.bfloat16,
        torch.int64,
        torch.int32,
        torch.uint8,
        torch.bool,
    ]
    tensors = {f"{kind}".replace("torch.", "t."): (torch.randn(3, 4) * 9).to(kind) for kind in kinds}
    tensors |= {"transposed": torch.randn(4, 3).T, "part": torch.randn(9)[2:5], "scalar": torch.tensor(2.5)}
    tensors["parameter"] = torch.nn.Parameter(torch.randn(3))
    torch.save(tensors, path, pickle_protocol=protocol)
    read, file = torch.load(path, weights_only=False), TorchFile(path)
    assert list(file.shapes) == list(read)
    for key, value in read.items():
        np.testing.assert_array_equal(file.read(key), value.detach().float().numpy())


def test_torch_reads_what_the_tests_write(tmp_path: Path) -> None:
    arrays = {"a.weight": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.ones((2, 1, 3), np.float16)}
    read = torch.load(write_torch(tmp_path / "a.pth", arrays), weights_only=True)
    for key, value in arrays.items():
        np.testing.assert_array_equal(read[key].numpy(), value)
