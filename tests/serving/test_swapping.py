"""Another model takes over while clients send: nothing is lost, each answer is of one model, a broken one is left."""

from __future__ import annotations

import io
import os
import shutil
import signal
import statistics
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil
import pytest
from PIL import Image
from served import ROAD, Running, served_folder

from seglab.export.folder import SUMS, read_folder
from seglab.runtime.file_digest import sha256_of
from seglab.task import Task

IMAGE = np.random.default_rng(4).integers(0, 256, (50, 70, 3), np.uint8)
LARGE = np.random.default_rng(4).integers(0, 256, (900, 1000, 3), np.uint8)


def png(image: np.ndarray = IMAGE) -> bytes:
    room = io.BytesIO()
    Image.fromarray(image).save(room, "PNG", compress_level=1)
    return room.getvalue()


def until(seen: Callable[[], Any], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not seen():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.fixture(scope="module")
def versions(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    place = tmp_path_factory.mktemp("versions")
    first, second = (served_folder(place / f"v{turned}", ROAD, (32, 40), turned=turned) for turned in (0, 1))
    return first, second


def label(folder: Path) -> str:
    return f"current+{sha256_of(folder / SUMS)[:12]}"


def lead(link: Path, folder: Path) -> None:
    """Let the link lead there, at once."""
    new = link.with_name("new")
    new.symlink_to(folder)
    new.replace(link)


def bundle(running: Running) -> str:
    return str(running.client.get("/health").json()["bundle"])


@contextmanager
def clients(running: Running, count: int, content: bytes = b"") -> Iterator[Counter[tuple[int, str, bytes]]]:
    """So many that send one image after another: how often each status, model and mask came."""
    seen: Counter[tuple[int, str, bytes]] = Counter()
    done, lock, content = threading.Event(), threading.Lock(), content or png()
    headers = {"Content-Type": "image/png", "Accept": "image/png;q=0.1, application/octet-stream"}

    def ask() -> None:
        with httpx.Client(base_url=running.address, timeout=60, trust_env=False) as client:
            while not done.is_set():
                answer = client.post("/predict", content=content, headers=headers)
                with lock:
                    seen[answer.status_code, answer.headers["x-bundle"], answer.content] += 1
                time.sleep(0.02)  # so that they do not take the cores that a model is loaded with

    with ThreadPoolExecutor(count) as pool:
        asking = [pool.submit(ask) for _ in range(count)]
        try:
            yield seen
        finally:
            done.set()
        for one in asking:
            one.result()


def swapped(versions: tuple[Path, Path], place: Path, swaps: int) -> list[int]:
    """Swap under load; returns the bytes of memory after each swap."""
    lead(place / "current", versions[0])
    masks = {
        label(folder): np.array([7, 8, 11], np.uint8)[read_folder(folder).predictor().predict(IMAGE)].tobytes()
        for folder in versions
    }
    assert len(set(masks.values())) == 2
    memory = []
    with Running(place / "current", "watch_seconds=0.2") as running:
        with clients(running, 4) as seen:
            for number in range(1, swaps + 1):
                folder = versions[number % 2]
                lead(place / "current", folder)
                until(lambda folder=folder: bundle(running) == label(folder))
                so_far = sum(seen.values())
                until(lambda so_far=so_far: sum(seen.values()) > so_far + 8)
                until(lambda: len(running.processes()) == 2)  # the former one has ended
                memory.append(running.rss())
        assert set(seen) == {(200, name, mask) for name, mask in masks.items()}
        assert running.count("seglab_swaps_total") == swaps
        events = [line for line in running.lines() if line.get("event") == "model-swapped"]
        assert len(events) == swaps
    return memory


def test_a_link_that_comes_to_lead_elsewhere(versions: tuple[Path, Path], tmp_path: Path) -> None:
    swapped(versions, tmp_path, 3)


@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_fifty_swaps_under_load_leave_memory_as_it_was(versions: tuple[Path, Path], tmp_path: Path) -> None:
    memory = swapped(versions, tmp_path, 50)
    print("MiB after each swap:", *(bytes >> 20 for bytes in memory))
    assert statistics.mean(memory[-10:]) < 1.05 * statistics.mean(memory[:10]), memory


def test_what_cannot_take_over_leaves_the_old_one_and_says_so(versions: tuple[Path, Path], tmp_path: Path) -> None:
    place = shutil.copytree(versions[0], tmp_path / "current")
    other = served_folder(tmp_path / "other", Task(2, 3, ("a", "b", "c")), (32, 40))
    with Running(place, "watch_seconds=0.2") as running, clients(running, 2) as seen:
        before = bundle(running)

        def refusal() -> Any:
            return running.client.get("/health").json()["refused"]

        weights = place / "model.bin"
        content = weights.read_bytes()
        weights.write_bytes(bytes([content[0] ^ 1]) + content[1:])
        until(refusal)
        assert refusal()["code"] == "exported-model-altered"
        shutil.copytree(other, place, dirs_exist_ok=True)
        until(lambda: refusal()["code"] == "serve-swap-classes")
        assert running.client.get("/v2/health/ready").status_code == 200
        assert bundle(running) == before
        assert set(seen) == {(200, before, mask) for _, _, mask in seen}
        assert len({mask for _, _, mask in seen}) == 1
        shutil.copytree(versions[1], place, dirs_exist_ok=True)
        until(lambda: bundle(running) == label(versions[1]))
        assert refusal() is None
        assert {status for status, _, _ in seen} == {200}
        codes = [line["code"] for line in running.lines() if line.get("event") == "model-refused"]
        assert codes[0] == "exported-model-altered"
        assert "serve-swap-classes" in codes
        assert running.count("seglab_swaps_total") >= 3


def test_a_model_whose_process_dies_begins_anew(versions: tuple[Path, Path]) -> None:
    def kill_model() -> None:
        (child,) = psutil.Process(running.process.pid).children()
        child.send_signal(signal.SIGKILL)

    with Running(versions[0]) as running, ThreadPoolExecutor(1) as pool:
        expected = running.predict(png()).content
        kill_model()
        until(lambda: running.client.get("/v2/health/ready").status_code == 503)
        assert running.client.get("/v2/health/live").status_code == 200
        assert running.predict(png()).content == expected  # and it waited for that
        assert running.client.get("/v2/health/ready").status_code == 200
        slow = pool.submit(running.predict, png(LARGE))
        until(lambda: running.count("seglab_in_flight") == 1)
        kill_model()
        answer = slow.result()
        assert (answer.status_code, answer.json()["code"]) == (503, "model-restarting")
        assert int(answer.headers["retry-after"]) > 0
        assert running.predict(png()).content == expected


@pytest.mark.slow
def test_a_model_that_dies_while_nobody_asks_becomes_ready_again(versions: tuple[Path, Path]) -> None:
    """A balancer sends nothing until `/health` is 200."""
    with Running(versions[0]) as running:
        (child,) = psutil.Process(running.process.pid).children()
        child.kill()
        seen = []
        until(lambda: seen.append(running.client.get("/health").status_code) or seen[-1] == 503)
        until(lambda: running.client.get("/health").status_code == 200)
        assert running.count("seglab_model_restarts_total") == 1


@pytest.mark.slow
def test_a_model_that_stands_still_is_ended(versions: tuple[Path, Path]) -> None:
    with Running(versions[0], "deadline_seconds=3") as running:
        expected = running.predict(png()).content
        (child,) = psutil.Process(running.process.pid).children()
        child.suspend()
        late = running.predict(png())
        assert (late.status_code, late.json()["code"]) == (504, "deadline-exceeded")
        until(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE)
        until(lambda: running.predict(png()).status_code == 200)
        assert running.predict(png()).content == expected
        assert running.count("seglab_model_restarts_total") >= 1


def test_a_service_that_is_asked_to_end_while_it_begins(versions: tuple[Path, Path]) -> None:
    begun = subprocess.Popen([sys.executable, "-m", "seglab", "serve", str(versions[0]), "port=0", "rows="])
    process = psutil.Process(begun.pid)
    until(lambda: process.children() or begun.poll() is not None)
    below = process.children(recursive=True)
    begun.send_signal(signal.SIGTERM)
    assert begun.wait(30) == 0
    _, alive = psutil.wait_procs(below, timeout=30)
    assert not alive


def test_a_service_that_is_killed_leaves_no_process(versions: tuple[Path, Path]) -> None:
    with Running(versions[0]) as running:
        below = psutil.Process(running.process.pid).children(recursive=True)
        os.kill(running.process.pid, signal.SIGKILL)
        _, alive = psutil.wait_procs(below, timeout=20)
        assert not alive
