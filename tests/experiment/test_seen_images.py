"""What a run keeps of its images tells a later one which of its own were cropped, mirrored or saved anew from them."""

from __future__ import annotations

import copy
import json

import numpy as np
import pytest
from lookalikes import organ, retina

from benchmarks.speed.near_duplicates import CHANGES
from seglab.data.cases import Sample
from seglab.data.preprocessing.case_fingerprint import CaseFingerprint, examine
from seglab.data.splits import Split
from seglab.experiment import seen_images
from seglab.experiment.seen_images import SeenImages, add_seen, find_near_duplicates, kept_details
from seglab.task import Task

COUNT = 32


def facts_of(image: np.ndarray) -> CaseFingerprint:
    rank = image.ndim - 1
    return examine(Sample(image, None, (1.0,) * rank), Task(rank, 1, ("background", "object")))


@pytest.fixture(scope="module")
def images() -> list[np.ndarray]:
    return [retina(np.random.default_rng(seed)) for seed in range(COUNT)]


@pytest.fixture(scope="module")
def recorded(images: list[np.ndarray]) -> dict:
    """Of a run that trained on 24 of them, chose by 4, and never saw the last 4."""
    ids = [f"case{n}" for n in range(COUNT)]
    facts = {i: facts_of(image) for i, image in zip(ids, images, strict=True)}
    kept = kept_details(facts, Split(tuple(ids[:24]), tuple(ids[24:28]), tuple(ids[28:])))
    return json.loads(json.dumps(kept))


def found(recorded: dict, now: dict[str, np.ndarray], split: Split, **more: object) -> seen_images.NearDuplicates:
    seen = SeenImages()
    add_seen(seen, recorded, 2)
    return find_near_duplicates({i: facts_of(image) for i, image in now.items()}, split, seen, frozenset(), **more)


def test_copies_however_changed_are_reported_and_others_are_not(images: list[np.ndarray], recorded: dict) -> None:
    assert (recorded["count"], len(recorded["images"])) == (28, 28)
    now = {
        "a": CHANGES[2]["crop-all-around"](images[4]),
        "b": CHANGES[2]["mirror"](images[20]),
        "c": CHANGES[2]["jpeg"](images[27]),
        **{f"new{n}": images[28 + n] for n in range(4)},
        "flat": np.zeros((40, 40, 1), np.uint8),
    }
    alike = found(recorded, now, Split(("new3",), ("c", "new0"), ("a", "b", "new1", "new2", "flat")))
    test, validation = alike.rows
    assert test.startswith("2 of 5 test cases look like images that helped to train or to choose these weights (")
    assert "a: cropped, 0." in test
    assert "b: mirrored left to right, 1.0" in test
    assert validation.startswith("1 of 2 validation cases look like")
    assert "c: the same view, 0." in validation or "c: the same view, 1." in validation
    assert alike.missed == 0
    assert not found(recorded, now, Split((), (), ("new0", "new1", "flat"))).rows


def test_what_is_known_to_be_equal_is_not_reported_twice(images: list[np.ndarray], recorded: dict) -> None:
    seen = SeenImages()
    add_seen(seen, recorded, 2)
    facts = {"a": facts_of(images[0])}
    split = Split((), (), ("a",))
    assert find_near_duplicates(facts, split, seen, frozenset()).rows
    assert not find_near_duplicates(facts, split, seen, {"a"}).rows


def test_of_many_a_sample_is_kept_and_compared_and_the_rest_is_stated(
    images: list[np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    facts = {f"case{n}": facts_of(image) for n, image in enumerate(images)}
    ids = tuple(facts)
    monkeypatch.setattr(seen_images, "_MOST_CHARACTERS", 7 * len(facts["case0"].detail))
    kept = kept_details(facts, Split(ids[:28], (), ids[28:]))
    assert (kept["count"], len(kept["images"])) == (28, 7)
    monkeypatch.setattr(seen_images, "MOST_COMPARED", 7 * 2)
    seen = SeenImages()
    add_seen(seen, kept, 2)
    alike = find_near_duplicates(facts, Split((), (), ids[28:]), seen, frozenset())
    assert alike.missed == pytest.approx(1 - 7 / 28 * 2 / 4)


def test_volumes() -> None:
    volumes = [organ(np.random.default_rng(seed)) for seed in range(12)]
    facts = {f"v{n}": facts_of(volume) for n, volume in enumerate(volumes)}
    seen = SeenImages()
    add_seen(seen, kept_details(facts, Split(tuple(facts)[:10], (), ())), 3)
    now = {"m": facts_of(CHANGES[3]["mirror-x"](volumes[4])), "n": facts["v11"]}
    [row] = find_near_duplicates(now, Split((), (), ("m", "n")), seen, frozenset()).rows
    assert row.startswith("1 of 2 test cases look like")
    assert "m: mirrored in x, " in row


@pytest.mark.parametrize("damage", ["nothing", "short", "rank", "no shape", "no base64", "text"])
def test_what_a_run_from_elsewhere_holds_in_its_place_is_no_detail(recorded: dict, damage: str) -> None:
    bad = copy.deepcopy(recorded)
    first = bad["images"][0]
    if damage == "nothing":
        bad = {}
    elif damage == "short":
        first["detail"] = first["detail"][:-4]
        bad["images"][1]["detail"] += "AAAA"
    elif damage == "rank":
        first["shape"] = [4, 4, 4]
    elif damage == "no shape":
        first["shape"] = [0, 4]
    elif damage == "no base64":
        first["detail"] = "é" * len(first["detail"])
    else:
        bad["images"] = "abc"
    with pytest.raises((ValueError, KeyError, TypeError)):
        add_seen(SeenImages(), bad, 2)
