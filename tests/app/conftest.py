"""One application for all tests of the pages."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from app_data import write_data
from served import ROAD, Running, served_folder

from seglab.app.api_client import Client
from seglab.app.setup import Setup, begin


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """One model, and another that gives its classes away to the next."""
    place = tmp_path_factory.mktemp("models")
    return served_folder(place / "road", ROAD, (32, 40)), served_folder(place / "other", ROAD, (32, 40), turned=1)


@pytest.fixture(scope="session")
def data_words(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ...]:
    return write_data(tmp_path_factory.mktemp("app-data"))


@pytest.fixture(scope="session")
def app(
    models: tuple[Path, Path], data_words: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Running]:
    words = (*data_words, f"compare=[{models[1]}]", "interactive=false")
    with Running(models[0], *words, verb="app", cwd=tmp_path_factory.mktemp("app")) as running:
        yield running


@pytest.fixture
def setup(app: Running) -> Setup:
    """The pages of this process ask the application's API."""
    client = Client("127.0.0.1", app.port)
    made = Setup(client, others={"other": client.at("/also/other")}, ui="http://mlflow.test")
    begin(made)
    return made
