"""Boxes that are drawn from cases: around a rare class, from anywhere, each case with its own."""

from __future__ import annotations

import numpy as np
import pytest
from data_cards import data_config
from toy_batches import CaseStore, _batches, _epoch, material

from seglab.data.preprocessing.case_preprocessing import MOST_PLACES


def _speck(shape, *places):
    mask = np.zeros(shape, np.uint8)
    for class_id, place in places:
        mask[place] = class_id
    return mask


@pytest.mark.parametrize(("shape", "size"), [((200, 200), [16, 16]), ((40, 200, 6), [16, 16, 8])])
def test_foreground_share_of_boxes_hold_a_rare_class(shape, size):
    mask = _speck(shape, (1, (30, 150, 5)[: len(shape)]))
    rates = []
    for share in (0.0, 0.5, 1.0):
        card = data_config(size=size, foreground_share=share, patches_per_case=200, batch_size=200)
        _, y = _batches(material(CaseStore([mask])), "train", card, seed=0)[0]
        rates.append((y == 1).reshape(200, -1).any(axis=1).mean())
    # At random a box of 16² of 200² holds the speck in 16² / 185² = 0.7% of the draws, one of 40 × 200 in
    # 10 / 25 × 16 / 185 = 3.5%.
    assert rates[0] < 0.1
    assert rates[1] == pytest.approx(0.5, abs=0.12)
    assert rates[2] == 1.0


def test_the_speck_lies_anywhere_in_the_box_and_classes_take_turns():
    mask = _speck((100, 100), (1, (50, 50)), (2, (slice(0, 20), slice(0, 20))))
    card = data_config(foreground_share=1.0, patches_per_case=400, batch_size=400)
    _, y = _batches(material(CaseStore([mask])), "train", card, seed=0)[0]
    with_speck = (y == 1).any(axis=(1, 2))
    # One pixel of class 1 against 400 of class 2, and still every second box.
    assert with_speck.mean() == pytest.approx(0.5, abs=0.1)
    rows = np.argwhere(y == 1)[:, 1]
    assert rows.min() == 0
    assert rows.max() == 15
    assert abs(rows.mean() - 7.5) < 1


def test_places_to_draw_around_are_bounded_and_without_foreground_any_box_will_do():
    masks = [np.ones((150, 150), np.uint8), np.zeros((30, 30), np.uint8), np.full((30, 30), 255, np.uint8)]
    batches = _batches(material(CaseStore(masks)), "train", data_config(foreground_share=1.0), seed=0)
    _, y = batches[0]
    assert y.shape == (3, 16, 16)
    assert batches.sampler.arrays.outlines["case0"].places == (0, 7500, 0)  # every third of 22,500
    places = batches.sampler.arrays.places("case0", 1)
    assert np.array_equal(places, np.arange(0, 22_500, 3))
    assert len(places) <= MOST_PLACES


def test_every_start_of_a_box_is_drawn():
    mask = np.arange(18 * 18, dtype=np.int64).reshape(18, 18) % 3
    card = data_config(patches_per_case=300, batch_size=300)
    source = CaseStore([mask.astype(np.uint8)])
    source._masks["case0"] = _speck((18, 18), (1, (8, 9)))
    _, y = _batches(material(source), "train", card, seed=0)[0]
    # The speck at (8, 9) shows where each box started: 0, 1 and 2 along both axes.
    starts = {(8 - row, 9 - column) for _, row, column in np.argwhere(y == 1)}
    assert starts == {(a, b) for a in range(3) for b in range(3)}


def test_cases_epochs_and_draws_each_have_their_own_box():
    masks = [np.arange(90 * 90, dtype=np.int64).reshape(90, 90) % 251 % 3 for _ in range(2)]
    source = CaseStore([mask.astype(np.uint8) for mask in masks])
    batches = _batches(material(source), "train", data_config(patches_per_case=2), seed=0)
    boxes = {y.tobytes() for epoch in range(2) for y in _epoch(batches, epoch)[0][1]}
    assert len(boxes) == 2 * 2 * 2
