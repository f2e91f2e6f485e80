"""The gate on the data before a training: leaks, contents, thin classes, and what may be let through."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import numpy as np
import pytest
from checked_sets import ABC, Held, check, elsewhere, names, picture

from seglab.data.cases import Sample
from seglab.data.check import findings
from seglab.data.check.findings import KINDS, DataReport, Finding, check_names
from seglab.data.splits import Split
from seglab.errors import ConfigError, DataError
from seglab.task import Task

__all__ = ["elsewhere"]


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
    for modality, declared in ((None, "mri"), ("ct", None), ("ct", "ct")):
        source.modality = modality
        assert names(check(source, ABC, modality=declared)) == []
    (finding,) = check(source, ABC, modality="mri").findings
    assert (finding.name, finding.severity, finding.found) == (
        "other-modality",
        "error",
        "mri, for a data set that says ct",
    )
    assert finding.remedy.startswith("data.modality=ct;")


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
