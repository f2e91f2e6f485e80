"""The name of a class in the name of a metric: one for each class, the same for whoever writes it and looks it up."""

from __future__ import annotations

import pytest
from mlflow.utils.validation import _validate_metric_name

from seglab.comparison.case_tables import CaseTable, column_of
from seglab.errors import ConfigError
from seglab.metric_names import check_class_names, metric_name


@pytest.mark.parametrize(
    ("name", "stored"),
    [
        ("val_dice/печень", "val_dice/печень"),
        ("val_dice/Äpfel (1)", "val_dice/Äpfel _1_"),
        ("val_dice/e\u0301", "val_dice/é"),
        ("a-b_c.d:e f", "a-b_c.d:e f"),
        ("dice/<5mm", "dice/_5mm"),
        ("dice/a//b/../c/", "dice/a/_/b/_/c/_"),
        ("dice/", "dice/_"),
        ("dice/😀\n", "dice/__"),
    ],
)
def test_metric_names_become_what_mlflow_takes(name: str, stored: str) -> None:
    assert metric_name(name) == stored
    assert metric_name(stored) == stored  # whoever asks by the stored name finds it
    _validate_metric_name(stored)


def test_long_names_stay_apart() -> None:
    names = [metric_name(f"dice/{'x' * 300}{end}") for end in "ab"]
    assert len(set(names)) == 2
    for name in names:
        _validate_metric_name(name)


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (("none", "<5mm", ">5mm"), "'over 5mm'"),
        (("a", "size +", "size -", "size ?"), "'size _ 2'"),
        (("é", "e\u0301"), "'é 2'"),
        (("a//b", "a/./b"), "'a/_/b 2'"),
    ],
)
def test_classes_whose_metrics_would_be_one_are_refused_with_names_that_work(names: tuple[str, ...], said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        check_class_names(names)
    assert said in str(caught.value)
    other, found = said.strip("'"), str(caught.value.found)
    check_class_names([other if f"and '{name}'" in found else name for name in names])


def test_classes_of_any_script_have_metrics_of_their_own() -> None:
    check_class_names(("фон", "печень", "сердце", "肝臓", "心臓"))


def test_a_column_is_found_by_the_class_and_as_the_store_spells_it() -> None:
    table = CaseTable([], [], {"dice/<5mm": None, "dice/печень": None})  # type: ignore[dict-item]
    assert column_of(table, "dice/<5mm") == column_of(table, "dice/_5mm") == "dice/<5mm"
    assert column_of(table, "dice/печень") == "dice/печень"
    assert column_of(table, "dice/other") == "dice/other"
