"""A real Chromium, and one application for all journeys; skipped where no Chromium is installed."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from app_data import write_data
from served import ROAD, Running, served_folder

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--use-angle=swiftshader", "--enable-unsafe-swiftshader",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-first-run",
]  # fmt: skip


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    if CHROMIUM is None:
        pytest.skip("no Chromium is installed (Debian: apt install chromium fonts-dejavu-core)")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, headless=True, args=FLAGS)
        yield started
        started.close()


@pytest.fixture(scope="session")
def road_models(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """One model, and another that gives its classes away to the next."""
    place = tmp_path_factory.mktemp("models")
    return served_folder(place / "road", ROAD, (64, 80)), served_folder(place / "other", ROAD, (64, 80), turned=1)


@pytest.fixture(scope="session")
def app(road_models: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """With data of hostile names, a second model and prompts."""
    place = tmp_path_factory.mktemp("journeys")
    words = write_data(place / "data")
    with Running(road_models[0], *words, f"compare=[{road_models[1]}]", verb="app", cwd=place) as running:
        yield running


class Requests(list[str]):
    """Addresses that a page asked for elsewhere than at this machine."""


@pytest.fixture
def elsewhere() -> Requests:
    return Requests()


@pytest.fixture
def page(browser: Any, app: Running, elsewhere: Requests) -> Iterator[Any]:
    """A page of a fresh browser profile. Asks nobody else: that is seen to after each journey."""
    context = browser.new_context(base_url=app.address, viewport={"width": 1280, "height": 900}, accept_downloads=True)
    made = context.new_page()
    faults: list[str] = []
    own = ("data:", "blob:", app.address, app.address.replace("http", "ws"))
    made.on("request", lambda one: None if one.url.startswith(own) else elsewhere.append(one.url))
    made.on("websocket", lambda one: None if one.url.startswith(own) else elsewhere.append(one.url))
    made.on("pageerror", lambda error: faults.append(str(error)))
    made.on("dialog", lambda dialog: (faults.append(f"dialog {dialog.message}"), dialog.dismiss()))
    yield made
    context.close()
    assert not elsewhere, "a page asked for something from elsewhere"
    assert not faults
