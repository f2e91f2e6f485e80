"""Copies of an image are found however they were changed, and images that merely are of one kind are not."""

from __future__ import annotations

import numpy as np
import pytest
from lookalikes import RELATIONS, chest, mole, organ, retina

from benchmarks.speed.near_duplicates import CHANGES, look_of, noisy
from seglab.data.check import duplicates
from seglab.data.check.alignment import Alignment, Details, lay_over, starts, turned, turns, words
from seglab.data.check.duplicates import LEAST_AGREEMENT, DuplicateSearch
from seglab.data.preprocessing.case_fingerprint import difference_hash
from seglab.data.preprocessing.image_detail import OUTSIDE, SIDE, decode, detail_of


@pytest.fixture(scope="module")
def sets():
    """The images of each kind, and details and shape of each."""
    images = {
        make.__name__: [make(np.random.default_rng(seed)) for seed in range(count)]
        for make, count in ((retina, 40), (chest, 40), (mole, 40), (organ, 20))
    }
    return {kind: (of_kind, [look_of(image) for image in of_kind]) for kind, of_kind in images.items()}


def compare(known, held):
    """The match of each of `held` among `known`, by place; and the limit."""
    details, shapes = zip(*known, *held, strict=True)
    compared = DuplicateSearch(details, shapes, [str(n) for n in range(len(details))])
    rows = np.arange(len(details))
    found = compared.matches(rows[len(known) :], rows[: len(known)])
    return {match.held - len(known): match for match in found}, compared.limit


@pytest.mark.parametrize("kind", ["retina", "chest", "mole", "organ"])
def test_images_of_one_kind_are_not_alike(sets, kind):
    _, known = sets[kind]
    found, limit = compare(known[::2], known[1::2])
    assert found == {}
    assert LEAST_AGREEMENT <= limit.agreement < 0.92
    assert limit.usual < 0.5


def test_a_hash_of_coarse_brightness_calls_them_alike(sets):
    looks = [difference_hash(image) for image in sets["mole"][0]]
    near = [min((one ^ other).bit_count() for other in looks[::2]) for one in looks[1::2]]
    assert np.mean(np.array(near) <= 4) > 0.5


@pytest.mark.parametrize(
    ("kind", "change"),
    [(k, c) for k in ("retina", "chest", "mole") for c in CHANGES[2]] + [("organ", c) for c in CHANGES[3]],
)
def test_copies_are_found_however_they_were_changed(sets, kind, change):
    images, known = sets[kind]
    rank = images[0].ndim - 1
    chosen = range(0, len(images), 4)
    found, _ = compare(known, [look_of(CHANGES[rank][change](images[n])) for n in chosen])
    assert [found[place].known if place in found else None for place in range(len(chosen))] == list(chosen)
    assert {match.relation for match in found.values()} == {RELATIONS[rank][change]}


@pytest.mark.parametrize("kind", ["retina", "organ"])
def test_a_set_that_was_mirrored_on_disk_is_seen_through(sets, kind):
    images, known = sets[kind]
    mirrored = [
        look_of(CHANGES[2]["jpeg"](image[:, ::-1]) if kind == "retina" else noisy(image[:, ::-1])) for image in images
    ]
    found, limit = compare(known, mirrored)
    assert [found[n].known for n in range(len(images))] == list(range(len(images)))
    assert limit.agreement < 0.9
    there, back = [*known[::2], *mirrored[::2]], [*known[1::2], *mirrored[1::2]]
    assert compare(there, back)[0] == {}


def test_blocks_and_one_table_find_the_same(sets, monkeypatch):
    images, known = sets["retina"]
    held = [look_of(CHANGES[2]["mirror"](images[n])) for n in (3, 30, 5, 17)]
    whole, _ = compare(known, held)
    monkeypatch.setattr(duplicates, "_ROWS", 3)
    monkeypatch.setattr(duplicates, "_COLUMNS", 7)
    parts, _ = compare(known, held)
    assert [whole[n].known for n in range(4)] == [parts[n].known for n in range(4)] == [3, 30, 5, 17]
    assert [parts[n].agreement for n in range(4)] == pytest.approx([whole[n].agreement for n in range(4)], abs=1e-3)


def test_of_many_pairs_the_nearest_are_laid_over_each_other(sets, monkeypatch):
    images, known = sets["retina"]
    monkeypatch.setattr(duplicates, "_MOST_PAIRS", 2)
    held = [*sets["chest"][1][:6], look_of(CHANGES[2]["crop-one-side"](images[8])), known[9]]
    found, _ = compare(known, held)
    assert {place: match.known for place, match in found.items()} == {6: 8, 7: 9}


def test_images_of_equal_values_are_left_to_another_finding(sets):
    _, known = sets["mole"]
    details, shapes = zip(*known, known[5], strict=True)
    same = [str(n) for n in [*range(len(known)), 5]]
    rows = np.arange(len(details))
    assert DuplicateSearch(details, shapes, same).matches(rows[-1:], rows[:-1]) == []


def test_a_field_of_view_is_distinguished_from_dark_content(sets):
    (retinas, _), rng = sets["retina"], np.random.default_rng(0)

    def inside(image):
        return decode([detail_of(image)], image.ndim - 1)[0] != OUTSIDE

    assert all(0.6 < inside(image).mean() < 0.75 for image in retinas)  # a circle of radius 0.95: 0.71, and an edge
    assert inside(rng.integers(0, 255, (60, 80, 3), dtype=np.uint8)).all()
    dark = np.zeros((64, 64, 1), np.uint8)
    dark[30:34, 30:34] = 200
    assert inside(dark).all()  # hardly more than ground: taken as it is
    padded = np.full((96, 96, 1), 128, np.uint8)
    padded[24:72, 24:72] = rng.integers(0, 255, (48, 48, 1))
    assert inside(padded).mean() == pytest.approx(0.25, abs=0.06)


@pytest.mark.parametrize("rank", [2, 3])
def test_a_known_window_is_found_again(rank):
    rng = np.random.default_rng(rank)
    size = SIDE[rank]
    wave, phase = rng.normal(0, 0.15, (rank, 30)), rng.uniform(0, 7, 30)

    def seen(scale, shift):
        places = np.stack(np.meshgrid(*[np.arange(size) - (size - 1) / 2] * rank, indexing="ij"), axis=-1)
        return np.cos((places * scale + np.array(shift) * size) @ wave + phase).mean(axis=-1)[None].astype(np.float32)

    scale, shift = np.array([0.97, 1.04, 1.0][:rank]), np.array([0.03, -0.02, 0.01][:rank])
    ones, nothing = np.ones((1, *(size,) * rank), np.float32), np.zeros((1, 2, *(size,) * rank), np.float32)
    begin = Alignment(np.zeros(1, np.float32), np.ones((1, rank), np.float32), np.zeros((1, rank), np.float32))
    first, second = Details(seen(scale, shift), ones, nothing), Details(seen(1.0, np.zeros(rank)), ones, nothing)
    laid = lay_over(first, second, begin, 1.0, None)
    assert laid.agreement[0] > 0.98
    np.testing.assert_allclose(laid.scale[0], scale, atol=0.006)
    np.testing.assert_allclose(laid.shift[0], shift, atol=0.004)


@pytest.mark.parametrize(("rank", "ways", "begun"), [(2, 8, 8 * 7), (3, 48, 8 * 11 + 40)])
def test_every_turn_is_there_once(rank, ways, begun):
    array = np.arange(3**rank).reshape((3,) * rank)
    made = [turned(array, turn) for turn in turns(rank)]
    assert len({view.tobytes() for view in made}) == ways
    np.testing.assert_array_equal(made[0], array)
    assert sum(1 for turn in turns(rank) for _ in starts(turn)) == begun
    still = np.ones(rank), np.zeros(rank)
    descriptions = {words(turn, *still, (10,) * rank) for turn in turns(rank)}
    assert "the same view" in descriptions
    if rank == 2:
        turn = next(t for t in turns(2) if np.array_equal(turned(array, t), np.rot90(array)))
        assert words(turn, *still, (10, 10)) == "turned by 90°"
