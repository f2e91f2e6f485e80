"""`seglab monitor`: what it reads off rows, when it raises an alarm, and whom it tells."""

from __future__ import annotations

import json
import math
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from watched_rows import DIGEST, answered, as_written_by, canary_row, written
from webhooks import listening

from seglab.errors import DataError
from seglab.monitoring.alerts import AlertLimits, alerts
from seglab.monitoring.canary_history import former_scores
from seglab.monitoring.database import opened
from seglab.monitoring.row_summary import summarise
from seglab.monitoring.schema import TABLES, insertion
from seglab.monitoring.summary_page import as_text, document_of


def test_a_quiet_service_has_no_alert(tmp_path: Path) -> None:
    rows = [answered(number, seconds=number / 100) for number in range(200)]
    found = summarise(written(tmp_path / "rows.db", rows))
    assert alerts(found, AlertLimits()) == ()
    assert found.requests == 200
    assert found.seconds == pytest.approx(np.quantile(np.arange(200) / 100, (0.5, 0.95, 0.99)))
    assert found.drift.units == 200
    assert sum(span.answered for span in found.spans) == 200
    assert {span.quality for span in found.spans} == {0.8}
    assert found.model is not None
    assert not found.model.quality.usable  # type: ignore[union-attr]


def test_each_thing_that_goes_wrong_is_an_alert(tmp_path: Path) -> None:
    dark = [
        answered(number, image=json.dumps({"mean": 70.0 + number % 9, "sharpness": 50.0}), seconds=6.0)
        for number in range(150)
    ]
    unsure = [{**row, "soft_dice": 0.5, "implausible": "empty,area"} for row in dark]
    failed = [answered(number, status=503, code="service-busy", image=None) for number in range(150, 160)]
    runs = [canary_row(fallen=1), canary_row(failed="no such file"), canary_row(failed="no such file")]
    place = written(tmp_path / "rows.db", [*unsure, *failed], canary=runs)
    found = alerts(summarise(place), AlertLimits())
    assert [one.rule for one in found] == [
        *("failures", "latency", "canary", "canary-failed", "quality", "drift"),
        *("implausible", "implausible"),
    ]
    assert found[3].message == "The canary could not be predicted the last 2 times: no such file"
    assert "brightness, mean" in found[5].message


def test_a_canary_that_works_again_is_no_alert(tmp_path: Path) -> None:
    runs = [canary_row(failed="killed"), canary_row()]
    found = summarise(written(tmp_path / "rows.db", [answered(1)], canary=runs))
    assert [one.failed for one in found.canary] == ["killed", ""]
    assert alerts(found, AlertLimits()) == ()


@pytest.mark.parametrize("version", [1, 2, 3])
def test_rows_of_a_former_version_are_read_and_migrated_when_they_are_written(version: int, tmp_path: Path) -> None:
    place = written(tmp_path / "rows.db", [answered(1)], canary=[canary_row(fallen=1)])
    before = as_written_by(version, place)
    found = summarise(place)
    assert [one.fallen for one in found.canary] == [True]
    assert found.model is not None
    assert found.model.class_names == ("ground", "<b>road</b>")
    assert former_scores(place, "s", DIGEST) == (None if version == 1 else ())
    assert Path(place).read_bytes() == before  # whoever reads changes nothing
    database = opened(place, write=True)
    database.write([(insertion("predictions"), [answered(2, agreement=0.9)])])
    assert database.ask("SELECT agreement FROM predictions ORDER BY id") == [(None,), (0.9,)]
    assert len(database.ask("SELECT description FROM models")) == 1
    database.close()
    after = summarise(place)
    assert (after.requests, after.model) == (2, found.model)


def test_a_canary_is_held_against_the_model_before_it(tmp_path: Path) -> None:
    """A, A, B, and one time that failed: B answers for A's last, A again for B's, and a model alone for its first."""
    runs = [
        canary_row(digest="a", case_dice="[0.8, null]"),
        canary_row(digest="a", case_dice="[0.7, null]"),
        canary_row(digest="x", case_dice="[]", failed="killed"),
        canary_row(digest="b", case_dice="[0.6, 0.5]"),
        canary_row(digest="b", case_dice="[0.1, 0.1]", subject="another set"),
    ]
    place = written(tmp_path / "rows.db", [], canary=runs)
    assert former_scores(place, "s", "b") == pytest.approx((0.7, math.nan), nan_ok=True)
    assert former_scores(place, "s", "a") == former_scores(place, "s", "c") == (0.6, 0.5)
    assert former_scores(place, "another set", "b") == (0.1, 0.1)
    assert former_scores(place, "a third", "b") is None


def test_agreement_over_flips_is_reported_where_it_was_asked_for(tmp_path: Path) -> None:
    rows = [answered(number, agreement=None if number < 100 else number / 200) for number in range(200)]
    place = written(tmp_path / "rows.db", rows)
    found = summarise(place, window=51)
    assert found.agreements == tuple(number / 200 for number in range(199, 148, -1))
    output = as_text(document_of(found, [], AlertLimits(), place))
    assert "Agreement over flips of the newest 51 masks: mean 0.870, a tenth is at most 0.770." in output
    (tmp_path / "other").mkdir()
    none = summarise(written(tmp_path / "other" / "rows.db", [answered(1)]))
    assert "Agreement" not in as_text(document_of(none, [], AlertLimits(), place))


def test_a_model_that_finds_nothing_any_more_is_worse(tmp_path: Path) -> None:
    rows = [answered(number, soft_dice=None, quality=None, implausible="empty") for number in range(150)]
    found = summarise(written(tmp_path / "rows.db", rows))
    assert found.drift.worse
    assert {"quality", "implausible"} <= {one.rule for one in alerts(found, AlertLimits())}


def test_an_image_that_is_sent_again_counts_once(tmp_path: Path) -> None:
    rows = [answered(number % 30) for number in range(300)]
    assert summarise(written(tmp_path / "rows.db", rows)).drift.reason == "30 units are too few: 100 are wanted"


def test_units_are_counted_where_clients_name_them(tmp_path: Path) -> None:
    rows = [answered(number, unit=f"scene {number // 10}") for number in range(3000)]
    found = summarise(written(tmp_path / "rows.db", rows), window=150)
    assert found.drift.units == 150
    assert not found.drift.worse


def test_a_time_is_looked_back_from_now(tmp_path: Path) -> None:
    rows = [answered(number, at=time.time() - 3600 * number) for number in range(48)]
    place = written(tmp_path / "rows.db", rows)
    assert summarise(place, hours=12.5).requests == 13
    assert summarise(place).requests == 48


def monitor(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "seglab", "monitor", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_the_command_prints_writes_tells_and_leaves_with_one(tmp_path: Path) -> None:
    prompt = dict.fromkeys(TABLES["prompts"]) | {"at": 1.0, "request": "p", "event": "corrected", "model": "grabcut"}
    prompt |= {"seconds": 0.2, "verdict": "", "code": "", "empty": 0}
    rows = [answered(number, status=500, code="internal") for number in range(20)]
    place = written(tmp_path / "rows.db", [*rows, answered(21)], prompts=[prompt])
    page = tmp_path / "new" / "monitor.html"
    with listening() as (url, took):
        done = monitor(f"rows={place}", f"page={page}", "alert=true", f"webhook={url}")
    assert done.returncode == 1, done.stderr
    assert "The service fails 95.2% of 21 requests, more than 1.0%." in done.stdout
    assert "corrected" in done.stdout
    assert "not usable here" in done.stdout
    assert "s3cretsecret" not in done.stdout + done.stderr
    (alert,) = took
    assert [one["rule"] for one in alert["alerts"]] == ["failures"]
    html = page.read_text()
    assert "<b>road</b>" not in html
    assert "The service fails" in html
    assert "http://" not in html
    assert monitor(f"rows={place}", "page=").returncode == 0


def test_rows_that_are_not_there_are_reported(tmp_path: Path) -> None:
    done = monitor(f"rows={tmp_path / 'none.db'}")
    assert done.returncode == 2
    assert "no rows of a service here" in done.stderr


@pytest.mark.parametrize("content", [b"a text, and no database of anybody", b"", "another", "broken"])
def test_rows_that_cannot_be_read_are_reported(tmp_path: Path, content: bytes | str) -> None:
    place = tmp_path / "rows.db"
    if isinstance(content, bytes):
        place.write_bytes(content)
    elif content == "another":
        with sqlite3.connect(place) as other:
            other.execute("CREATE TABLE birds (name TEXT)")
    else:
        written(place, [answered(0, shares="[0.5,")])
    with pytest.raises(DataError) as caught:
        summarise(str(place))
    assert (caught.value.code, caught.value.where) == ("rows-unreadable", str(place))


def test_a_database_that_does_not_answer_is_reported_without_its_password() -> None:
    with pytest.raises(DataError) as caught:
        summarise("sqlite://me:s3cretsecret@/no/such/folder/rows.db")
    assert caught.value.code == "rows-unreadable"
    assert "s3cretsecret" not in str(caught.value)


@pytest.mark.slow
def test_a_million_rows_are_summarised_in_two_seconds(tmp_path: Path) -> None:
    """Of processor time; on an idle machine that is how long it takes."""
    import scipy.stats  # noqa: F401  # is loaded once, and no work on rows

    few = [answered(number) for number in range(1000)]
    rows = [{**few[number % 1000], "at": 1.8e9 + number, "input": f"{number:064x}"} for number in range(1_000_000)]
    place = written(tmp_path / "rows.db", rows)
    del rows
    began = time.process_time()
    found = summarise(place)
    took = time.process_time() - began
    assert found.requests == 1_000_000
    assert took <= 2, took
