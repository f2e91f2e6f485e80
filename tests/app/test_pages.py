"""Each page as Streamlit runs it, against a real application."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from app_data import HOSTILE, NAMES
from streamlit.testing.v1 import AppTest

from seglab.app import image_choice, image_results, stored_runs
from seglab.app import setup as setups
from seglab.app.api_client import Client
from seglab.app.navigation import listed
from seglab.app.plain_text import plain
from seglab.app.setup import Setup
from seglab.metric_names import TEST_DICE, VAL_DICE
from seglab.monitoring.writer import RowWriter

IDS = sorted(NAMES)


def images() -> None:
    from seglab.app.pages.images import show
    from seglab.app.setup import current

    show(current().client)


def compare() -> None:
    from seglab.app.pages.compare import show
    from seglab.app.setup import current

    show(current().client)


def runs() -> None:
    from seglab.app.pages.runs import show
    from seglab.app.setup import current

    show(current().client)


def monitor() -> None:
    from seglab.app.pages.monitor import show
    from seglab.app.setup import current

    show(current().client)


def page(script: Callable[[], None], **query: str) -> AppTest:
    made = AppTest.from_function(script, default_timeout=60)
    for name, value in query.items():
        made.query_params[name] = value
    made.run()
    assert not made.exception
    return made


def viewed(at: AppTest) -> dict[str, Any]:
    """What the viewer was given."""
    return json.loads(next(one.proto.json for one in at.main if one.type == "bidi_component"))


@pytest.fixture(autouse=True)
def _of_the_application(setup: Setup) -> None:
    image_choice.image_rows.clear()
    image_results.forget()


def test_the_first_image_is_shown_with_its_masks_and_scores() -> None:
    at = page(images)
    assert at.subheader[0].value == plain(IDS[0])
    assert at.query_params["image"] == IDS[0]
    shown = viewed(at)
    assert [pane["kind"] for pane in shown["panes"]] == ["picture", "mask", "mask", "errors"]
    assert shown["size"] == [48, 64]
    assert [row["cells"][0] for row in shown["table"]["rows"]] == ["ground", "red", "green"]
    assert sum(row["cells"][2] for row in shown["table"]["rows"]) == pytest.approx(1)


def test_an_address_names_its_image_and_buttons_go_on_from_there() -> None:
    at = page(images, image="b c")
    assert at.subheader[0].value == plain("b c")
    at.button(key="image-behind").click().run()
    assert at.subheader[0].value == plain("ü")
    assert at.query_params["image"] == "ü"
    at.button(key="image-behind").click().run()
    assert at.subheader[0].value == plain(IDS[0])
    at.button(key="image-before").click().run()
    assert at.query_params["image"] == "ü"


def test_an_unknown_image_is_reported_as_text() -> None:
    at = page(images, image="<b>*none*</b>")
    assert "There is no image" in at.warning[0].value
    assert plain("<b>*none*</b>") in at.warning[0].value
    assert at.query_params["image"] == IDS[0]


@pytest.mark.slow
def test_search_and_scores_choose_among_the_images() -> None:
    at = page(images)
    at.text_input(key="image-search").set_value("B C").run()
    assert at.subheader[0].value == plain("b c")
    at.text_input(key="image-search").set_value("nowhere").run()
    assert "No image matches" in at.info[0].value
    at.text_input(key="image-search").set_value("").run()
    at.button(key="image-score").click().run()
    at.selectbox(key="image-order").select("lowest Dice first").run()
    model = setups.current().client.model()
    dice = {id: image_results.known(model, id).mean_dice for id in IDS}
    by_dice = [f"{id} · {dice[id]:.3f}" for id in sorted(IDS, key=dice.__getitem__)]
    assert at.selectbox(key="image-list").options == by_dice


def test_models_side_by_side() -> None:
    shown = viewed(page(compare, image="a"))
    assert [pane["kind"] for pane in shown["panes"]] == ["swipe", "disagreement", "mask", "mask", "mask"]
    assert [layer["name"] for layer in shown["layers"]] == ["road", "other", "true"]
    agreement = [row["cells"][-1] for row in shown["table"]["rows"]]
    assert max(agreement) < 1  # the other model gives every class away


def test_one_model_alone_is_reported() -> None:
    setups.begin(Setup(setups.current().client))
    assert "One model is here" in page(compare).info[0].value


def test_without_data_a_sentence_stands_in_their_place() -> None:
    client: Client = setups.current().others["other"]
    setups.begin(Setup(client))
    assert "There are no images" in page(images).info[0].value


def test_hostile_names_are_shown_letter_by_letter() -> None:
    at = page(images, image=HOSTILE)
    assert at.subheader[0].value == plain(HOSTILE)
    assert plain("<b> *c* :red[d] $e$") == r"\<b\> \*c\* \:red\[d\] \$e\$"


def test_pages_without_anything_to_show_are_not_listed() -> None:
    paths = [row.path for row in listed(setups.current())]
    assert paths[:2] == ["images", "compare"]
    assert "runs" not in paths
    assert "prompt" not in paths


RUN = {
    "id": "0" * 32, "name": "UNet", "state": "running", "study": "", "sweep": "", "data": "Synthetic2D", "seed": "1",
    "started": 0, "seconds": None, "seconds_left": 125.0, VAL_DICE: 0.5, TEST_DICE: None, "reason": "",
}  # fmt: skip


def test_runs_are_reported_with_their_time_left() -> None:
    def answer_of(asked: dict[str, Any]) -> dict[str, Any]:
        if asked["do"] == "runs":
            return {"runs": [RUN, {**RUN, "id": "1" * 32, "state": "cut off"}], "left_out": 0, "sweeps": []}
        return {"curves": {run: {name: [[1, 0.5], [2, 0.25]] for name in asked["metrics"]} for run in asked["runs"]}}

    setups.begin(Setup(setups.current().client, ui="http://mlflow.test", runs=answer_of))
    stored_runs.read.clear()
    at = page(runs, run="0" * 32)
    table = at.dataframe[0].value
    assert list(table["State"]) == ["▶ running", "cut off"]
    assert list(table["Time left"]) == ["2 min 05 s", ""]
    assert table["MLflow"][0] == f"http://mlflow.test/#/runs/{'0' * 32}"
    assert at.multiselect(key="runs-chosen").value == ["0" * 32]


def test_what_was_answered_is_reported_from_the_rows(setup: Setup, tmp_path: Path) -> None:
    opened = str(tmp_path / "rows.db")
    writer = RowWriter(opened, lambda count, why: None, lambda count: None)
    texts = dict.fromkeys(("request", "kind", "model", "version", "digest", "code", "implausible"), "")
    for number in range(30):
        when, status = time.time() - 60 + number, 200 if number else 503
        writer.add("predictions", {**texts, "at": when, "status": status, "seconds": 0.25})
    writer.close()
    setups.begin(replace(setup, rows=opened))
    assert "monitor" in [row.path for row in listed(setups.current())]
    at = page(monitor, hours="1")
    assert {one.label: one.value for one in at.metric} == {
        "Requests": "30", "Failed": "1", "95% within": "0.25 s", "Prompts": "0",
    }  # fmt: skip
    assert at.query_params["hours"] == "1"


def test_how_prompts_are_used_is_reported_from_the_rows(setup: Setup, tmp_path: Path) -> None:
    opened = str(tmp_path / "rows.db")
    writer = RowWriter(opened, lambda count, why: None, lambda count: None)
    texts = dict.fromkeys(("request", "code"), "") | {"model": "grabcut", "seconds": 0.1, "verdict": "accepted"}
    for number in range(30):
        asked = {"event": "prompt", "score": number / 30, "points": 1 + number // 10, "empty": 0}
        writer.add("prompts", {**texts, "at": time.time() - 60 + number, **asked})
    writer.add("prompts", {**texts, "at": time.time(), "event": "corrected", "steps": 3})
    writer.close()
    setups.begin(replace(setup, rows=opened))
    at = page(monitor, hours="1")
    assert {one.label: one.value for one in at.metric}["Prompts"] == "30"
    output = " ".join(str(one.value) for one in at.markdown).replace("\\", "")
    assert "An accepted mask took 3.0 prompts on average (1 in all): 2.0 corrections." in output
    assert "number of points: +0.9" in output
    kinds, over_time = at.dataframe[-2].value, at.dataframe[-1].value
    assert set(kinds["what"]) == {"prompt", "corrected"}
    assert len(over_time) == 12
    assert over_time["p50"].astype(float).is_monotonic_increasing
