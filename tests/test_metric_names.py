"""The name of a class in the name of a metric: one for each class, the same for whoever writes it and looks it up."""

from __future__ import annotations

import pytest
from mlflow.utils.validation import _validate_metric_name

from seglab.comparison.case_tables import CaseTable, column_of
from seglab.errors import ConfigError
from seglab.metric_names import (
    Column,
    MetricName,
    check_class_names,
    epoch_metric,
    evaluated_metric,
    metric_name,
    of_class,
)


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
    ("names", "message"),
    [
        (("none", "<5mm", ">5mm"), "'over 5mm'"),
        (("a", "size +", "size -", "size ?"), "'size _ 2'"),
        (("é", "e\u0301"), "'é 2'"),
        (("a//b", "a/./b"), "'a/_/b 2'"),
    ],
)
def test_classes_whose_metrics_would_be_one_are_refused_with_names_that_work(
    names: tuple[str, ...], message: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        check_class_names(names)
    assert message in str(caught.value)
    other, found = message.strip("'"), str(caught.value.found)
    check_class_names([other if f"and '{name}'" in found else name for name in names])


def test_classes_of_any_script_have_metrics_of_their_own() -> None:
    check_class_names(("фон", "печень", "сердце", "肝臓", "心臓"))


def test_a_column_is_found_by_the_class_and_as_the_store_spells_it() -> None:
    table = CaseTable([], [], {"dice/<5mm": None, "dice/печень": None})  # type: ignore[dict-item]
    assert column_of(table, "dice/<5mm") == column_of(table, "dice/_5mm") == "dice/<5mm"
    assert column_of(table, "dice/печень") == "dice/печень"
    assert column_of(table, "dice/other") == "dice/other"


@pytest.mark.parametrize(
    ("text", "stage", "score", "of", "evaluated"),
    [
        ("val_dice", "val", "dice", None, ""),
        ("test_volume_error_abs/left lung", "test", "volume_error_abs", "left lung", ""),
        ("train_loss", "train", "loss", None, ""),
        ("test_dice/a/b", "test", "dice", "a/b", ""),
        ("test_dice/", "test", "dice", "", ""),
        ("eval_test_dice/eval_x", "eval", "dice", "eval_x", "test"),
        ("eval_my_data-val_nsd_1mm/a", "eval", "nsd_1mm", "a", "my_data-val"),
        ("learning_rate", "", "learning_rate", None, ""),
        ("eval_dice", "", "eval_dice", None, ""),
        ("test_", "", "test_", None, ""),
        ("", "", "", None, ""),
    ],
)
def test_a_name_is_taken_apart_and_put_together_again(
    text: str, stage: str, score: str, of: str | None, evaluated: str
) -> None:
    name = MetricName.parse(text)
    assert (name.stage, name.column, name.evaluated) == (stage, Column(score, of), evaluated)
    assert str(name) == text


def test_scores_of_an_evaluation_are_found_again() -> None:
    assert evaluated_metric("other-test", of_class("dice", "a/b")) == "eval_other-test_dice/a/b"
    assert MetricName.parse("eval_other-test_dice/a/b").column == Column("dice", "a/b")
    assert epoch_metric("eval_other-test_dice/a/b") == "val_dice/a/b"
    assert MetricName.parse("val_loss").lower_is_better
    assert not MetricName.parse("val_dice/loss").lower_is_better
