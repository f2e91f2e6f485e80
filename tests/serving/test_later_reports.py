"""Failures of other services, beside the thirty of docs/serve.md: each is tried on a real one of ours."""

from __future__ import annotations

import fcntl
import io
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image
from served import Running
from service_processes import SLOW, SMALL, head

IMAGE = np.asarray(Image.open(io.BytesIO(SMALL)))


def tensor() -> Any:
    import tritonclient.http as triton

    given = triton.InferInput("image", list(IMAGE.shape), "UINT8")
    given.set_data_from_numpy(IMAGE)
    return given


def test_a_client_of_triton_reads_what_was_wrong(road_service: Running) -> None:
    """triton-inference-server/client#865: it reads `error`, and of anything else tells that it could not be read."""
    import tritonclient.http as triton

    client = triton.InferenceServerClient(f"127.0.0.1:{road_service.port}")
    with pytest.raises(triton.InferenceServerException) as refused:
        client.get_model_metadata("other")
    assert refused.value.message() == "no such model: found: other; expected: road"
    wrong = triton.InferInput("picture", list(IMAGE.shape), "UINT8")
    wrong.set_data_from_numpy(IMAGE)
    with pytest.raises(triton.InferenceServerException, match="input picture of UINT8; expected image"):
        client.infer("road", [wrong])
    client.close()


def test_a_version_of_the_model_can_be_asked_for(road_service: Running) -> None:
    """triton-inference-server/server#2563: clients put it into the address."""
    import tritonclient.http as triton

    client = triton.InferenceServerClient(f"127.0.0.1:{road_service.port}")
    (version,) = client.get_model_metadata("road")["versions"]
    assert client.is_model_ready("road", version)
    assert client.get_model_metadata("road", version)["name"] == "road"
    found = client.infer("road", [tensor()], model_version=version)
    np.testing.assert_array_equal(found.as_numpy("mask"), client.infer("road", [tensor()]).as_numpy("mask"))
    assert found.get_response()["model_version"] == version
    assert not client.is_model_ready("road", "1")
    with pytest.raises(triton.InferenceServerException, match=f"found: 1; expected: {version}"):
        client.infer("road", [tensor()], model_version="1")
    client.close()


def test_readiness_is_a_member_of_json(road_service: Running) -> None:
    """kserve/kserve#4267: its transformer looks for `ready`, and failed where the answer had no body."""
    for path in ("/v2/health/ready", "/v2/models/road/ready"):
        assert road_service.client.get(path).json()["ready"] is True


@pytest.mark.parametrize("path", ["/", "/health", "/v2/health/live", "/v2/health/ready", "/v2/models/road", "/metrics"])
def test_head_is_answered_as_get_is(path: str, road_service: Running) -> None:
    """fastapi/fastapi#1773: balancers ask so, and take 405 for a service that is down."""
    asked, whole = road_service.client.head(path), road_service.client.get(path)
    assert (asked.status_code, asked.content) == (200, b"")
    assert asked.headers["content-type"] == whole.headers["content-type"]
    refused = road_service.client.head("/predict")
    assert (refused.status_code, refused.headers["allow"]) == (405, "POST")
    assert road_service.client.get("/health").json()["live"], "the connection is in order"


@pytest.mark.parametrize(
    "name",
    [
        'filename="straße 街道.png"',
        "filename=\"a.png\"; filename*=UTF-8''stra%C3%9Fe.png",
        'filename="a;b=\\"c\\".png"',
        'filename="..\\..\\a.png"',
    ],
)
def test_files_of_forms_may_have_any_name(name: str, road_service: Running) -> None:
    """fastapi/fastapi#11104: names that are not ASCII were refused; bentoml/BentoML#3804: parts without a type were."""
    start = f'--b\r\nContent-Disposition: form-data; name="image"; {name}\r\n\r\n'.encode()
    kinds = ("multipart/form-data; boundary=b", 'multipart/form-data; boundary="b"', "Multipart/Form-Data;boundary=b")
    for kind in kinds:
        answer = road_service.client.post(
            "/predict", content=start + SMALL + b"\r\n--b--\r\n", headers={"Content-Type": kind}
        )
        assert answer.status_code == 200, answer.text
        assert answer.content == road_service.predict(SMALL).content


def test_a_slash_at_the_end_leads_nowhere_else(road_service: Running) -> None:
    """fastapi/fastapi#13019: it was 307, behind a proxy with the wrong address, and the body was lost on the way."""
    answer = road_service.client.post("/predict/", content=SMALL, headers={"Content-Type": "image/png"})
    assert (answer.status_code, answer.json()["code"]) == (404, "not-found")
    assert answer.json()["remedy"] == "leave out the slash at its end"


def asking(running: Running, size: int) -> socket.socket:
    one = running.socket()
    lines = f"Content-Type: image/png\r\nContent-Length: {size}\r\nExpect: 100-continue\r\n\r\n"
    one.sendall(f"POST /predict HTTP/1.1\r\nHost: a\r\n{lines}".encode())
    return one


def test_who_asks_before_sending_hears_at_once(road_service: Running) -> None:
    """pytorch/serve#335: curl asks so before a large body, and waited for an answer that did not come."""
    with asking(road_service, len(SMALL)) as one:
        assert one.recv(4096).startswith(b"HTTP/1.1 100 ")
        one.sendall(SMALL)
        assert one.recv(4096).startswith(b"HTTP/1.1 200 ")
    with asking(road_service, 1 << 30) as one:
        assert one.recv(4096).startswith(b"HTTP/1.1 413 ")  # before a byte of it was sent


@pytest.fixture(scope="module")
def impatient(road: Path) -> Iterator[Running]:
    with Running(road, "body_seconds=1") as running:
        yield running


@pytest.mark.parametrize("sent", ["nothing", "a byte at a time", "a byte at a time, after a request"])
def test_a_head_that_does_not_come_is_not_waited_for(sent: str, impatient: Running) -> None:
    """xorbitsai/inference#5213, Kludex/uvicorn#1192: such connections stayed until no more could be opened."""
    with impatient.socket() as one:
        if sent.endswith("request"):
            one.sendall(b"GET /v2/health/live HTTP/1.1\r\nHost: a\r\n\r\n")
            assert one.recv(4096).startswith(b"HTTP/1.1 200")
        one.settimeout(0.1)
        began, parts, more = time.monotonic(), iter(b"GET / HTTP/1.1\r\nX-A: " + b"a" * 500), sent != "nothing"
        while time.monotonic() - began < 10:
            try:
                if more:
                    one.sendall(bytes([next(parts)]))
                if one.recv(4096) == b"":
                    break
            except TimeoutError:
                continue
            except OSError:
                break
        assert 0.5 < time.monotonic() - began < 5


def test_a_request_that_has_come_is_computed_however_long_it_takes(impatient: Running) -> None:
    began = time.monotonic()
    while time.monotonic() - began < 1.5:  # longer than a head may take: on a connection that goes on
        assert impatient.predict(SMALL).status_code == 200
    with impatient.socket() as one:
        one.sendall(head(SLOW))
        assert one.recv(4096).startswith(b"HTTP/1.1 200")


def sent_slowly(running: Running, size: int, at_once: int, pause: float) -> tuple[bytes, float]:
    """The answer to a body that is no image, and when it came; so many bytes go at once, with a pause behind."""
    with running.socket() as one:
        lines = f"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Type: image/png\r\nContent-Length: {size}\r\n\r\n"
        one.sendall(lines.encode())
        one.settimeout(pause)
        began = time.monotonic()
        for start in range(0, size, at_once):
            one.sendall(bytes(min(at_once, size - start)))
            with suppress(TimeoutError):
                return one.recv(4096), time.monotonic() - began
        one.settimeout(20)
        return one.recv(4096), time.monotonic() - began


def test_a_body_that_comes_byte_by_byte_is_not_waited_for(impatient: Running) -> None:
    """No pause is as long as the second that it may be, and a connection would be held for hours."""
    answer, took = sent_slowly(impatient, 40, 1, 0.25)
    assert answer.startswith(b"HTTP/1.1 408")
    assert 0.8 < took < 4


def test_a_body_that_takes_long_for_its_size_is(impatient: Running) -> None:
    answer, took = sent_slowly(impatient, 50_000, 10_000, 0.4)
    assert answer.startswith((b"HTTP/1.1 400", b"HTTP/1.1 415"))  # it came whole
    assert took > 1.5


# A service with an address that fails.
FAILING = """
import sys
from seglab.serving import asgi

def add_images(app, service):
    @app.get("/fails")
    def fails():
        raise ZeroDivisionError("of this test")

asgi.add_images = add_images
from seglab.cli.main import script
script()
"""


@contextmanager
def piped(road: Path, size: int = 4096) -> Iterator[tuple[subprocess.Popen[bytes], httpx.Client]]:
    """A service whose log goes into a pipe that holds so many bytes, and is read by nobody."""
    process = subprocess.Popen(
        [sys.executable, "-c", FAILING, "serve", str(road), "port=0", "rows=", "drain_seconds=0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        assert process.stderr is not None
        fcntl.fcntl(process.stderr, fcntl.F_SETPIPE_SZ, size)
        line = next(line for line in process.stdout if line.startswith(b"serving at "))
        with httpx.Client(base_url=line.split()[-1].decode(), timeout=20, trust_env=False) as client:
            yield process, client
        process.send_signal(signal.SIGTERM)
        process.wait(20)
    finally:
        process.kill()
        process.wait()


def test_a_log_that_nobody_reads_holds_nobody_up(road: Path) -> None:
    """dhis2-chap/chap-core#574, docker/compose#6018: the pipe is full, and the service waits for whoever reads it."""
    with piped(road) as (process, client):
        for _ in range(100):
            assert client.get("/health").status_code == 200
        assert process.stderr is not None
        os.set_blocking(process.stderr.fileno(), False)
        lines = (process.stderr.read() or b"").splitlines()
        assert 0 < len(lines) < 100
        asked, lost, end = 100, 0, time.monotonic() + 10
        while len(lines) + lost < asked:  # a line comes after its answer
            client.get("/health")
            asked += 1
            time.sleep(0.1)
            lines += (process.stderr.read() or b"").splitlines()
            lost = sum(json.loads(line).get("lost", 0) for line in lines)
            assert time.monotonic() < end
        assert lost > 50
        assert len(lines) + lost == asked
        for _ in range(3):  # it is full again
            client.get("/health")
        with socket.create_connection((client.base_url.host, client.base_url.port or 0), 20) as one:
            one.sendall(b"no request\r\n\r\n")
            assert one.recv(4096).startswith(b"HTTP/1.1 400")  # of which uvicorn writes into the log
        failed = client.get("/fails")
        assert (failed.status_code, failed.json()["code"]) == (500, "internal")
        assert client.get("/health").status_code == 200
    assert process.returncode == 0  # nor does it wait at its end


def test_an_error_of_the_service_is_in_its_log_once(road: Path) -> None:
    with piped(road, 1 << 16) as (process, client):
        assert process.stderr is not None
        assert client.get("/fails").status_code == 500
        os.set_blocking(process.stderr.fileno(), False)
        log = b""
        end = time.monotonic() + 10
        while b"ZeroDivisionError" not in log and time.monotonic() < end:
            log += process.stderr.read() or b""
        time.sleep(0.5)
        log += process.stderr.read() or b""
        assert log.count(b"ZeroDivisionError: of this test") == 1


def test_a_log_whose_reader_has_ended_costs_no_answer(road: Path) -> None:
    """Kludex/uvicorn#1898: `BrokenPipeError` for every line."""
    with piped(road) as (process, client):
        assert process.stderr is not None
        process.stderr.close()
        for _ in range(3):
            assert client.post("/predict", content=SMALL, headers={"Content-Type": "image/png"}).status_code == 200
