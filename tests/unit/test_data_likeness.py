"""Copies of an image are found however they were changed, and images that merely are of one kind are not."""

from __future__ import annotations

import numpy as np
import pytest
from lookalikes import PLANES, VOLUMES, chest, mole, organ, retina

from seglab.data.check.likeness import LEAST_AGREEMENT, Likeness
from seglab.data.detail import detail_of
from seglab.data.facts import difference_hash


@pytest.fixture(scope="module")
def sets():
    """The images of each kind, and details and shape of each."""
    images = {
        make.__name__: [make(np.random.default_rng(seed)) for seed in range(count)]
        for make, count in ((retina, 40), (chest, 40), (mole, 40), (organ, 20))
    }
    return {kind: (of_kind, [looked_at(image) for image in of_kind]) for kind, of_kind in images.items()}


def looked_at(image):
    return detail_of(image), image.shape[:-1]


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


def check_copies(images, known, made, relation):
    chosen = range(0, len(images), 4)
    found, _ = compare(known, [looked_at(np.ascontiguousarray(made(images[n]))) for n in chosen])
    assert [found[place].known if place in found else None for place in range(len(chosen))] == list(chosen)
    assert {match.relation for match in found.values()} == {relation}


@pytest.mark.parametrize("kind", ["retina", "chest", "mole"])
@pytest.mark.parametrize("change", PLANES)
def test_copies_of_an_image_are_found(sets, kind, change):
    check_copies(*sets[kind], *PLANES[change])


@pytest.mark.parametrize("change", VOLUMES)
def test_copies_of_a_volume_are_found(sets, change):
    check_copies(*sets["organ"], *VOLUMES[change])
