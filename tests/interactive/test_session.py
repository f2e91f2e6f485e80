"""A session: a prompt goes on from the one before, every step can be undone, and no two sessions see each other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from seglab.data.synthetic.road_scenes import make_scene
from seglab.errors import DataError
from seglab.interactive.display_image import picture_of, read_picture
from seglab.interactive.grabcut import GrabCut
from seglab.interactive.prompt import Prompt, box_of
from seglab.interactive.prompt_models import Candidates, Embedding
from seglab.interactive.session import Session
from seglab.interactive.steps import MOST


@pytest.fixture(scope="module")
def scene() -> tuple[np.ndarray, np.ndarray]:
    image, _, instances = make_scene(np.random.default_rng(0))
    cars = [one for one in np.unique(instances) if one // 1000 == 26]
    return image, max((instances == one for one in cars), key=np.sum)


def start(image: np.ndarray) -> Session:
    model = GrabCut()
    return Session(model, model.embed(image))


def test_undo_and_redo_give_the_same_masks_bit_by_bit(scene: tuple[np.ndarray, np.ndarray]) -> None:
    image, car = scene
    session = start(image)
    points: list[Any] = [np.argwhere(car)[len(np.argwhere(car)) // 2][::-1].tolist()]
    masks = [session.mask]
    rng = np.random.default_rng(1)
    for _ in range(12):
        labels = [int(car[y, x]) for x, y in points]
        masks.append(session.predict(points, labels).mask)
        points = [*points, [int(rng.integers(256)), int(rng.integers(128))]]
    assert not masks[0].any()
    assert masks[1].any()
    for mask in masks[-2::-1]:
        assert session.undo()
        assert (session.mask == mask).all()
    assert not session.undo()
    for mask in masks[1:]:
        assert session.redo()
        assert (session.mask == mask).all()
    assert not session.redo()


def test_after_undo_a_prompt_gives_what_it_gave(scene: tuple[np.ndarray, np.ndarray]) -> None:
    image, car = scene
    session = start(image)
    box = box_of(car)
    session.predict(box=box)
    first = session.predict([[5, 5]], [0], box).mask
    session.predict([[5, 5], [9, 9]], [0, 0], box)
    session.undo()
    session.undo()
    assert (session.predict([[5, 5]], [0], box).mask == first).all()
    assert session.steps == (2, 0)


def test_sessions_do_not_see_each_other(scene: tuple[np.ndarray, np.ndarray]) -> None:
    image, car = scene
    one, other = start(image), start(image)
    box = box_of(car)
    one.predict(box=box)
    assert not other.mask.any()
    assert other.state is None
    alone = start(image).predict([[100, 60]], [1]).mask
    assert (other.predict([[100, 60]], [1]).mask == alone).all()


def test_another_box_begins_anew(scene: tuple[np.ndarray, np.ndarray]) -> None:
    image, car = scene
    session = start(image)
    session.predict(box=[0, 0, 40, 40])
    moved = session.predict(box=box_of(car)).mask
    assert (moved == start(image).predict(box=box_of(car)).mask).all()


def test_the_candidate_of_the_best_score_or_the_wanted_one(scene: tuple[np.ndarray, np.ndarray]) -> None:
    image, car = scene
    reply = start(image).predict(box=box_of(car))
    assert reply.chosen == int(np.argmax(reply.scores))
    for number in range(3):
        reply = start(image).predict(box=box_of(car), candidate=number)
        assert (reply.chosen, reply.verdict.action) == (number, "accepted")
        assert (reply.mask == (reply.logits[number] > 0)).all()
    with pytest.raises(DataError):
        start(image).predict(box=box_of(car), candidate=3)


def test_another_candidate_begins_with_what_the_first_began_with(scene: tuple[np.ndarray, np.ndarray]) -> None:
    image, car = scene
    box, click = box_of(car), [np.argwhere(~car)[-1][::-1].tolist()]
    session = start(image)
    session.predict(box=box)
    wanted = []
    for number in range(3):
        alone = start(image)
        alone.predict(box=box)
        wanted.append(alone.predict(click, [1], box, candidate=number))
    assert (wanted[0].mask != wanted[2].mask).any()
    for number in (1, 2, 0, 0):
        reply = session.predict(click, [1], box, candidate=number)
        assert (reply.mask == wanted[number].mask).all()
        assert reply.verdict == wanted[number].verdict
    assert session.steps == (5, 0)


def test_a_refused_prompt_changes_nothing(scene: tuple[np.ndarray, np.ndarray]) -> None:
    image, car = scene
    session = start(image)
    mask = session.predict(box=box_of(car)).mask
    with pytest.raises(DataError):
        session.predict([[900, 5]], [1], box_of(car))
    assert (session.mask == mask).all()
    assert session.steps == (1, 0)


class Moving(GrabCut):
    """Answers with a disk where the newest click is."""

    def candidates(self, embedding: Embedding, prompt: Prompt) -> Candidates:
        y, x = np.ogrid[: embedding.shape[0], : embedding.shape[1]]
        column, row = prompt.points[-1]
        disk = 30 - np.hypot(x - column, y - row)
        return Candidates(np.stack([disk, disk, disk]).astype(np.float32), np.ones(3, np.float32))


def test_the_history_is_bounded_and_small() -> None:
    model = Moving()
    session = Session(model, model.embed(np.zeros((400, 500, 3), np.uint8)), guard=False)
    for number in range(MOST + 3):
        session.predict([[5 * number, 60]], [1])
    assert session.steps == (MOST, 0)
    assert session.bytes < 3 * session.embedding.bytes


@pytest.mark.parametrize("mode", ["L", "RGBA", "I;16", "RGB", "1", "P"])
def test_images_of_every_kind(tmp_path: Path, mode: str) -> None:
    rng = np.random.default_rng(0)
    grey = rng.integers(0, 255, (12, 17)).astype(np.uint8)
    if mode == "I;16":
        picture = Image.fromarray(grey.astype(np.uint16) * 100)
    elif mode == "RGBA":
        picture = Image.fromarray(np.dstack([grey, grey, grey, grey]), "RGBA")
    else:
        picture = Image.fromarray(grey).convert(mode)
    picture.save(tmp_path / "a.png")
    found = read_picture(tmp_path / "a.png")
    assert (found.shape, found.dtype) == ((12, 17, 3), np.uint8)
    if mode in ("L", "RGB", "RGBA"):
        assert (found == grey[..., None]).all()
    if mode == "I;16":
        assert np.abs(found[..., 0].astype(int) - grey).max() <= 4


def test_an_image_is_turned_as_its_exif_says(tmp_path: Path) -> None:
    picture = Image.fromarray(np.arange(60, dtype=np.uint8).reshape(6, 10).repeat(3).reshape(6, 10, 3))
    exif = picture.getexif()
    exif[0x0112] = 6
    picture.save(tmp_path / "a.png", exif=exif)
    found = read_picture(tmp_path / "a.png")
    assert found.shape == (10, 6, 3)
    assert found[0, -1, 0] == 0


def test_a_dim_image_of_8_bits_is_stretched_and_others_are_not(tmp_path: Path) -> None:
    """Counts of a few photons, or 0 and 1, would be black on the page. A slice of a volume has the window of all."""

    def shown(values: np.ndarray) -> np.ndarray:
        Image.fromarray(values).save(tmp_path / "a.png")
        return read_picture(tmp_path / "a.png")

    dim = np.random.default_rng(0).integers(2, 20, (40, 50), np.uint8)
    found = shown(dim)[..., 0]
    assert (found.min(), found.max()) == (0, 255)
    assert (np.diff(found.ravel()[np.argsort(dim.ravel())].astype(int)) >= 0).all()
    assert set(np.unique(shown((dim > 10).astype(np.uint8)))) == {0, 255}
    with_alpha = np.stack([dim, dim, dim, np.full_like(dim, 255)], -1)
    assert shown(with_alpha).max() == 255
    assert (shown(np.full((4, 4), 9, np.uint8)) == 0).all()  # of one value nothing is to be seen
    dim[0, 0] = 32
    assert (shown(dim)[..., 0] == dim).all()
    assert (picture_of(np.full((4, 4, 1), 9, np.uint8)) == 9).all()
