"""The gate on the data: copies, look-alikes and torn stacks in two splits."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
from checked_sets import ABC, Held, check, elsewhere, names, picture

from seglab.data.cases import Sample
from seglab.data.check.leaks import find_torn_sequences
from seglab.data.preprocessing.case_fingerprint import examine
from seglab.data.splits import Split
from seglab.task import Task

__all__ = ["elsewhere"]


def test_the_same_image_in_two_splits_is_found_by_its_values():
    source = Held({"a": picture(1), "b": picture(2), "c": picture(1)})
    (finding,) = check(source, ABC).findings
    assert (finding.name, finding.severity, finding.where) == ("same-image-in-two-splits", "error", "train and test")
    assert "a = c" in finding.found


def test_a_brighter_noisy_copy_is_found_and_other_images_are_not():
    original = picture(1)
    noise = np.random.default_rng(5).integers(0, 6, original.image.shape)
    copy = Sample((original.image * 0.9 + noise + 10).astype(np.uint8), original.mask, (1.0, 1.0))
    source = Held({"a": original, "b": picture(2), "c": copy})
    (finding,) = check(source, ABC).findings
    assert (finding.name, finding.severity) == ("similar-image-in-two-splits", "warning")
    assert check(source, ABC).allowed_findings == ("similar-image-in-two-splits",)  # every score of it says so
    assert "1 of 1 test images" in finding.found
    assert "c ~ a" in finding.found
    many = Held({f"x{n}": picture(n) for n in range(200)})
    ids = list(many.samples)
    assert names(check(many, Split(tuple(ids[:100]), tuple(ids[100:150]), tuple(ids[150:])))) == []


def test_a_pair_that_looks_alike_is_described():
    source = Held({f"x{n}": picture(n) for n in range(24)})
    mirrored = Sample(np.ascontiguousarray(source.samples["x3"].image[:, ::-1]), picture(0).mask, (1.0, 1.0))
    source = Held({**source.samples, "y": mirrored})
    ids = tuple(source.samples)
    (finding,) = check(source, Split(ids[:20], ids[20:24], ("y",))).findings
    assert (finding.name, finding.where) == ("similar-image-in-two-splits", "train and test")
    assert finding.found == "1 of 1 test images look like one of train: y ~ x3 (mirrored left to right, 1.00)"
    assert re.match(r"an agreement below 0\.\d\d of the details .*unrelated images of this set: ", finding.expected)
    assert "data.group_pattern" in finding.remedy
    assert "data.allow=[similar-image-in-two-splits]" in finding.remedy
    let = check(source, Split(ids[:20], ids[20:24], ("y",)), allow=["similar-image-in-two-splits"])
    assert (let.allowed, let.summary()) == (("similar-image-in-two-splits",), "1 allowed")


def looks_like(looks, parts):
    """The findings about sequences when case n has the n-th look and lies in the n-th part."""
    facts = examine(picture(0), Task(2, 1, ("background", "object")))
    facts = {f"slice{n}": replace(facts, look=look, image_hash=str(n)) for n, look in enumerate(looks)}
    ids = [tuple(i for i, part in zip(facts, parts, strict=True) if part == name) for name in range(3)]
    return list(find_torn_sequences(Split(*ids), facts))


def flipped(rng, look, bits):
    return look ^ sum(1 << int(n) for n in rng.permutation(64)[:bits])


def independent(rng, count):
    return [int(look) for look in rng.integers(2**63, size=count)]


def stack(rng, count):
    """Looks that drift: neighbours differ in 12 bits, cases five apart in two dozen."""
    looks = independent(rng, 1)
    while len(looks) < count:
        looks.append(flipped(rng, looks[-1], 12))
    return looks


def kinds(rng, count):
    """Two kinds of images, one after the other by name; each differs from its kind in 8 bits."""
    means = independent(rng, 2)
    return [flipped(rng, means[2 * n // count], 8) for n in range(count)]


def dealt(rng, count):
    return rng.choice(3, count, p=[0.6, 0.2, 0.2])


def in_blocks(rng, count, size=5):
    return np.repeat(dealt(rng, count // size), size)


@pytest.mark.parametrize(
    ("looks", "parts", "found", "least"),
    [
        (stack, dealt, True, 30),
        (stack, in_blocks, False, 30),
        (independent, dealt, False, 30),
        (kinds, dealt, False, 60),
        # Films of five frames, each in one split: neighbours in different splits are of different films.
        (lambda rng, count: [i for _ in range(count // 5) for i in stack(rng, 5)], in_blocks, False, 30),
    ],
    ids=["stack", "stack-in-blocks", "independent", "sorted-by-kind", "films"],
)
def test_a_stack_that_is_dealt_slice_by_slice_is_found_and_nothing_else(looks, parts, found, least):
    for count in (least, 200):
        alike = [looks_like(looks(rng, count), parts(rng, count)) for rng in map(np.random.default_rng, range(20))]
        assert [bool(rows) for rows in alike] == [found] * 20


def test_a_torn_stack_is_described():
    rng = np.random.default_rng(0)
    (finding,) = looks_like(stack(rng, 30), [0, 0, 0, 1, 2] * 6)
    assert (finding.name, finding.severity) == ("sequence-across-splits", "warning")
    # Three of five pairs, the last one without its partner; 0.6 · 0.4 + 2 · 0.2 · 0.8 of 29 pairs by chance.
    assert finding.found.startswith("17 of 29 pairs lie in different splits and look alike (a median of 12 of 64 bits")
    assert "slice2 in train, slice3 in val; slice3 in val, slice4 in test" in finding.found
    assert finding.expected.startswith("fewer than 8 such pairs")
    assert "data.block_size=5" in finding.remedy
    assert looks_like([], []) == looks_like(stack(rng, 1), [0]) == looks_like(stack(rng, 4), [0, 1, 0, 1]) == []


def test_black_images_are_constant_and_no_copies_of_one_another():
    black = Sample(np.zeros((32, 32, 1), np.uint8), picture(0).mask, (1.0, 1.0))
    source = Held({"a": black, "b": picture(1), "c": black})
    report = check(source, ABC)
    assert names(report) == ["constant-image", "constant-image"]
    assert [finding.where for finding in report.findings] == ["train: a", "test: c"]
    assert report.findings[0].found == "every pixel is 0"
