"""The gate on the data before a training: leaks, contents, thin classes, and what may be let through."""

from __future__ import annotations

import ast
import re
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml
from data_cards import data_config

from seglab.data.cases import Case, Sample
from seglab.data.check import findings
from seglab.data.check.augmenting import find_lost_in_augmentation
from seglab.data.check.findings import KINDS, DataReport, Finding, check_names
from seglab.data.check.leaks import find_torn_sequences
from seglab.data.check.quick_check import check_short
from seglab.data.check.shrinking import Shrunk, evenly, shape_seen
from seglab.data.preprocessing.case_fingerprint import examine
from seglab.data.splits import Split, split_for
from seglab.errors import ConfigError, DataError
from seglab.task import Task


class Held:
    """A source of samples that are given; `cases` have the groups that are given, or are their own."""

    def __init__(self, samples, groups=None, task=None, split=None):
        self.name, self.split = "held", split
        self.task = task or Task(2, 1, ("background", "object"))
        self.samples = samples
        self.cases = [Case(i, (f"{i}.png",), None, (groups or {}).get(i, i)) for i in samples]

    def read(self, case):
        return self.samples[case.id]


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    """The check keeps answers in `cache`, below the working folder."""
    monkeypatch.chdir(tmp_path)


def picture(seed, mask=None, size=(32, 32)):
    """A smooth random image, so that its look is its own, with a mask."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 200, (8, 8))
    image = np.kron(coarse, np.ones((size[0] // 8, size[1] // 8))).astype(np.uint8)[..., None]
    if mask is None:
        mask = np.zeros(size, np.uint8)
        mask[8:24, 8:24] = 1
    return Sample(image, mask, (1.0,) * len(size))


def card(**changes):
    return data_config(**{"size": [32, 32], "resize_mode": "resize", **changes})


def check(source, split, **changes):
    facts = {case.id: examine(source.samples[case.id], source.task) for case in source.cases}
    return check_short(source, split, facts, card(**changes))


def names(report):
    return [finding.name for finding in report.findings]


ABC = Split(("a",), ("b",), ("c",))


def test_sound_data_has_no_finding():
    source = Held({i: picture(n) for n, i in enumerate("abc")})
    report = check(source, ABC)
    assert report == DataReport(())
    assert report.summary() == "nothing found"
    report.raise_unless_allowed()


def test_a_group_in_two_splits_stops_unless_it_is_let_through():
    source = Held({i: picture(n) for n, i in enumerate("abc")}, groups={"a": "film", "c": "film"})
    report = check(source, ABC)
    (finding,) = report.findings
    assert (finding.name, finding.severity, finding.where) == ("group-in-two-splits", "error", "group film")
    assert finding.found == "1 in train (such as a), 1 in test (such as c)"
    with pytest.raises(DataError, match=r"data\.allow=\[group-in-two-splits\]") as caught:
        report.raise_unless_allowed()
    assert "group film" in str(caught.value)
    let = check(source, ABC, allow=["group-in-two-splits"])
    assert let.allowed == ("group-in-two-splits",)
    assert let.summary() == "1 allowed"
    assert let.allowed_findings == ("group-in-two-splits",)
    let.raise_unless_allowed()


def test_what_is_allowed_and_not_there_is_no_tag():
    source = Held({i: picture(n) for n, i in enumerate("abc")})
    assert check(source, ABC, allow=["group-in-two-splits"]).allowed == ()


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
        said = [looks_like(looks(rng, count), parts(rng, count)) for rng in map(np.random.default_rng, range(20))]
        assert [bool(rows) for rows in said] == [found] * 20


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


def masks_of(**values):
    """A source with three classes whose masks hold the classes given, a box for each."""
    samples = {}
    for n, (case_id, classes) in enumerate(values.items()):
        mask = np.zeros((32, 32), np.uint8)
        for k in classes:
            mask[8 * k : 8 * k + 8] = k
        samples[case_id] = picture(n, mask)
    return Held(samples, task=Task(2, 1, ("background", "left", "right")))


def test_a_class_in_validation_only_stops():
    report = check(masks_of(a=[1], b=[1, 2], c=[1]), ABC)
    (finding,) = report.findings
    assert (finding.name, finding.severity, finding.where) == ("class-not-in-training", "error", "class right")
    assert finding.found == "in no training mask, in 1 cases of val"
    (finding,) = check(masks_of(a=[1], b=[1, 2], c=[1]), ABC, limit_cases=1).findings
    assert finding.severity == "warning"


def test_a_class_that_a_split_or_all_of_them_lack_is_a_warning():
    (finding,) = check(masks_of(a=[1, 2], b=[1], c=[1]), ABC).findings
    assert (finding.name, finding.severity) == ("class-not-in-split", "warning")
    assert finding.found == "in no mask of val and test, in 1 cases of train"
    # What is told is what the scores do: see tests/numeric/test_metrics.py and tests/metrics/test_evaluation_scores.py.
    assert "this one counts in no val_dice or val_iou and this one has no test score but 0 for each" in finding.expected
    (finding,) = check(masks_of(a=[1], b=[1], c=[1]), ABC).findings
    assert finding.found == "in no mask of any split"


def _applied(remedy):
    """Changes of a card that a remedy of settings alone says."""
    return {key: yaml.safe_load(value) for key, value in re.findall(r"data\.(\w+)=(\S+)", remedy)}


@pytest.mark.parametrize("own", [False, True])
def test_the_remedy_for_a_class_that_a_split_lacks_is_a_split_that_has_it(own):
    """The third class is in six of sixteen cases: the seed that is told puts it into every part, or a fold does where
    the data set brings a split of its own, which no seed draws again."""
    ids = [f"c{n}" for n in range(16)]
    source = masks_of(**{i: [1, 2] if n < 6 else [1] for n, i in enumerate(ids)})
    split = Split(tuple(ids[6:]), tuple(ids[:3]), tuple(ids[3:6]))
    if own:
        source.split = {"train": split.train, "val": split.val, "test": split.test}
    settings = {"stratify": True} if not own else {}
    (finding,) = [f for f in check(source, split, **settings).findings if f.name == "class-not-in-training"]
    told = _applied(finding.remedy)
    assert set(told) == ({"fold", "split_seed"} if own else {"stratify", "split_seed"})
    better = split_for(source, card(**told), 42)
    assert {"class-not-in-training", "class-not-in-split"}.isdisjoint(names(check(source, better, **told)))


def test_a_class_of_a_single_case_does_not_spoil_the_remedy_of_another():
    ids = [f"c{n}" for n in range(16)]
    source = masks_of(**{i: [2] if n == 15 else [1] if n < 6 else [] for n, i in enumerate(ids)})
    split = Split(tuple(ids[6:]), tuple(ids[:3]), tuple(ids[3:6]))
    found = {f.where: f for f in check(source, split, stratify=True).findings if f.name.startswith("class-not-in")}
    told = _applied(found["class left"].remedy)
    assert set(told) == {"stratify", "split_seed"}
    better = split_for(source, card(**told), 42)
    assert {f.where for f in check(source, better, **told).findings if f.name.startswith("class-not-in")} == {
        "class right"
    }
    assert found["class right"].remedy.startswith("more cases with it: 1 are too few")


def test_where_no_split_can_have_a_class_everywhere_more_cases_are_asked_for():
    (finding,) = check(masks_of(a=[1], b=[1, 2], c=[1]), ABC).findings
    assert finding.remedy.startswith("more cases with it: 1 are too few")
    (finding,) = check(masks_of(a=[1], b=[1, 2], c=[1]), ABC, limit_cases=1).findings
    assert finding.remedy == "data.limit_cases=null takes all cases"


@pytest.mark.parametrize(
    ("settings", "seen", "changes"),
    [
        ({"size": [8, 8]}, "8×8", {"resize_mode": "patch"}),
        ({"size": [8, 8]}, "8×8", {"size": [32, 32]}),
        ({"size": [32, 32], "resize_mode": "patch", "spacing": [4.0, 4.0]}, "4×4 mm", {"spacing": [1.0, 1.0]}),
        ({"size": [8, 8], "spacing": [2.0, 2.0]}, "8×8 and 2×2 mm", {"spacing": [1.0, 1.0], "resize_mode": "patch"}),
    ],
)
def test_the_remedies_for_a_thin_class_keep_it(settings, seen, changes):
    mask = np.zeros((32, 32), np.uint8)
    mask[:, 9] = 1
    source = Held({i: picture(n, mask) for n, i in enumerate("abc")})
    (finding,) = check(source, ABC, **settings).findings
    assert f"at {seen} (data.resize_mode=" in finding.found
    for setting in changes:
        assert f"data.{setting}" in finding.remedy
    assert names(check(source, ABC, **{**settings, **changes})) == []


def test_what_is_let_through_stays_so_in_the_remedy():
    """And a remedy that would not help, because something else cannot pass, is not given."""
    rows = [
        Finding.of(name, "x", "y", "z", "w") for name in ("class-not-in-training", "other-modality", "size-mismatch")
    ]
    with pytest.raises(DataError, match=r"data\.allow=\[class-not-in-training,other-modality\]"):
        DataReport.of(rows[:2], ["class-not-in-training"]).raise_unless_allowed()
    DataReport.of(rows[:2], ["class-not-in-training", "other-modality"]).raise_unless_allowed()
    with pytest.raises(DataError) as caught:
        DataReport.of(rows, ["class-not-in-training"]).raise_unless_allowed()
    assert "data.allow" not in caught.value.remedy


def test_an_unscored_class_may_be_absent():
    task = Task(2, 1, ("road", "void"), unscored=(1,))
    samples = {i: picture(n, np.zeros((32, 32), np.uint8)) for n, i in enumerate("abc")}
    assert names(check(Held(samples, task=task), ABC)) == []


def test_empty_masks_are_counted_over_scored_classes():
    empty = np.zeros((32, 32), np.uint8)
    samples = {i: picture(n, empty if i in "bde" else None) for n, i in enumerate("abcde")}
    report = check(Held(samples), Split(("a", "b"), ("c",), ("d", "e")))
    assert [(f.name, f.severity, f.where) for f in report.findings] == [
        ("class-not-in-split", "warning", "class object"),
        ("empty-masks", "warning", "test"),
        ("empty-masks", "note", "train"),
    ]
    assert report.findings[2].found.startswith("1 of 2 masks (50%)")
    assert "such a case has Dice 0 if anything is found in it" in report.findings[1].expected
    roads = Task(2, 1, ("road", "car"), unscored=())
    assert "empty-masks" not in names(check(Held(samples, task=roads), Split(("a", "b"), ("c",), ("d", "e"))))


def test_validation_on_the_training_cases_is_no_leak():
    source = Held({i: picture(n) for n, i in enumerate("ab")})
    assert names(check(source, Split(("a", "b"), ("a", "b"), ("a", "b")), validate_on_train=True)) == []


def test_a_fold_over_a_predefined_split_is_noted():
    source = Held({i: picture(n) for n, i in enumerate("abc")}, split={"train": ["a"], "val": ["b"], "test": ["c"]})
    assert names(check(source, ABC)) == []
    (finding,) = check(source, ABC, fold=1).findings
    assert (finding.name, finding.severity) == ("own-split-unused", "note")


def test_volumes_of_different_spacing_without_a_target():
    task = Task(3, 1, ("background", "object"))
    mask = np.zeros((8, 8, 4), np.uint8)
    mask[2:6, 2:6, 1:3] = 1

    def volume(seed, z):
        image = np.random.default_rng(seed).normal(size=(8, 8, 4, 1)).astype(np.float32)
        return Sample(image, mask, (1.0, 1.0, z))

    source = Held({i: volume(n, 5.0 if i == "c" else 1.0) for n, i in enumerate("abc")}, task=task)
    pad = {"size": [8, 8, 4], "resize_mode": "pad"}
    (finding,) = check(source, ABC, **pad).findings
    assert (finding.name, finding.remedy) == ("mixed-spacing", "data.spacing=[1,1,1]")
    assert finding.found == "voxels from 1 × 1 × 1 to 1 × 1 × 5 mm"
    assert "mixed-spacing" not in names(check(source, ABC, **pad, spacing=[1.0, 1.0, 1.0]))


def test_another_modality_than_the_data_set_says_stops():
    source = Held({i: picture(n) for n, i in enumerate("abc")})
    for told, said in ((None, "mri"), ("ct", None), ("ct", "ct")):
        source.modality = told
        assert names(check(source, ABC, modality=said)) == []
    (finding,) = check(source, ABC, modality="mri").findings
    assert (finding.name, finding.severity, finding.found) == (
        "other-modality",
        "error",
        "mri, for a data set that says ct",
    )
    assert finding.remedy.startswith("data.modality=ct;")


def test_a_pole_of_one_pixel_does_not_survive_a_quarter_of_the_size():
    # A column of one pixel in 32: at 8 pixels a row each stands for the third of four, so column 10 stays, 9 is lost.
    samples = {}
    for n, i in enumerate("abc"):
        mask = np.zeros((32, 32), np.uint8)
        mask[:, 9] = 1
        samples[i] = picture(n, mask)
    (finding,) = check(Held(samples), ABC, size=[8, 8]).findings
    assert (finding.name, finding.where) == ("thin-class-lost", "class object")
    assert "at 8×8 (data.resize_mode=resize) 1 of its 1 parts vanish" in finding.found
    assert "Dice 0.00 (1 masks looked at)" in finding.found
    assert names(check(Held(samples), ABC, size=[8, 8], resize_mode="patch")) == []
    assert names(check(Held(samples), ABC, size=[32, 32])) == []


def test_what_comes_back_from_a_smaller_size_is_counted():
    # Rows 2 to 5 of 8, at half the size, are new rows 1 and 2, and come back as 2..5 exactly; of rows 1 to 4 new rows 0
    # and 2 hold half, which goes to the higher id of equally large classes: they come back as 0..5.
    even = np.zeros((8, 8), np.uint8)
    even[2:6] = 1
    counts = Shrunk(2, 255)
    counts.add(even, (4, 4))
    assert (counts.overlap[1], counts.before[1], counts.after[1]) == (32, 32, 32)
    odd = np.zeros((8, 8), np.uint8)
    odd[1:5] = 1
    counts = Shrunk(2, 255)
    counts.add(odd, (4, 4))
    assert (counts.overlap[1], counts.before[1], counts.after[1]) == (32, 32, 48)
    odd[5:] = 255
    counts.add(odd, (4, 4))
    assert counts.before[0] == 32 + 8
    assert (counts.parts[1], counts.lost[1], counts.masks) == (2, 0, 2)


def test_parts_of_a_volume_and_specks():
    mask = np.zeros((16, 16, 16), np.uint8)
    mask[0, 0, :] = 1  # sixteen voxels that lie between the voxels taken
    mask[9, 9, 9] = 1  # a speck, counted for nothing
    mask[4:12, 4:8, 4:8] = 1
    counts = Shrunk(2, 255)
    counts.add(mask, (8, 8, 8))
    assert (counts.parts[1], counts.lost[1]) == (2, 1)


@pytest.mark.parametrize(
    ("settings", "seen"),
    [
        ({"resize_mode": "resize", "size": [10, 20]}, (10, 20)),
        ({"resize_mode": "letterbox", "size": [64, 64]}, (32, 64)),
        ({"resize_mode": "pad", "size": [10, 20]}, (100, 200)),
        ({"resize_mode": "patch", "size": [10, 20], "spacing": [2.0, 4.0]}, (50, 50)),
    ],
)
def test_the_shape_that_the_model_sees(settings, seen):
    assert shape_seen(card(**settings), (100, 200), (1.0, 1.0)) == seen


def test_a_sample_is_spread_over_all_cases():
    ids = [str(n) for n in range(100)]
    assert evenly(ids, 3) == ["0", "50", "99"]
    assert evenly(ids[:2], 5) == ["0", "1"]
    assert evenly([], 5) == []


def opened(image, mask, rng, spacing=None):
    """An augmentation that wipes out every line of up to two pixels."""
    return image, cv2.erode(mask, np.ones((3, 3), np.uint8))


def kept(image, mask, rng, spacing=None):
    return image, np.flip(mask, 1)


@pytest.mark.parametrize("fit", ["resize", "letterbox", "pad", "patch"])
def test_a_line_that_an_augmentation_wipes_out_is_found(fit):
    line = np.zeros((32, 32), np.uint8)
    line[15:17] = 1
    source = Held({"a": picture(0, line), "b": picture(1, line)})
    settings = card(resize_mode=fit)
    (finding,) = find_lost_in_augmentation(source, source.cases, opened, settings, 0)
    assert (finding.name, finding.where) == ("class-lost-in-augmentation", "class object")
    assert "0.00% after (8 draws)" in finding.found
    assert not list(find_lost_in_augmentation(source, source.cases, kept, settings, 0))
    assert not list(find_lost_in_augmentation(source, source.cases, None, settings, 0))


def test_patches_are_drawn_where_the_class_is():
    mask = np.zeros((64, 64), np.uint8)
    mask[60:62, 60:62] = 1
    source = Held({"a": picture(0, mask, (64, 64))})
    settings = card(resize_mode="patch", size=[8, 8])
    assert list(find_lost_in_augmentation(source, source.cases, opened, settings, 0))
    assert not list(find_lost_in_augmentation(source, source.cases, kept, settings, 0))


def test_names_that_mean_nothing_or_cannot_pass_are_refused():
    check_names(["group-in-two-splits", "thin-class-lost"])
    with pytest.raises(ConfigError, match="did you mean 'group-in-two-splits'"):
        check_names(["group-in-two-split"])
    with pytest.raises(ConfigError, match=r"a finding that data\.allow cannot accept"):
        check_names(["unreadable-file"])
    with pytest.raises(ConfigError):
        check(Held({i: picture(n) for n, i in enumerate("abc")}), ABC, allow=["nonsense"])


def test_names_are_kebab_case_and_are_those_that_the_code_gives():
    assert all(re.fullmatch("[a-z]+(-[a-z]+)+", name) for name in KINDS)
    given, words = set(), set()
    for file in Path(findings.__file__).parents[2].rglob("*.py"):
        if file.name == "findings.py":
            continue
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Constant):
                words.add(node.value)
            if isinstance(node, ast.keyword) and node.arg == "finding" and isinstance(node.value, ast.Constant):
                given.add(node.value.value)
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "Finding.of":
                given.add(ast.literal_eval(node.args[0]))
    assert given <= set(KINDS) <= words
    assert len(given) > 15


def test_the_worst_comes_first_and_alike_rows_share_one():
    rows = [Finding.of("unreadable-file", f"{n}.png", "cut short", "a whole file", "copy it again") for n in range(9)]
    report = DataReport.of([Finding.of("own-split-unused", "data.fold", "x", "y", "z"), *rows])
    assert report.findings[0].name == "unreadable-file"
    assert report.findings[-1].name == "own-split-unused"
    assert report.summary() == "9 errors, 1 note"
    with pytest.raises(DataError) as caught:
        report.raise_unless_allowed()
    text = str(caught.value)
    assert "9 errors" in text
    assert text.count("cut short") == 1
    assert "4.png" in text
    assert "5.png" not in text
    assert "and 4 more" in text
    assert "data.allow" not in text


def test_rows_of_one_kind_with_different_values_say_each():
    rows = [Finding.of("undeclared-label", f"{n}.png", f"value {n}", "0 and 1", "declare it") for n in range(3)]
    with pytest.raises(DataError) as caught:
        DataReport.of(rows).raise_unless_allowed()
    assert all(f"{n}.png: value {n}" in str(caught.value) for n in range(3))
    assert str(caught.value).count("declare it") == 1


def test_an_error_of_a_source_becomes_a_row():
    error = DataError("a file cut short", where="a.png", found="12 bytes", remedy="copy it", finding="unreadable-file")
    finding = Finding.from_error(error)
    assert (finding.name, finding.where, finding.found) == ("unreadable-file", "a.png", "a file cut short: 12 bytes")
    assert Finding.from_error(DataError("odd")).name == "unusable-case"
    assert Finding.from_error(DataError("odd"), "no-split").name == "no-split"


def scaled(dtype, top, count, name):
    """Images of one type that reach from 0 to `top`."""
    held = {}
    for n in range(count):
        sample = picture(ord(name) * 10 + n)
        ramp = sample.image - sample.image.min()
        held[f"{name}{n}"] = Sample((ramp / ramp.max() * top).astype(dtype), sample.mask, sample.spacing)
    return held


@pytest.mark.parametrize(
    ("first", "second", "severity"),
    [
        ((np.uint8, 255), (np.float32, 1), "error"),
        ((np.uint8, 255), (np.uint16, 60000), "error"),
        ((np.uint16, 60000), (np.float32, 1), "error"),
        ((np.float32, 1), (np.float32, 255), "warning"),
        ((np.uint8, 255), (np.uint16, 255), None),
        ((np.uint8, 255), (np.float32, 255), None),
        ((np.uint16, 60000), (np.uint16, 300), None),
        ((np.float32, 3000), (np.float32, 20), None),
    ],
)
def test_images_on_two_scales_are_a_finding_unless_each_is_normalised_by_itself(first, second, severity):
    source = Held(scaled(*first, 3, "a") | scaled(*second, 3, "b"))
    split = Split(("a0", "a1", "b0", "b1"), ("a2",), ("b2",))
    found = [f for f in check(source, split, normalize="standard").findings if f.name == "mixed-pixel-scales"]
    assert [f.severity for f in found] == ([] if severity is None else [severity])
    for row in found:
        assert "3 images" in row.found
        assert row.remedy.startswith("data.normalize=zscore,")
        again = check(source, split, normalize="zscore").findings
        assert "mixed-pixel-scales" not in {f.name for f in again}
