"""Who is told of alerts: the address that was given, and nobody keeps the command waiting."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import pytest
from webhooks import listening

from seglab.errors import ConfigError, DataError
from seglab.monitoring.alerts import Alert
from seglab.monitoring.webhook import SECONDS, check_webhook, tell

ALERTS = [Alert("drift", "x")]


@pytest.mark.parametrize(
    "url", ["http://[::1", "http://a:99999/x", "http://a/b c", "http://a/\n", "http://ä/", "http:///x"]
)
def test_a_webhook_that_is_no_address_is_refused_before_the_rows_are_read(url: str) -> None:
    with pytest.raises(ConfigError, match="no address of HTTP"):
        check_webhook(url)


def test_a_webhook_that_speaks_no_http_is_reported() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def babble() -> None:
            with server.accept()[0] as line:
                line.recv(65_536)
                line.sendall(b"220 mail.example ESMTP\r\n")

        thread = threading.Thread(target=babble)
        thread.start()
        with pytest.raises(DataError) as caught:
            tell(f"http://127.0.0.1:{server.getsockname()[1]}/hook", "rows.db", ALERTS)
        thread.join()
    assert caught.value.code == "webhook-failed"


def test_a_webhook_that_fails_is_reported_without_its_secret() -> None:
    with listening(500) as (url, took):
        with pytest.raises(Exception, match="webhook") as caught:
            tell(url, "rows.db", ALERTS)
        assert "s3cretsecret" not in str(caught.value)
        assert len(took) == 1
    with pytest.raises(ConfigError, match="no address of HTTP"):
        check_webhook("file:///etc/passwd")


@contextmanager
def server(speak: Callable[[socket.socket], None]) -> Iterator[str]:
    """One connection whose server speaks so."""
    with socket.create_server(("127.0.0.1", 0)) as port:

        def answer() -> None:
            with port.accept()[0] as line, suppress(OSError):
                line.recv(65_536)
                speak(line)

        thread = threading.Thread(target=answer)
        thread.start()
        yield f"http://127.0.0.1:{port.getsockname()[1]}/hook"
        thread.join()


def test_where_it_sends_on_to_nobody_is_reported() -> None:
    with listening() as (elsewhere, took):

        def send_on(line: socket.socket) -> None:
            line.sendall(f"HTTP/1.1 302 Found\r\nLocation: {elsewhere}\r\nContent-Length: 0\r\n\r\n".encode())

        with server(send_on) as url, pytest.raises(DataError, match="302"):
            tell(url, "rows.db", ALERTS)
        assert took == []


@pytest.mark.parametrize("beginning", [b"", b"HTTP/1.1 200 OK\r\nX-Slow: "], ids=["status", "headers"])
def test_a_server_that_drips_ends_with_the_time(beginning: bytes) -> None:
    """A byte each 50 ms: no wait of the socket is ever long."""
    over = threading.Event()

    def drip(line: socket.socket) -> None:
        line.sendall(beginning)
        while not over.wait(0.05):
            line.sendall(b"H")

    with server(drip) as url:
        began = time.monotonic()
        with pytest.raises(DataError, match=r"no answer after 0\.5 s"):
            tell(url, "rows.db", ALERTS, seconds=0.5)
        assert time.monotonic() - began < 3
        over.set()
    assert SECONDS == 10


def test_an_endless_body_is_not_read() -> None:
    over = threading.Event()

    def pour(line: socket.socket) -> None:
        line.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        while not over.is_set():
            line.sendall(bytes(65_536))

    with server(pour) as url:
        tell(url, "rows.db", ALERTS)
        over.set()
