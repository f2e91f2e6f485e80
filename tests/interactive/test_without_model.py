"""A service and an application of prompts alone, with no model to serve."""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from app_data import image_of, write_data
from PIL import Image
from served import ORGAN, Running, served_folder
from torch_files import write_torch

from seglab.app.api_client import Client
from seglab.app.image_choice import image_rows
from seglab.app.setup import Setup, begin
from seglab.cli.serve import run
from seglab.errors import ConfigError
from seglab.monitoring.alerts import AlertLimits, alerts
from seglab.monitoring.row_summary import summarise
from seglab.monitoring.summary_page import as_text, document_of


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    place = tmp_path_factory.mktemp("alone")
    words = (*write_data(place / "data"), "interactive=true", f"rows={place / 'rows.db'}")
    with Running("accepted=accepted", *words, cwd=place) as running:
        running.place = place  # type: ignore[attr-defined]
        yield running


def logged(running: Running, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """The newest line of the log that is wanted, once it was read."""
    for _ in range(300):
        if lines := [line for line in running.lines() if wanted(line)]:
            return lines[-1]
        time.sleep(0.1)
    raise AssertionError(running.log)


def test_prompts_are_answered(alone: Running) -> None:
    begun = alone.client.post("/sessions?image=a")
    assert begun.status_code == 201
    assert (begun.json()["width"], begun.json()["model"]) == (64, "grabcut")
    where = begun.headers["location"]
    answer = alone.client.post(f"{where}/predict", json={"box": [8, 8, 40, 40]})
    assert np.asarray(Image.open(io.BytesIO(answer.content))).shape == (48, 64)
    assert "x-bundle" not in answer.headers
    assert alone.client.post(f"{where}/accept").status_code == 200
    assert len(list((alone.place / "accepted" / "images").iterdir())) == 1  # type: ignore[attr-defined]
    assert alone.client.get("/annotate").status_code == 200


@pytest.mark.parametrize("path", ["/classes", "/v2/models/road", "/v2/models/road/ready"])
def test_what_needs_a_model_says_how_to_give_one(alone: Running, path: str) -> None:
    answer = alone.client.get(path)
    assert (answer.status_code, answer.json()["code"]) == (404, "model-missing")
    assert "seglab serve <exported folder" in answer.json()["remedy"]


def test_no_image_is_predicted(alone: Running) -> None:
    content = {"content": b"x", "headers": {"Content-Type": "image/png"}}
    for path in ("/predict", "/v2/models/road/infer"):
        answer = alone.client.post(path, **content)  # type: ignore[arg-type]
        assert (answer.status_code, answer.json()["code"]) == (404, "model-missing")


def test_what_it_tells_of_itself(alone: Running) -> None:
    for path in ("/health", "/v2/health/ready"):
        answer = alone.client.get(path)
        assert answer.status_code == 200
        fields = answer.json()
        assert (fields["ready"], fields["model"], fields["bundle"], fields["version"]) == (True, None, None, None)
    page = alone.client.get("/")
    assert page.headers["content-type"].startswith("text/html")
    assert "No model is served here" in page.text
    metrics = alone.client.get("/metrics").text
    assert "seglab_ready 1.0" in metrics
    assert "seglab_model_info{" not in metrics
    assert alone.client.get("/v2").json()["name"] == "seglab"
    assert alone.client.get("/nothing").json()["code"] == "not-found"


def test_images_and_truths_of_data_are_shown(alone: Running) -> None:
    assert alone.client.get("/images").json()["count"] == 4
    assert (np.asarray(Image.open(io.BytesIO(alone.client.get("/images/a").content))) == image_of("a")).all()
    truth = Image.open(io.BytesIO(alone.client.get("/images/a/truth").content))
    assert set(np.unique(np.asarray(truth))) <= {7, 8, 11}


def test_rows_of_prompts_are_kept_and_none_of_predictions(alone: Running) -> None:
    where = alone.client.post("/sessions?image=ü").headers["location"]
    alone.client.post(f"{where}/predict", json={"box": [8, 8, 40, 40]})
    assert logged(alone, lambda line: "prompt" in line)["bundle"] == ""
    alone.client.post("/predict", content=b"x", headers={"Content-Type": "image/png"})
    place = str(alone.place / "rows.db")  # type: ignore[attr-defined]
    for _ in range(100):
        summary = summarise(place)
        if summary.prompts.prompts:
            break
        time.sleep(0.1)
    assert summary.prompts.prompts >= 1
    assert (summary.requests, summary.failures) == (0, 0)
    document = document_of(summary, alerts(summary, AlertLimits()), AlertLimits(), place)
    assert any("Prompts" in section.title for section in document.sections)
    assert document.lead.startswith("0 requests for a mask; no model yet; ")
    assert "Nothing is said: no model has answered yet." in as_text(document)
    assert "trained" not in as_text(document)


def test_an_application_of_prompts_alone(tmp_path: Path) -> None:
    data = write_data(tmp_path / "data")
    with Running("accepted=accepted", *data, verb="app", cwd=tmp_path) as running:
        assert running.client.get("/").headers["location"] == "/prompt"
        assert running.client.get("/prompt").status_code == 200
        assert running.client.get("/api/health").json()["model"] is None
        image_rows.clear()
        client = Client("127.0.0.1", running.port)
        begin(Setup(client, serves=False, interactive=True))
        from streamlit.testing.v1 import AppTest

        def page() -> None:
            from seglab.app.pages.prompt import show
            from seglab.app.setup import current

            show(current().client)

        shown = AppTest.from_function(page).run(timeout=30)
        assert not shown.exception
        assert next(iter(shown.selectbox)).options == [
            "<img src=x onerror=alert(1)> *b* $x$ :red[a] `c`",
            "a",
            "b c",
            "ü",
        ]


def test_the_page_of_prompts_takes_volumes(tmp_path: Path) -> None:
    from streamlit.testing.v1 import AppTest

    image_rows.clear()  # of the test before
    folder = served_folder(tmp_path / "organ", ORGAN, (16, 16, 16))
    with Running(folder, "interactive=true", cwd=tmp_path) as running:
        begin(Setup(Client("127.0.0.1", running.port, prefix=""), interactive=True))

        def page() -> None:
            from seglab.app.pages.prompt import show
            from seglab.app.setup import current

            show(current().client)

        shown = AppTest.from_function(page).run(timeout=60)
        assert not shown.exception
        assert any("image or volume" in one.value for one in shown.caption)


@pytest.mark.parametrize(
    ("words", "code", "where"),
    [
        ((), "missing-setting", "model"),
        (("interactive=true", "precision=int8", "canary=cases"), "settings-exclude", "precision, canary"),
        (("interactive=true", "data.root=somewhere"), "missing-setting", "data"),
    ],
)
def test_what_cannot_be_served_is_refused(words: tuple[str, ...], code: str, where: str) -> None:
    with pytest.raises(ConfigError) as caught:
        run(words)
    assert (caught.value.code, caught.value.where) == (code, where)


def test_a_log_line_holds_json(alone: Running) -> None:
    alone.client.get("/classes")
    assert logged(alone, lambda line: line.get("path") == "/classes")["code"] == "model-missing"


def test_a_checkpoint_that_was_cut_off_ends_the_start(tmp_path: Path) -> None:
    file = write_torch(tmp_path / "sam.pth", {"image_encoder.pos_embed": np.ones((1, 64, 64, 8), np.float32)})
    file.write_bytes(file.read_bytes()[:50_000])
    with pytest.raises(AssertionError) as caught:
        Running("interactive=true", "prompt_model=sam_vit_b", f"prompt_checkpoint={file}", cwd=tmp_path)
    message = str(caught.value)
    assert "sam.pth" in message
    assert "Traceback" not in message
    assert not (tmp_path / "accepted").exists()
