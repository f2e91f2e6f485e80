"""Which params make a variant."""

from __future__ import annotations

import pytest

from seglab.comparison.variants import what_counts

BEFORE = {"model.width": "8", "trainer.epochs": "2", "data.size": "[16, 16]"}


@pytest.mark.parametrize(
    ("setting", "default", "other"),
    [
        ("trainer.fit_memory", "false", "true"),
        ("trainer.keep", "best", "last"),
        ("trainer.xla", "false", "auto"),
        ("data.regions", "null", "{'whole': [1, 2]}"),
        ("data.regions_class_order", "null", "[1, 2]"),
    ],
)
def test_a_run_of_before_a_setting_was_there_is_one_with_its_default(setting: str, default: str, other: str) -> None:
    assert what_counts({**BEFORE, setting: default}) == what_counts(BEFORE) == BEFORE
    assert what_counts({**BEFORE, setting: other}) == {**BEFORE, setting: other}
