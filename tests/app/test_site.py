"""The application as a process: addresses, keys, what it loads, and its end."""

from __future__ import annotations

import base64
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from served import CELLS, Running, served_folder

from seglab.cli.app import read_words, run
from seglab.errors import ConfigError

KEY = "a-key-of-this-test-0123456789"
HEAVY = ("tensorflow", "keras", "mlflow", "hydra", "matplotlib", "/torch/")


@pytest.fixture(scope="module")
def closed(models: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """An application that wants a key, behind a proxy's prefix."""
    place = tmp_path_factory.mktemp("closed")
    (place / "keys").write_text(KEY)
    words = (f"keys={place / 'keys'}", "root_path=/lab", "interactive=false", "requests_per_minute=30")
    with Running(models[0], *words, verb="app", cwd=place) as running:
        yield running


def test_pages_and_api_have_one_port(app: Running) -> None:
    start = app.client.get("/?image=a")
    assert (start.status_code, start.headers["location"]) == (307, "/images?image=a")
    for page in ("images", "compare", "runs"):
        answer = app.client.get(f"/{page}")
        assert answer.headers["content-type"].startswith("text/html")
        assert answer.status_code == 200
    assert app.client.get("/_stcore/health").text == "ok"
    assert app.client.get("/api/health").json()["model"] == "road"
    assert app.client.get("/also/other/health").json()["model"] == "other"
    assert "predict" in app.client.get("/api/docs").text
    assert app.client.get("/api/nothing").headers["content-type"] == "application/problem+json"


def test_where_it_is_and_how_to_come_there_is_printed(app: Running) -> None:
    lines = "".join(app.printed)
    assert f"the pages are at http://127.0.0.1:{app.port}/" in lines
    assert app.process.stdout is not None
    assert f"ssh -N -L {app.port}:127.0.0.1:{app.port} " in app.process.stdout.readline()


def test_nothing_heavy_is_loaded(app: Running) -> None:
    mapped = Path(f"/proc/{app.process.pid}/maps").read_text()
    assert not [name for name in HEAVY if name in mapped]


def test_without_its_key_nobody_is_let_in(closed: Running) -> None:
    for path in ("/images", "/_stcore/host-config", "/static/js/x.js"):
        answer = closed.client.get(path)
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"].startswith("Basic ")
    assert closed.client.get("/api/classes").headers["www-authenticate"] == "Bearer"
    assert closed.client.get("/api/health").status_code == 200
    assert closed.client.get("/images", auth=("", "another")).status_code == 401
    assert closed.client.get("/images", auth=("anyone", KEY)).status_code == 200
    assert closed.client.get("/api/classes", auth=("anyone", KEY)).status_code == 200
    assert closed.client.get("/api/classes", headers={"X-API-Key": KEY}).status_code == 200


def test_an_address_keeps_the_prefix_of_a_proxy(closed: Running) -> None:
    assert closed.client.get("/", auth=("", KEY)).status_code == 307
    assert closed.client.get("/", auth=("", KEY)).headers["location"] == "/lab/images"


def _upgrade(running: Running, *more: str) -> bytes:
    lines = [
        "GET /_stcore/stream HTTP/1.1", f"Host: 127.0.0.1:{running.port}", "Upgrade: websocket", "Connection: Upgrade",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Version: 13", *more, "", "",
    ]  # fmt: skip
    return "\r\n".join(lines).encode()


@pytest.mark.parametrize(("password", "status"), [(None, b"403"), ("wrong", b"403"), (KEY, b"101")])
def test_a_websocket_needs_the_key_too(password: str | None, status: bytes, closed: Running) -> None:
    key = f"Authorization: Basic {base64.b64encode(f':{password}'.encode()).decode()}"
    with closed.socket() as line:
        line.sendall(_upgrade(closed, *([key] if password else [])))
        assert line.recv(1000).split(b" ")[1] == status


def test_pages_do_not_count_as_requests_of_a_client(closed: Running) -> None:
    for _ in range(40):
        assert closed.client.get("/_stcore/health", auth=("", KEY)).status_code == 200
    asked = [closed.client.get("/api/classes", auth=("", KEY)).status_code for _ in range(31)]
    assert asked.count(429) >= 1


def test_a_body_is_bounded_on_every_page(app: Running) -> None:
    claimed = f"POST /_stcore/upload_file/a/b HTTP/1.1\r\nHost: x\r\nContent-Length: {2**40}\r\n\r\n"
    with app.socket() as line:
        line.sendall(claimed.encode())
        assert line.recv(1000).split(b" ")[1] == b"413"


def test_sigterm_ends_it_with_pages_open(models: tuple[Path, Path], tmp_path: Path) -> None:
    with Running(models[0], "interactive=false", verb="app", cwd=tmp_path) as running, running.socket() as line:
        line.sendall(_upgrade(running))
        assert b"101" in line.recv(1000)
        running.process.send_signal(signal.SIGTERM)
        assert running.process.wait(20) == 0


def test_models_of_other_classes_do_not_stand_side_by_side(models: tuple[Path, Path], tmp_path: Path) -> None:
    cells = served_folder(tmp_path / "cells", CELLS, (32, 32))
    with pytest.raises(ConfigError) as found:
        run([str(models[0]), f"compare=[{cells}]", "port=0", "interactive=false"])
    assert found.value.code == "compare-classes"


def test_a_port_that_is_taken_is_reported_before_anything_is_loaded() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(ConfigError) as found:
        run(["nowhere", f"port={taken.getsockname()[1]}"])
    assert found.value.code == "serve-address"


def test_its_words_are_those_of_the_service_and_more() -> None:
    words = read_words(["model=dist/roadseg", "compare=[a,b]", "data=cityscapes", "data.root=/x"])
    assert (words.port, words.compare, words.data) == (8511, ("a", "b"), ("data=cityscapes", "data.root=/x"))
    assert words.interactive
