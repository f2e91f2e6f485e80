"""What pages ask of the API, against a real application."""

from __future__ import annotations

import io

import numpy as np
import pytest
from app_data import HOSTILE, NAMES, SIZE, VALUES, image_of
from PIL import Image
from served import Running

from seglab.app.api_client import Client, Listing
from seglab.app.image_results import known, result_of_case
from seglab.app.setup import Setup
from seglab.app.viewer import unpacked
from seglab.serving.problems import Problem


def test_the_model_and_the_images(setup: Setup) -> None:
    model = setup.client.model()
    assert (model.name, model.values, model.task.rank, model.task.channels) == ("road", (7, 8, 11), 2, 3)
    assert model.task.class_names == ("ground", "red", "green")
    assert model.label.startswith("road+")
    assert setup.others["other"].model().name == "other"
    assert [row["id"] for row in setup.client.images().rows] == sorted(NAMES)
    assert setup.others["other"].images() == Listing([], "")


def test_a_prediction_is_the_mask_of_the_api(app: Running, setup: Setup) -> None:
    content = setup.client.image("a").body
    answer = app.client.post("/api/predict", content=content, headers={"Content-Type": "image/png"})
    stored = np.asarray(Image.open(io.BytesIO(answer.content)))
    found = setup.client.predict(content)
    np.testing.assert_array_equal(VALUES[found.ids], stored)
    assert found.ids.shape == SIZE
    assert found.confidence == float(answer.headers["x-mean-confidence"])
    assert 1 / 3 < found.confidence <= 1
    assert setup.client.predicted_png(content) == answer.content


def test_values_that_are_no_class_are_not_labelled(setup: Setup) -> None:
    model = setup.client.model()
    np.testing.assert_array_equal(model.ids_of(np.array([[7, 8, 11, 3, 255]])), [[0, 1, 2, 255, 255]])


def test_scores_are_those_of_the_masks(setup: Setup) -> None:
    client, model = setup.client, setup.client.model()
    found = result_of_case(client, model, "a", True)
    predicted, truth = (unpacked(text, SIZE) for text in (found.predicted, found.truth or ""))
    for number in range(3):
        both = np.sum((predicted == number) & (truth == number))
        each = np.sum(predicted == number) + np.sum(truth == number)
        assert found.scores.dice is not None
        assert found.scores.dice[number] == pytest.approx(2 * both / each)
        assert found.scores.shares[number] == pytest.approx(np.mean(predicted == number))
    quarter = image_of("a").argmax(axis=2)
    assert found.scores.mean_dice < 1
    assert np.mean(truth == quarter) == 0.75
    assert known(model, "a") is found.scores
    assert known(model, "b c") is None


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        (lambda client: client.image("nothing"), "image-unknown"),
        (lambda client: client.predict(b"text"), "image-format"),
        (lambda client: client.get("/nothing"), "not-found"),
        (lambda client: Client("127.0.0.1", 1).model(), "service-unreachable"),
    ],
)
def test_what_goes_wrong_is_a_problem(asked, code: str, setup: Setup) -> None:
    with pytest.raises(Problem) as found:
        asked(setup.client)
    assert found.value.code == code


def test_a_hostile_name_finds_its_image(setup: Setup) -> None:
    content = setup.client.image(HOSTILE).body
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(content))), image_of(HOSTILE))
