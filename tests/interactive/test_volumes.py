"""A prompt on one slice becomes a mask of the volume, in its own geometry."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest

from seglab.data.io.nifti_files import read_image
from seglab.errors import DataError
from seglab.inference.mask_writer import write_mask
from seglab.interactive.grabcut import GrabCut
from seglab.interactive.prompt import Prompt
from seglab.interactive.prompt_models import Candidates, Embedding
from seglab.interactive.steps import MOST
from seglab.interactive.volume_prompts import SlicePrompt, VolumeSession, segment_volume


def ball(shape: tuple[int, int, int], centre: tuple[int, int, int], radius: float) -> np.ndarray:
    off = np.ogrid[: shape[0], : shape[1], : shape[2]]
    return sum((axis - at) ** 2 for axis, at in zip(off, centre, strict=True)) <= radius**2


@pytest.fixture(scope="module")
def volume() -> tuple[np.ndarray, np.ndarray]:
    truth = ball((60, 50, 24), (25, 30, 12), 9)
    rng = np.random.default_rng(0)
    return (100 + 400 * truth + rng.normal(0, 25, truth.shape)).astype(np.float32), truth


def iou(one: np.ndarray, other: np.ndarray) -> float:
    return float((one & other).sum() / (one | other).sum())


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_box_on_the_middle_slice_finds_a_ball(volume: tuple[np.ndarray, np.ndarray], axis: int) -> None:
    image, truth = volume
    centre = (25, 30, 12)
    left = [value for number, value in enumerate(centre) if number != axis]
    box = [left[0] - 9.5, left[1] - 9.5, left[0] + 9.5, left[1] + 9.5]
    found = segment_volume(GrabCut(), image, {centre[axis]: SlicePrompt(box=box)}, axis)
    assert iou(found, truth) > 0.85
    assert not found[45:].any()


def test_a_correction_on_another_slice_counts_there(volume: tuple[np.ndarray, np.ndarray]) -> None:
    image, truth = volume
    image, truth = image.copy(), truth.copy()
    second = ball(image.shape, (48, 10, 20), 3)
    image[second] += 400
    prompts = {12: SlicePrompt(box=[15.5, 20.5, 34.5, 39.5]), 20: SlicePrompt(box=[44.5, 6.5, 51.5, 13.5])}
    found = segment_volume(GrabCut(), image, prompts)
    assert found[48, 10, 20]
    assert found[25, 30, 12]
    assert iou(found[..., :16], truth[..., :16]) > 0.8


def test_a_mask_lies_on_its_volume_in_its_own_geometry(tmp_path_factory: pytest.TempPathFactory) -> None:
    place = tmp_path_factory.mktemp("nifti")
    truth = ball((30, 40, 20), (15, 20, 10), 6)
    affine = np.array([[0, -1.5, 0, 20], [0.9, 0, 0, -7], [0, 0, -3.0, 30], [0, 0, 0, 1]])
    file = place / "image.nii.gz"
    nib.save(nib.Nifti1Image((100 + 300 * truth).astype(np.int16), affine), file)
    image, _, _ = read_image([str(file)])
    there = np.argwhere(image[..., 0] > 250).mean(0)
    box = [there[0] - 6.5, there[1] - 6.5, there[0] + 6.5, there[1] + 6.5]
    found = segment_volume(GrabCut(), image, {round(there[2]): SlicePrompt(box=box)})
    write_mask(place / "mask.nii.gz", found.astype(np.uint8), like=file, values=(0, 1))
    written = nib.load(place / "mask.nii.gz")
    assert np.allclose(written.affine, affine)
    assert iou(np.asarray(written.dataobj) > 0, truth) > 0.85


def test_a_click_alone_finds_an_object_that_fills_much_of_a_small_volume() -> None:
    truth = ball((60, 50, 24), (25, 30, 12), 16)
    image = 100 + 400 * truth + np.random.default_rng(0).normal(0, 40, truth.shape)
    found = segment_volume(GrabCut(), image.astype(np.float32), {12: SlicePrompt(points=[[25, 30]], labels=[1])})
    assert iou(found[..., 12], truth[..., 12]) > 0.9
    assert iou(found, truth) > 0.8


def test_clicks_go_on_from_what_a_slice_shows(volume: tuple[np.ndarray, np.ndarray]) -> None:
    image, _ = volume
    session = VolumeSession(GrabCut(), image)
    session.predict(2, 12, box=[15.5, 20.5, 34.5, 39.5])
    first = session.mask
    carried = session.slice_mask(2, 16)
    assert carried[30, 25]  # rows are y
    reply = session.predict(2, 16, [[25, 30]], [1])
    assert reply.state.verdict.action == "kept"
    assert (reply.mask == carried).all()
    beside = session.predict(2, 16, [[25, 30], [25, 36]], [1, 0])
    assert not beside.mask[36, 25]
    assert not (beside.mask & ~carried).any()  # a click beside the object only takes away
    assert (session.mask[..., :15] == first[..., :15]).all()
    assert list(beside.state.prompted) == [12, 16]


def test_the_same_prompt_for_another_candidate_begins_where_it_began(volume: tuple[np.ndarray, np.ndarray]) -> None:
    image, _ = volume
    session = VolumeSession(GrabCut(), image)
    session.predict(2, 12, box=[15.5, 20.5, 34.5, 39.5])
    masks = [session.predict(2, 15, [[25, 44]], [1], candidate=number).mask for number in (0, 1, 2, 0)]
    assert (masks[0] == masks[3]).all()


def test_where_an_object_is_taken_away_it_has_ended(volume: tuple[np.ndarray, np.ndarray]) -> None:
    image, _ = volume
    session = VolumeSession(GrabCut(), image)
    session.predict(2, 12, box=[15.5, 20.5, 34.5, 39.5])
    before = session.mask
    inside = np.argwhere(session.slice_mask(2, 17))
    session.predict(2, 17, inside[:, ::-1].tolist(), [0] * len(inside))
    assert before[..., 18].any()
    assert not session.mask[..., 17:].any()
    assert (session.mask[..., :15] == before[..., :15]).all()


def test_every_step_can_be_undone_to_the_bit_in_bounded_memory() -> None:
    noise = np.random.default_rng(1).normal(0, 1, (60, 50, 8)).astype(np.float32)  # whose masks are hard to pack
    session = VolumeSession(_Speckled(), noise)
    masks = []
    for number in range(MOST + 6):
        session.predict(2, number % 8, [[number % 50, 7]], [1], anew=number % 8 == 0)
        masks.append(session.mask)
    assert session.bytes <= 3 * noise.size
    undo, redo = session.steps
    assert (undo >= 6, redo) == (True, 0)
    for back in range(1, undo):
        assert session.undo()
        assert (session.mask == masks[-1 - back]).all()
        assert session.state is not None
        assert session.state.taken == (MOST + 5 - back) % 8 + 1  # every eighth prompt was about another object
    while session.redo():
        pass
    assert (session.mask == masks[-1]).all()


def test_what_ends_a_prompt_leaves_no_trace(volume: tuple[np.ndarray, np.ndarray]) -> None:
    image, _ = volume
    session = VolumeSession(GrabCut(), image)
    session.predict(2, 12, box=[15.5, 20.5, 34.5, 39.5])
    before = session.mask

    def end(done: int, total: int) -> None:
        if done == 2:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        session.predict(2, 14, box=[10, 10, 40, 45], progress=end)
    assert (session.mask == before).all()
    assert session.steps == (1, 0)


class _Speckled:
    """Marks whatever is brighter than the mean."""

    name, digest, rank, device = "speckled", "", 2, "none"

    def embed(self, image: np.ndarray) -> Embedding:
        return Embedding(image.shape[:2], {"image": image})

    def candidates(self, embedding: Embedding, prompt: Prompt) -> Candidates:
        grey = embedding.arrays["image"][..., 0].astype(np.float32)
        return Candidates(np.repeat((grey - grey.mean())[None], 3, 0) / 8, np.ones(3, np.float32))


def test_bad_slices(volume: tuple[np.ndarray, np.ndarray]) -> None:
    image, _ = volume
    for prompts, code in (
        ({}, "prompt-without-object"),
        ({24: SlicePrompt(box=[1, 1, 5, 5])}, "prompt-point-outside"),
        ({3: SlicePrompt(points=[[99, 1]], labels=[1])}, "prompt-point-outside"),
    ):
        with pytest.raises(DataError) as caught:
            segment_volume(GrabCut(), image, prompts)
        assert caught.value.code == code
