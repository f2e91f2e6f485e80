"""A real process: what it loads, how it ends, who is served first, and who is let in."""

from __future__ import annotations

import io
import os
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image
from served import ROAD, Running, served_folder
from service_processes import SLOW, SMALL, head, png, until

from seglab.inference.backends.openvino import load_openvino
from seglab.serving.address import Place, bound

HEAVY = {"tensorflow", "keras", "mlflow", "hydra", "omegaconf", "matplotlib", "pandas", "torch", "onnxruntime"}


# In every process of the service: tells at its end what it had loaded, in a file of its own.
_TELLING = """
import atexit, os, pathlib, sys
def tell():
    names = sorted({name.split(".")[0] for name in sys.modules})
    (pathlib.Path(__file__).parent / f"{os.getpid()}.txt").write_text(" ".join(names))
atexit.register(tell)
"""


def loaded(place: Path) -> dict[int, set[str]]:
    """What each process of a service had loaded."""
    return {int(file.stem): set(file.read_text().split()) for file in place.glob("*.txt")}


def test_no_process_loads_the_heavy_ones_and_only_one_the_runtime(road: Path, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(_TELLING)
    paths = os.pathsep.join([str(tmp_path), *filter(None, sys.path)])
    rows = f"rows={tmp_path / 'rows.db'}"  # as by default, with which drift is looked for
    with Running(road, rows, PYTHONPATH=paths) as running:
        assert running.predict(SMALL).status_code == 200
        own, *others = [one.pid for one in running.processes()]
        running.process.send_signal(signal.SIGTERM)
        assert running.process.wait(20) == 0
        until(lambda: len(loaded(tmp_path)) == 2)
    state = loaded(tmp_path)
    assert set(state) == {own, *others}
    assert {"fastapi", "uvicorn", "seglab"} <= state[own]
    assert not {"openvino", "cv2", "scipy", "tifffile", *HEAVY} & state[own]
    (model,) = others
    assert {"openvino", "cv2", "seglab"} <= state[model]
    assert not {"fastapi", "uvicorn", *HEAVY} & state[model]


def test_the_precision_is_what_the_runtime_executes(road: Path, tmp_path: Path) -> None:
    hint = "import seglab.inference.backends.openvino as o\no.HINTS['float32'] = 'bf16'\n"
    (tmp_path / "sitecustomize.py").write_text(hint)
    done = subprocess.run(
        [sys.executable, "-m", "seglab", "serve", str(road), "port=0"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *filter(None, sys.path)])},
    )
    if "serving at" in done.stdout:
        pytest.skip("a processor without bfloat16")
    assert done.returncode == 2
    assert "[exported-model-differs]" in done.stderr


def test_sigterm_answers_what_is_in_flight(road: Path) -> None:
    with Running(road, "drain_seconds=1.5") as running, ThreadPoolExecutor(8) as pool:
        slow = [pool.submit(running.predict, SLOW) for _ in range(3)]
        until(lambda: running.count("seglab_in_flight") == 1 and running.count("seglab_queue_length") == 2)
        running.process.send_signal(signal.SIGTERM)
        until(lambda: running.client.get("/v2/health/ready").status_code == 503, 2)
        assert running.client.get("/v2/health/live").status_code == 200
        assert running.count("seglab_ready") == 0
        assert running.predict(SMALL).status_code == 200  # it is still taken while the balancer learns
        assert [one.result().status_code for one in slow] == [200] * 3
        assert running.process.wait(30) == 0
        with pytest.raises(httpx.TransportError):
            running.client.get("/v2/health/live")


def test_a_second_signal_ends_at_once(road: Path) -> None:
    with Running(road, "drain_seconds=60") as running:
        running.process.send_signal(signal.SIGTERM)
        until(lambda: running.client.get("/health").status_code == 503)
        began = time.monotonic()
        running.process.send_signal(signal.SIGTERM)
        running.process.wait(20)
        assert time.monotonic() - began < 2


@pytest.mark.slow
def test_clients_that_hang_up_free_their_place(road: Path) -> None:
    with Running(road, "queue=4") as running:
        alone = time.perf_counter()
        assert running.predict(SLOW).status_code == 200
        alone = time.perf_counter() - alone
        for _ in range(30):
            with running.socket() as one:
                one.sendall(head(SLOW))
                time.sleep(0.05)
        began = time.perf_counter()
        until(lambda: running.count("seglab_queue_length") < 4)
        assert running.predict(SLOW).status_code == 200
        assert time.perf_counter() - began < 3 * alone + 1
        until(lambda: running.count("seglab_abandoned_total") >= 25)
        until(lambda: running.count("seglab_in_flight") == 0)


@pytest.mark.slow
def test_a_small_image_is_served_between_the_windows_of_a_large_one(road: Path) -> None:
    large = png(1300, 1400)
    with Running(road) as running, ThreadPoolExecutor(1) as pool:
        expected = running.predict(SMALL).content
        big = pool.submit(running.predict, large)
        until(lambda: running.count("seglab_in_flight") == 1)
        served = 0
        while not big.done() and served < 3:
            assert running.predict(SMALL).content == expected
            served += not big.done()
        assert served == 3
        between = big.result()
        assert between.status_code == 200
        assert running.predict(large).content == between.content


def test_a_full_queue_says_when_to_come_again(road: Path) -> None:
    with Running(road, "queue=1") as running, ThreadPoolExecutor(8) as pool:
        answers = [one.result() for one in [pool.submit(running.predict, SLOW) for _ in range(8)]]
        kinds = {answer.status_code for answer in answers}
        assert kinds == {200, 503}
        for answer in answers:
            if answer.status_code == 503:
                assert int(answer.headers["retry-after"]) >= 1
                assert answer.json()["code"] == "service-busy"
        assert running.predict(SMALL).status_code == 200


def test_one_bad_image_fails_alone(road: Path) -> None:
    with Running(road) as running, ThreadPoolExecutor(8) as pool:
        expected = running.predict(SMALL).content
        bodies = [SMALL] * 4 + [SMALL[:200]] + [SMALL] * 3
        answers = list(pool.map(running.predict, bodies))
    assert [answer.status_code for answer in answers] == [200] * 4 + [400] + [200] * 3
    assert {answer.content for answer in answers if answer.status_code == 200} == {expected}


def test_what_takes_too_long_is_reported(road: Path) -> None:
    with Running(road, "deadline_seconds=0.2") as running:
        late = running.predict(png(2400, 2600))
        assert (late.status_code, late.json()["code"]) == (504, "deadline-exceeded")
        until(lambda: running.count("seglab_in_flight") == 0, 5)
        assert running.predict(SMALL).status_code == 200


@pytest.mark.slow
def test_small_images_beside_a_large_one_wait_no_longer_than_thrice(tmp_path: Path) -> None:
    """Of the size of a window, of which two go to the network at a time."""
    small, folder = png(256, 256), served_folder(tmp_path / "wide", ROAD, (256, 256))
    with Running(folder) as running, ThreadPoolExecutor(1) as pool:

        def took(count: int) -> list[float]:
            found = []
            for _ in range(count):
                began = time.perf_counter()
                assert running.predict(small).status_code == 200
                found.append(time.perf_counter() - began)
            return sorted(found)

        lone = took(40)[37]  # p95
        big = pool.submit(running.predict, png(4000, 4200))
        until(lambda: running.count("seglab_in_flight") == 1)
        took(2)  # these wait until it is decoded
        beside = min(took(20)[18] for _ in range(3))  # what else the machine does can only add to it
        assert not big.done()
        print(f"small beside large: p95 {1000 * beside:.1f} ms, lone {1000 * lone:.1f} ms")
        assert beside <= 3 * lone
        assert big.result().status_code == 200


@pytest.mark.slow
def test_life_is_reported_while_two_hundred_wait(road: Path) -> None:
    room = io.BytesIO()
    Image.new("RGB", (1400, 1300)).save(room, "PNG")  # slow to predict, quick to send

    def asked(count: int) -> list[float]:
        found = []
        for _ in range(count):
            began = time.perf_counter()
            assert running.client.get("/v2/health/live").status_code == 200
            found.append(time.perf_counter() - began)
        return sorted(found)

    with Running(road, "queue=250", "deadline_seconds=600") as running, ExitStack() as stack:
        for _ in range(200):
            stack.enter_context(running.socket()).sendall(head(room.getvalue()))
        until(lambda: running.count("seglab_queue_length") > 150)
        p99 = asked(200)[197]
        print(f"live beside 200 that wait: p99 {1000 * p99:.1f} ms")
        assert p99 < 0.05
        assert running.count("seglab_queue_length") > 50
        running.process.kill()


@pytest.mark.slow
def test_an_answer_does_not_wait_for_its_headers_to_be_acknowledged() -> None:
    """Nagle's algorithm holds a small second packet back until the first is acknowledged, which takes 40 ms."""
    with bound(Place(port=0)) as listening:
        listening.listen()
        with socket.create_connection(listening.getsockname()):
            accepted, _ = listening.accept()
            with accepted:
                assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def heavy() -> Any:
    """A network beside which reading and writing an image is little."""
    ops, rng = load_openvino().opset13, np.random.default_rng(0)
    image = ops.parameter([1, 128, 128, 3], np.float32, name="image")
    x = ops.transpose(image, [0, 3, 1, 2])
    for before, after in ((3, 64), (64, 64), (64, 64), (64, 3)):
        kernel = rng.normal(0, 0.05, (after, before, 3, 3)).astype(np.float32)
        x = ops.convolution(x, kernel, [1, 1], [1, 1], [1, 1], [1, 1])
    return load_openvino().Model([ops.transpose(x, [0, 2, 3, 1])], [image])


def busy_threads(running: Running, image: bytes) -> int:
    """Threads of the model's process that compute while it predicts."""

    def spent() -> dict[int, float]:
        return {thread.id: thread.user_time for thread in running.processes()[1].threads()}

    before = spent()
    while sum(gained := [took - before.get(thread, 0) for thread, took in spent().items()]) < 1:
        assert running.predict(image).status_code == 200
    return sum(took > 0.15 * sum(gained) for took in gained)


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="a single core has one thread anyway")
def test_threads_are_as_many_as_asked(tmp_path: Path) -> None:
    folder, image = served_folder(tmp_path / "heavy", ROAD, (128, 128), network=heavy()), png(250, 250)
    cores = os.sched_getaffinity(0)
    for words, allowed, expected in ((["threads=1"], cores, 1), (["threads=2"], cores, 2), ([], {min(cores)}, 1)):
        os.sched_setaffinity(0, allowed)  # handed on to the process that is begun
        try:
            with Running(folder, *words) as running:
                assert running.client.get(f"/v2/models/{folder.name}").json()["threads"] == expected
                os.sched_setaffinity(0, cores)
                assert busy_threads(running, image) == expected
        finally:
            os.sched_setaffinity(0, cores)
