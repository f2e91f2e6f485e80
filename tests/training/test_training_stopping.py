"""Best epoch, patience and plateau, worked by hand over short lists of scores."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seglab.errors import TrainingError
from seglab.schedules import PlateauSettings
from seglab.training.stopping import EarlyStopping, Improvement, Plateau, check_monitor, lower_is_better

NAN = math.nan


def run(stopping: EarlyStopping, scores: list[float]) -> tuple[int | None, int | None]:
    """Best epoch and the epoch after which training stops (None: never)."""
    for epoch, score in enumerate(scores, start=1):
        stopping.update(epoch, score)
        if stopping.stop:
            return stopping.best_epoch, epoch
    return stopping.best_epoch, None


@pytest.mark.parametrize(
    ("monitor", "patience", "min_delta", "scores", "best", "stops"),
    [
        # Rises until 3, then two epochs without improvement: stops after 5.
        ("val_dice", 2, 0.0, [0.1, 0.2, 0.5, 0.4, 0.3, 0.9], 3, 5),
        ("val_loss", 2, 0.0, [0.9, 0.5, 0.6, 0.7, 0.1], 2, 4),
        ("val_dice", None, 0.0, [0.5, 0.4, 0.3, 0.2, 0.6], 5, None),
        # Equal is no improvement, and the earlier of two equals stays the best.
        ("val_dice", 2, 0.0, [0.5, 0.5, 0.5, 0.9], 1, 3),
        # Creeping by 0.01 never exceeds the reference 0.50 by more than 0.05: patience ends after 3, yet 3 is the best.
        ("val_dice", 2, 0.05, [0.50, 0.51, 0.52, 0.9], 3, 3),
        # 0.56 exceeds 0.50 by more than 0.05 only in sum, which counts: the reference moves to epoch 3.
        ("val_dice", 2, 0.05, [0.50, 0.53, 0.56, 0.57, 0.58], 5, 5),
        # NaN says nothing: it is no improvement and uses up no patience. 0.15 and 0.1 are the two that do.
        ("val_dice", 2, 0.0, [NAN, 0.1, NAN, 0.2, NAN, NAN, NAN], 4, None),
        ("val_dice", 2, 0.0, [NAN, 0.2, NAN, 0.15, NAN, NAN, 0.1, 0.9], 2, 7),
        ("val_dice", 3, 0.0, [NAN, NAN, NAN, NAN, NAN], None, None),
        ("train_loss", 2, 0.0, [NAN, 3.0, 2.0, 2.5, NAN, 2.5], 3, 6),
        # A negative Dice-like score: the first one is the best so far whatever it is.
        ("val_dice", 1, 0.0, [-5.0, -6.0], 1, 2),
    ],
)
def test_best_epoch_and_end(
    monitor: str, patience: int | None, min_delta: float, scores: list[float], best: int | None, stops: int | None
) -> None:
    assert run(EarlyStopping(monitor, patience, min_delta), scores) == (best, stops)


@given(st.lists(st.floats(allow_infinity=False), min_size=1, max_size=12), st.integers(0, 11), st.integers(1, 4))
def test_a_restored_rule_goes_on_as_if_never_stopped(scores: list[float], cut: int, patience: int) -> None:
    straight, first = EarlyStopping("val_dice", patience, 0.01), EarlyStopping("val_dice", patience, 0.01)
    second = EarlyStopping("val_dice", patience, 0.01)
    for epoch, score in enumerate(scores, start=1):
        straight.update(epoch, score)
    for epoch, score in enumerate(scores[:cut], start=1):
        first.update(epoch, score)
    second.restore(json.loads(json.dumps(first.state())))
    for epoch, score in enumerate(scores[cut:], start=cut + 1):
        second.update(epoch, score)
    assert second.state() == straight.state()
    assert second.stop == straight.stop


def test_plateau_steps_down_and_stays_above_its_floor() -> None:
    # factor 0.5 after two epochs without gain, down to 0.2. Scores: gain, none, none -> 0.5, none, none -> 0.25,
    # gain, none, undefined, which says nothing, none -> max(0.125, 0.2) = 0.2, none, none -> 0.2.
    rule = Plateau("val_dice", PlateauSettings(factor=0.5, patience_epochs=2, min_scale=0.2), min_delta=0.0)
    scale, seen = 1.0, []
    for score in [0.5, 0.5, 0.4, 0.4, 0.5, 0.6, 0.6, NAN, 0.1, 0.1, 0.1]:
        scale = rule.update(score, scale)
        seen.append(scale)
    assert seen == [1.0, 1.0, 0.5, 0.5, 0.25, 0.25, 0.25, 0.25, 0.2, 0.2, 0.2]


def test_plateau_keeps_count_over_a_restart() -> None:
    settings = PlateauSettings(factor=0.5, patience_epochs=2, min_scale=0.0)
    first, second = Plateau("val_loss", settings, 0.0), Plateau("val_loss", settings, 0.0)
    assert [first.update(score, 1.0) for score in (1.0, 2.0)] == [1.0, 1.0]
    second.restore(json.loads(json.dumps(first.state())))
    assert second.update(2.0, 1.0) == 0.5


def test_waiting_starts_anew_with_each_improvement() -> None:
    rule = Improvement(lower=True, min_delta=0.0)
    assert [(rule.update(s), rule.wait) for s in (3.0, 4.0, 2.0, 2.0)] == [(True, 0), (False, 1), (True, 0), (False, 1)]


@pytest.mark.parametrize(
    ("monitor", "lower"),
    [("val_loss", True), ("train_loss", True), ("val_dice", False), ("val_iou/left loss of tissue", False)],
)
def test_direction_follows_from_the_name(monitor: str, lower: bool) -> None:
    assert lower_is_better(monitor) is lower


def test_an_unknown_monitor_names_the_known_ones() -> None:
    with pytest.raises(TrainingError, match="did you mean 'val_dice'") as caught:
        check_monitor("val_dize", ["val_loss", "val_dice"])
    assert "val_loss, val_dice" in str(caught.value)
    check_monitor("val_loss", ["val_loss", "val_dice"])
