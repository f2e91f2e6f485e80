"""Rows in a real PostgreSQL, which several services share and which goes away. Needs its server and a driver here."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from postgres_server import Postgres, needs_postgres
from served import ROAD, Running, served_folder
from test_monitor import monitor
from test_rows import scene
from watched_rows import answered, written

from seglab.monitoring.database import opened
from seglab.monitoring.row_summary import summarise

pytestmark = [pytest.mark.slow, needs_postgres]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return served_folder(tmp_path_factory.mktemp("watched") / "road", ROAD, (32, 40))


@pytest.fixture
def server() -> Iterator[Postgres]:
    with Postgres() as server:
        yield server


def until(seen: Callable[[], bool], seconds: float = 90) -> None:
    end = time.monotonic() + seconds
    while not seen():
        assert time.monotonic() < end
        time.sleep(0.1)


def requests(address: str) -> set[str]:
    database = opened(address)
    found = {row[0] for row in database.ask("SELECT request FROM predictions")}
    database.close()
    return found


def test_eight_that_begin_at_once_make_the_tables_once(server: Postgres) -> None:
    code = "import sys; from seglab.monitoring.database import opened; opened(sys.argv[1], write=True).close()"
    begun = [subprocess.Popen([sys.executable, "-c", code, server.address]) for _ in range(8)]
    assert [one.wait(120) for one in begun] == [0] * 8
    database = opened(server.address)
    assert database.ask("SELECT count(*) FROM monitoring_schema") == [(1,)]
    database.close()


def test_it_tells_what_a_file_tells(server: Postgres, tmp_path: Path) -> None:
    rows = [answered(number, seconds=number / 100) for number in range(200)]
    prompt = {"at": 1.8e9, "request": "p", "event": "prompt", "model": "m", "score": 0.5, "seconds": 0.25, "boxes": 0}
    prompt |= {"box_share": None, "empty": 0, "verdict": "", "code": ""}
    prompts = [{**prompt, "points": points} for points in (1, 2)]
    places = [written(place, rows, prompts=prompts) for place in (str(tmp_path / "rows.db"), server.address)]
    file, shared = (summarise(place) for place in places)
    assert shared == file
    assert shared.drift.units == 200
    assert sum(span.answered for span in shared.spans) == 200
    done = monitor(f"rows={server.address}", "page=")
    assert done.returncode == 0, done.stderr
    assert "secret" not in done.stdout


def test_two_services_write_one_database(folder: Path, server: Postgres) -> None:
    rows = f"rows={server.address}"
    with Running(folder, rows) as one, Running(folder, rows) as other:
        for number in range(10):
            for name, running in (("one", one), ("other", other)):
                headers = {"X-Request-ID": f"{name}-{number}", "Content-Type": "image/png"}
                assert running.client.post("/predict", content=scene(), headers=headers).status_code == 200
        until(lambda: one.count("seglab_rows_written_total") + other.count("seglab_rows_written_total") == 22)
        assert one.count("seglab_rows_lost_total") == other.count("seglab_rows_lost_total") == 0
    assert requests(server.address) == {f"{name}-{number}" for name in ("one", "other") for number in range(10)}


def test_a_database_that_goes_away_and_comes_back_fails_no_request(folder: Path, server: Postgres) -> None:
    with Running(folder, f"rows={server.address}") as running:

        def send(name: str) -> None:
            headers = {"X-Request-ID": name, "Content-Type": "image/png"}
            assert running.client.post("/predict", content=scene(), headers=headers).status_code == 200

        send("before")
        until(lambda: running.count("seglab_rows_written_total") == 2)  # the model's too
        server.stop()
        for number in range(5):
            send(f"without-{number}")
        until(lambda: running.count("seglab_rows_lost_total") == 5)
        server.start()
        sent = 0

        def written_again() -> bool:
            nonlocal sent
            sent += 1
            send(f"after-{sent}")
            time.sleep(1)
            return running.count("seglab_rows_written_total") > 2

        until(written_again)
        until(lambda: running.count("seglab_rows_written_total") + running.count("seglab_rows_lost_total") == 7 + sent)
        kept = running.count("seglab_rows_written_total")
    found = requests(server.address)
    assert len(found) == kept - 1
    assert found >= {"before", f"after-{sent}"}
    assert not any(name.startswith("without") for name in found)
    events = [line for line in running.lines() if line.get("event") == "rows-unwritten"]
    assert events
    assert "secret" not in str(events)
