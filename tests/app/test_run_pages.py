"""The pages of runs and studies, of a real store that a real process reads."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from app_data import HOSTILE
from page_script import page
from shown_runs import LONG, RUNNING, STUDY, write_runs

from seglab.app import stored_runs
from seglab.app.pages import study as study_page
from seglab.app.plain_text import plain
from seglab.app.reading_runs import ReadingRuns
from seglab.app.setup import Setup, begin
from seglab.run_record import RUNS

OVERVIEW = "seglab.sweeping.overview"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_runs(tmp_path_factory.mktemp("store") / RUNS)


@pytest.fixture(scope="module")
def reading(store: Path) -> Iterator[ReadingRuns]:
    made = ReadingRuns(OVERVIEW, store, None)
    yield made
    made.close()


@pytest.fixture
def shown(setup: Setup, reading: ReadingRuns) -> Callable[..., Setup]:
    """Begin the pages with these runs."""
    stored_runs.read.clear()
    study_page._compared.clear()
    begin(replace(setup, runs=reading.ask))
    return begin


@pytest.mark.slow
def test_a_store_that_is_not_there_is_reported_in_a_sentence(setup: Setup, tmp_path: Path) -> None:
    stored_runs.read.clear()
    none = ReadingRuns(OVERVIEW, tmp_path / "nowhere", None)
    begin(replace(setup, runs=none.ask))
    for name in ("runs", "study"):
        at = page(name)
        assert not at.error
        assert "The first training makes it: `seglab train`" in at.info[0].value
        assert "nowhere" in at.info[0].value
    assert not (tmp_path / "nowhere").exists()
    none.close()


def test_runs_and_sweeps_of_a_store(shown: object) -> None:
    at = page("runs")
    sweeps, runs = (one.value for one in at.dataframe)
    assert sweeps.loc[0, ["Study", "Done", "Failed", "Left", "Launcher"]].tolist() == [
        STUDY, "6 of 8", 1, 1, "ended",
    ]  # fmt: skip
    assert len(runs) == 8
    row = runs[runs["Run"] == RUNNING].iloc[0]
    assert row["State"] == "▶ running"
    assert row["Time left"] == "1 min 00 s"  # six epochs more of ten seconds
    assert runs["Why it ended"].str.contains(HOSTILE, regex=False).sum() == 1
    best = runs[runs["Run"].str.startswith("UNet")]["Test Dice"]
    assert best.mean() == pytest.approx(0.8, abs=0.05)


def test_curves_are_of_the_runs_that_were_chosen(shown: object) -> None:
    at = page("runs")
    ids = [option for option in at.multiselect(key="runs-chosen").options if LONG[:20] in option]
    at.multiselect(key="runs-chosen").select(ids[0]).run()
    assert not at.exception
    assert len(at.query_params["run"]) == 32
    chart = at.main.children
    assert any(one.type == "arrow_vega_lite_chart" for one in at.main) or chart


def test_a_study_is_ranked_as_the_comparison_does(shown: object) -> None:
    at = page("study", study=STUDY)
    assert at.subheader[0].value == plain(f"Comparison: {STUDY}")
    table = at.dataframe[0].value
    assert "UNet" in table.iloc[0, 0]
    assert table.shape[0] == 2
    assert at.code[0].value.startswith("seglab compare 'study=grid ")
    at.selectbox(key="study-name").select("other").run()
    assert "No finished run to compare" in at.info[0].value
    assert not at.exception
    assert not at.error


def test_the_split_of_a_run_is_read_from_its_store(reading: ReadingRuns, store: Path) -> None:
    from seglab.tracking.store import open_store

    opened = open_store(None, store)
    run = next(run for run in opened.all_runs() if run.info.run_name == RUNNING)
    opened.client.log_text(run.info.run_id, '{"train": ["a", "b"], "val": ["c"], "test": ["d"]}', "config/split.json")
    fields = reading.ask({"do": "split", "run": run.info.run_id})
    assert fields == {"split": {"train": ["a", "b"], "val": ["c"], "test": ["d"]}}
