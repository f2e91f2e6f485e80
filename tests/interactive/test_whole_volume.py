"""Sessions on volumes with a model of volumes: whatever a slice says reaches the network where it was said, in whatever
order the file has its axes."""

from __future__ import annotations

import gzip
import io
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from seglab.errors import DataError
from seglab.interactive.accepted import AcceptedMasks
from seglab.interactive.answering import Answering
from seglab.interactive.prompt import Prompt
from seglab.interactive.prompt_models import Candidates, Embedding
from seglab.interactive.sessions import Sessions
from seglab.interactive.whole_volume import WholeVolumeSession
from seglab.serving.limits import Limits
from seglab.serving.problems import Problem

SHAPE = (20, 24, 10)
# The first axis of the file goes back, the second to the right, the third down.
AFFINE = np.array([[0, 1.5, 0, 3], [-1.0, 0, 0, 5], [0, 0, -3.0, 7], [0, 0, 0, 1]])


class Bright:
    """Finds what is bright in the box, or around the first click on an object; keeps what it was asked."""

    name, digest, rank, device = "bright", "0", 3, "CPU"

    def __init__(self) -> None:
        self.asked: list[Prompt] = []
        self.seen: np.ndarray = np.zeros(0)

    def embed(self, image: np.ndarray) -> Embedding:
        self.seen = image
        return Embedding(image.shape[:-1], {"image": image})

    def candidates(self, embedding: Embedding, prompt: Prompt) -> Candidates:
        self.asked.append(prompt)
        bright = embedding.arrays["image"][..., 0] > 100
        logits = np.where(bright, np.float32(4), np.float32(-4))
        return Candidates(np.stack([logits, -logits, logits - 9]), np.array([0.9, 0.5, 0.1], np.float32))


def volume() -> np.ndarray:
    values = np.zeros(SHAPE, np.float32)
    values[4:11, 12:20, 2:6] = 200
    return values


@pytest.fixture
def model() -> Bright:
    return Bright()


def test_the_network_sees_the_volume_in_ras_order_and_the_mask_comes_back(model: Bright) -> None:
    session = WholeVolumeSession(model, volume(), AFFINE)
    assert model.seen.shape == (24, 20, 10, 1)
    reply = session.predict(2, 3, [[5, 14]], [1])
    assert (session.mask == (volume() > 0)).all()
    assert (reply.mask == (volume() > 0)[..., 3].T).all()
    (asked,) = model.asked
    # x of RAS is the file's second axis, y its first turned over, z its third turned over.
    assert asked.points.tolist() == [[14, 20 - 1 - 5, 10 - 1 - 3]]
    assert model.seen[tuple(axis[0] for axis in asked.pixels)][0] == 200


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_clicks_of_all_slices_are_asked_at_once(model: Bright, axis: int) -> None:
    session = WholeVolumeSession(model, volume(), AFFINE)
    rng = np.random.default_rng(axis)
    clicks = {}
    for index in (3, 5, 4):
        sides = [length for other, length in enumerate(SHAPE) if other != axis]
        clicks[index] = [int(rng.integers(side)) for side in sides]
        session.predict(axis, index, [clicks[index]], [1])
    wanted = {tuple(np.insert(at, axis, index)) for index, at in clicks.items()}
    back = {(19 - y, x, 9 - z) for x, y, z in model.asked[-1].points.astype(int).tolist()}
    assert back == wanted
    assert model.asked[-1].mask is not None


def test_a_box_is_as_deep_as_it_is_high_and_wide(model: Bright) -> None:
    session = WholeVolumeSession(model, volume(), AFFINE)
    session.predict(2, 4, box=[3.5, 11.5, 10.5, 19.5])
    (asked,) = model.asked
    assert asked.box is not None
    half = (7 * 1.0 + 8 * 1.5) / 2 / 3.0 / 2
    wanted = [11.5, 19 - 10.5, 9 - 4 - half, 19.5, 19 - 3.5, 9 - 4 + half]
    assert asked.box.tolist() == pytest.approx(wanted)


def test_undo_redo_candidates_and_another_object(model: Bright) -> None:
    session = WholeVolumeSession(model, volume(), AFFINE)
    session.predict(2, 3, [[5, 14]], [1])
    first = session.mask
    session.predict(2, 5, [[6, 15]], [0])
    assert not session.mask[6, 15, 5]
    second = session.mask
    assert session.undo()
    assert (session.mask == first).all()
    assert session.redo()
    assert (session.mask == second).all()
    assert session.state is not None
    assert session.state.taken == 2
    session.predict(2, 5, [[6, 15]], [0], candidate=1)  # begins with what the same prompt began with
    assert model.asked[-1].mask is not None
    assert ((model.asked[-1].mask > 0) == (model.seen[..., 0] > 100)).all()
    with pytest.raises(DataError) as refused:
        session.predict(0, 5, [[6, 5]], [0])
    assert refused.value.code == "prompt-other-axis"
    session.predict(0, 7, [[14, 4]], [1], anew=True)
    assert len(model.asked[-1].points) == 1
    assert model.asked[-1].mask is None
    assert session.state.taken == 1


@pytest.fixture
def answering(model: Bright, tmp_path: Path) -> Answering:
    return Answering(Sessions(model), AcceptedMasks(tmp_path / "accepted"), Limits())


def test_the_service_begins_such_sessions_and_refuses_images(answering: Answering) -> None:
    errands: Any = answering.errands()

    def ask(do: str, body: bytes = b"", **asked: Any) -> tuple[dict[str, Any], bytes]:
        return errands[do](asked, body, lambda: None)

    content = nib.Nifti1Image(volume(), AFFINE).to_bytes()
    fields, _ = ask("begin", content, client="")
    prompt = {"points": [[5, 14]], "labels": [1], "box": None, "candidate": None, "axis": "z", "index": 3}
    answer, mask = ask("predict", id=fields["id"], **prompt, anew=False)
    assert (answer["area"], answer["slices"], answer["prompted"]) == (7 * 8 * 4, [2, 5], [3])
    assert ((np.asarray(Image.open(io.BytesIO(mask))) > 0) == (volume() > 0)[..., 3].T).all()
    _, kept = ask("accept", id=fields["id"], by="", note="", form="png", tolerance_px=1.0)
    written = nib.Nifti1Image.from_bytes(gzip.decompress(kept))
    assert (np.asarray(written.dataobj) == (volume() > 0)).all()
    picture = io.BytesIO()
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(picture, "PNG")
    with pytest.raises(Problem) as refused:
        ask("begin", picture.getvalue(), client="")
    assert refused.value.code == "image-rank"
