"""Images in the order of what models said of them, filtered by it and by their split."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from app_data import NAMES, SIZE
from page_script import page
from streamlit.testing.v1 import AppTest

from seglab.app import image_choice, image_results, viewer
from seglab.app import setup as setups
from seglab.app.api_client import Client, Listing
from seglab.app.keeping import LruCache
from seglab.app.viewer import unpacked
from seglab.safety.shown_text import shortened

IDS = sorted(NAMES)


@pytest.fixture(autouse=True)
def _of_the_application(setup: setups.Setup) -> None:
    image_choice.image_rows.clear()
    image_results.forget()


@pytest.fixture
def scored() -> AppTest:
    at = page("images")
    at.button(key="image-score").click().run()
    assert not at.exception
    return at


def masks(id: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What the first model, the other and the truth say."""
    client = setups.current().client
    other = setups.current().others["other"]
    first = image_results.result_of_case(client, client.model(), id, True)
    second = image_results.result_of_case(other, other.model(), id, True, client)
    return tuple(unpacked(text, SIZE) for text in (first.predicted, second.predicted, first.truth or ""))  # type: ignore[return-value]


def ordered(at: AppTest, order: str) -> list[str]:
    at.selectbox(key="image-order").select(order).run()
    assert not at.exception
    return list(at.selectbox(key="image-list").options)


@pytest.mark.slow
def test_images_on_which_models_differ_come_first(scored: AppTest) -> None:
    differ = {id: float((masks(id)[0] != masks(id)[1]).mean()) for id in IDS}
    expected = sorted(IDS, key=differ.__getitem__, reverse=True)
    assert ordered(scored, "models differ most") == [f"{id} · {differ[id]:.3f}" for id in expected]
    assert differ[expected[0]] > differ[expected[-1]]


def test_images_with_most_wrong_pixels_come_first_and_a_range_filters(scored: AppTest) -> None:
    wrong = {id: float((masks(id)[0] != masks(id)[2]).mean()) for id in IDS}
    expected = sorted(IDS, key=wrong.__getitem__, reverse=True)
    assert ordered(scored, "prediction and truth differ most") == [f"{id} · {wrong[id]:.3f}" for id in expected]
    low = float(np.ceil(wrong[expected[1]] * 100) / 100)
    scored.slider(key="image-range").set_value((low, 1.0)).run()
    assert len(scored.selectbox(key="image-list").options) == sum(value >= low for value in wrong.values())


@pytest.mark.slow
def test_an_order_that_no_image_has_is_not_offered(scored: AppTest) -> None:
    orders = scored.selectbox(key="image-order").options
    assert "lowest predicted Dice first" not in orders  # the model of these tests tells none
    assert orders[0] == "as in the data"


@pytest.mark.slow
def test_predicted_dice_is_that_of_the_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = Client.predict
    found = iter((0.9, 0.25, 0.5, 0.75))
    monkeypatch.setattr(Client, "predict", lambda self, content: replace(asked(self, content), quality=next(found)))
    setups.begin(replace(setups.current(), others={}))
    at = page("images")  # the first image is seen
    at.button(key="image-score").click().run()
    scores = dict(zip(IDS, (0.9, 0.25, 0.5, 0.75), strict=True))
    expected = [f"{id} · {scores[id]:.3f}" for id in sorted(IDS, key=scores.__getitem__)]
    assert ordered(at, "lowest predicted Dice first") == expected


def test_the_split_filters_and_stands_with_the_image(monkeypatch: pytest.MonkeyPatch) -> None:
    splits = dict(zip(IDS, ("train", "train", "val", "test"), strict=True))
    rows = [{"id": id, "truth": True, "split": split} for id, split in splits.items()]
    monkeypatch.setattr(Client, "images", lambda self: Listing(rows, "training"))
    at = page("images")
    choice = at.selectbox(key="image-split")
    assert choice.label == "Split of the training"
    assert choice.options == ["all (4)", "train (2)", "val (1)", "test (1)"]
    choice.select("val").run()
    assert at.selectbox(key="image-list").options == [IDS[2]]
    assert at.caption[0].value.startswith("split val")


def test_a_stored_split_is_asked_of_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, object]] = []

    def runs(errand: dict[str, object]) -> dict[str, object]:
        asked.append(errand)
        return {"split": {"train": IDS[:3], "val": [], "test": IDS[3:]}}

    rows = [{"id": id, "truth": True} for id in IDS]
    model = replace(setups.current().client.model(), run="r" * 32)
    monkeypatch.setattr(Client, "images", lambda self: Listing(rows, "stored"))
    monkeypatch.setattr(Client, "model", lambda self: model)
    setups.begin(replace(setups.current(), runs=runs))
    found = image_choice.image_rows(setups.current().client)
    assert [row["split"] for row in found.rows] == ["train", "train", "train", "test"]
    assert found.split_of == "training"
    assert asked == [{"do": "split", "run": "r" * 32}]


def test_a_large_image_is_drawn_in_every_fourth_pixel() -> None:
    ids = np.random.default_rng(0).integers(0, 5, (8000, 40), np.uint8)
    assert viewer.step_of(ids.shape) == 4
    drawn = unpacked(viewer.drawn(viewer.packed(ids), ids.shape), (2000, 10))
    np.testing.assert_array_equal(drawn, ids[::4, ::4])
    assert viewer.step_of((2048, 1024)) == 1
    assert viewer.step_of((2049, 1)) == 2


def test_what_is_kept_stays_within_its_bound() -> None:
    kept: LruCache[int, bytes] = LruCache(100, len)
    for number in range(50):
        kept.put(number, bytes(30))
        assert kept.get(0) is not None or number >= 1  # asked for each time, so it stays
        assert kept.held <= 100
    assert kept.get(0) is not None
    assert kept.get(1) is None
    kept.put(0, bytes(101))  # too large to be kept, and the former one is not true any more
    assert kept.get(0) is None
    kept.put(49, bytes(10))
    assert kept.held == sum(len(kept.get(number) or b"") for number in range(50))


def test_a_long_name_keeps_both_its_ends() -> None:
    assert shortened("a" * 48) == "a" * 48
    found = shortened("first" + "m" * 110 + "last!")
    assert (len(found), found[:5], found[-5:]) == (48, "first", "last!")
    assert found.count("…") == 1
