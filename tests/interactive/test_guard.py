"""A click changes the mask where it is about, in the way that it asks for, and nowhere else."""

from __future__ import annotations

import numpy as np
import pytest

from seglab.interactive.click_guard import best_guarded, guarded
from seglab.interactive.prompt import Prompt
from seglab.interactive.prompt_models import Candidates

SHAPE = (40, 60)


def logits(*boxes: tuple[int, int, int, int]) -> np.ndarray:
    """Above 0 in boxes `x0 y0 x1 y1`."""
    found = np.full(SHAPE, -3, np.float32)
    for x0, y0, x1, y1 in boxes:
        found[y0:y1, x0:x1] = 3
    return found


BEFORE = logits((10, 10, 30, 30))


def test_an_answer_that_only_does_what_was_asked_is_accepted() -> None:
    answer = logits((10, 10, 30, 30), (30, 15, 36, 25))
    result, verdict = guarded(Prompt.of(SHAPE, [[20, 20], [33, 20]], [1, 1]), BEFORE, answer)
    assert (verdict.action, verdict.undone) == ("accepted", 0)
    assert ((result > 0) == (answer > 0)).all()


def test_a_click_on_the_object_takes_nothing_away_and_adds_nothing_far_off() -> None:
    answer = logits((14, 10, 30, 30), (30, 15, 36, 25), (50, 0, 60, 8))
    result, verdict = guarded(Prompt.of(SHAPE, [[20, 20], [33, 20]], [1, 1]), BEFORE, answer)
    assert ((result > 0) == (logits((10, 10, 30, 30), (30, 15, 36, 25)) > 0)).all()
    assert (verdict.action, verdict.undone) == ("limited", 4 * 20 + 10 * 8)


def test_a_click_beside_the_object_adds_nothing() -> None:
    answer = logits((10, 10, 27, 30), (40, 10, 50, 30))
    result, verdict = guarded(Prompt.of(SHAPE, [[20, 20], [28, 20]], [1, 0]), BEFORE, answer)
    assert (result > 0)[:, 30:].sum() == 0
    assert not (result > 0)[20, 28]
    assert (result > 0)[10:30, 10:26].all()
    assert verdict.action == "limited"


def test_a_click_that_is_not_obeyed_is_drawn_in() -> None:
    result, verdict = guarded(Prompt.of(SHAPE, [[20, 20], [40, 20]], [1, 1]), BEFORE, BEFORE.copy())
    assert verdict.action == "repaired"
    there = result > 0
    assert there[20, 40]
    assert (there & ~(BEFORE > 0)).sum() < 50
    assert there[10:30, 10:30].all()


def test_the_first_answer_is_repaired_at_the_clicks_alone() -> None:
    result, verdict = guarded(Prompt.of(SHAPE, [[20, 20], [5, 5]], [1, 0]), None, logits((0, 0, 15, 15)))
    assert verdict.action == "repaired"
    assert (result > 0)[20, 20]
    assert not (result > 0)[5, 5]
    assert (result > 0)[:3, :3].all()


def test_a_click_that_asks_for_nothing_keeps_the_mask() -> None:
    result, verdict = guarded(Prompt.of(SHAPE, [[20, 20], [50, 5]], [1, 0]), BEFORE, logits((0, 0, 60, 40)))
    assert (verdict.action, verdict.undone) == ("kept", 40 * 60 - 400)
    assert (result == BEFORE).all()


def test_a_drawn_click_is_not_drawn_over_another_beside_it() -> None:
    result, _ = guarded(Prompt.of(SHAPE, [[40, 20], [41, 20]], [1, 0]), BEFORE, logits())
    assert (result > 0)[20, 40]
    assert not (result > 0)[20, 41]


def test_a_click_at_the_rim_takes_its_own_pixel_alone() -> None:
    """Its border is half a pixel away, so no neighbour is in reach."""
    result, verdict = guarded(Prompt.of(SHAPE, [[20, 20], [29, 20]], [1, 0]), BEFORE, logits((10, 10, 27, 30)))
    assert ((BEFORE > 0) & ~(result > 0)).sum() == 1
    assert not (result > 0)[20, 29]
    assert (verdict.action, verdict.undone) == ("limited", 3 * 20 - 1)


def test_of_several_answers_none_blows_the_mask_up() -> None:
    """A click may add four times the mask of 100 pixels: one answer adds 600, one 60, one 20."""
    before = logits((10, 10, 20, 20))
    added = [(20, 10, 50, 30), (20, 12, 50, 14), (20, 12, 41, 13)]
    answers = np.stack([np.maximum(before, logits(one)) for one in added])
    prompt = Prompt.of(SHAPE, [[15, 15], [40, 12]], [1, 1])
    for scores, chosen in (((0.9, 0.8, 0.1), 1), ((0.9, 0.1, 0.8), 2), ((0.1, 0.9, 0.8), 1)):
        index, result, verdict = best_guarded(prompt, before, Candidates(answers, np.float32(scores)))
        assert (index, verdict.action) == (chosen, "accepted")
        assert ((result > 0) == (answers[chosen] > 0)).all()


def test_where_every_answer_blows_the_mask_up_the_smallest_one_is_taken() -> None:
    before = logits((10, 10, 12, 12))
    answers = np.stack([np.maximum(before, logits((12, 10, right, 30))) for right in (50, 40, 45)])
    prompt = Prompt.of(SHAPE, [[11, 11], [30, 20]], [1, 1])
    assert best_guarded(prompt, before, Candidates(answers, np.float32([0.9, 0.2, 0.5])))[0] == 1
    assert best_guarded(prompt, None, Candidates(answers, np.float32([0.9, 0.2, 0.5])))[0] == 0
    assert best_guarded(prompt, logits(), Candidates(answers, np.float32([0.9, 0.2, 0.5])))[0] == 0


@pytest.mark.parametrize("seed", range(20))
def test_whatever_a_model_answers(seed: int) -> None:
    """Every click is obeyed; only clicks of the right kind change what was there; a guarded answer is left alone."""
    rng = np.random.default_rng(seed)
    before, answer = (rng.normal(size=SHAPE).astype(np.float32) for _ in range(2))
    points = rng.permutation(np.stack(np.meshgrid(np.arange(60), np.arange(40)), -1).reshape(-1, 2))[:6]
    prompt = Prompt.of(SHAPE, points, rng.permutation([0, 0, 0, 1, 1, 1]))
    result, _ = guarded(prompt, before, answer)
    there, was = result > 0, before > 0
    assert (there[prompt.pixels] == (prompt.labels == 1)).all()
    asked = was[prompt.pixels] != (prompt.labels == 1)
    if not (asked & (prompt.labels == 1)).any():
        assert not (there & ~was).any()
    if not (asked & (prompt.labels == 0)).any():
        assert not (was & ~there).any()
    again, verdict = guarded(prompt, result, result)
    assert (again == result).all()
    assert verdict.action == "kept"


def test_a_volume_is_guarded_alike() -> None:
    before = np.full((12, 12, 12), -1, np.float32)
    before[2:6, 2:6, 2:6] = 1
    answer = before.copy()
    answer[6:8, 2:6, 2:6] = 1
    answer[10:, 10:, 10:] = 1
    result, verdict = guarded(Prompt.of(before.shape, [[3, 3, 3], [7, 3, 3]], [1, 1]), before, answer)
    assert (result > 0)[7, 3, 3]
    assert not (result > 0)[10:].any()
    assert verdict.action == "limited"
