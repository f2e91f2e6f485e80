"""Copies of an image are found however they were changed, and images that merely are of one kind are not."""

from __future__ import annotations

import numpy as np
import pytest
from lookalikes import RELATIONS, chest, mole, organ, retina

from seglab.bench.lookalikes import CHANGES, look
from seglab.data.check.likeness import LEAST_AGREEMENT, Likeness
from seglab.data.facts import difference_hash


@pytest.fixture(scope="module")
def sets():
    """The images of each kind, and details and shape of each."""
    images = {
        make.__name__: [make(np.random.default_rng(seed)) for seed in range(count)]
        for make, count in ((retina, 40), (chest, 40), (mole, 40), (organ, 20))
    }
    return {kind: (of_kind, [look(image) for image in of_kind]) for kind, of_kind in images.items()}


def compare(known, held):
    """The match of each of `held` among `known`, by place; and the limit."""
    details, shapes = zip(*known, *held, strict=True)
    likeness = Likeness(details, shapes, [str(n) for n in range(len(details))])
    rows = np.arange(len(details))
    found = likeness.matches(rows[len(known) :], rows[: len(known)])
    return {match.held - len(known): match for match in found}, likeness.limit


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
    found, _ = compare(known, [look(CHANGES[rank][change](images[n])) for n in chosen])
    assert [found[place].known if place in found else None for place in range(len(chosen))] == list(chosen)
    assert {match.relation for match in found.values()} == {RELATIONS[rank][change]}
