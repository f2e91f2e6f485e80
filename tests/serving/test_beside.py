"""A large image has a thread beside the one that answers: what is between its steps, how it ends, and who is large."""

from __future__ import annotations

import io
import socket
import struct
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from served import ROAD, Running, served_folder
from service_processes import head, png, until

from seglab.export.folder import read_folder
from seglab.serving.beside import Beside
from seglab.serving.claimed_size import claimed_pixels
from seglab.serving.queueing import Abandoned


def test_others_are_answered_while_it_decodes_and_none_while_they_are() -> None:
    beside, steps, inside = Beside(), list[str](), threading.Event()
    asked = iter(range(1000))

    def between() -> None:
        if next(asked) == 3:
            inside.set()
            time.sleep(0.1)
            steps.append("small answered")

    def call(pause: Callable[[], None]) -> str:
        steps.append("decoded")
        inside.wait(10)
        pause()
        steps.append("window")
        return "mask"

    assert beside.run(call, between) == "mask"
    assert steps == ["decoded", "small answered", "window"]


def test_what_it_raises_is_reported() -> None:
    def call(pause: Callable[[], None]) -> None:
        raise MemoryError("too large")

    with pytest.raises(MemoryError, match="too large"):
        Beside().run(call, lambda: None)


def test_one_that_is_not_wanted_ends_at_its_next_step_and_holds_up_nobody() -> None:
    beside, goes_on, ended = Beside(), threading.Event(), threading.Event()

    def call(pause: Callable[[], None]) -> None:
        goes_on.wait(10)  # a decoder is not interrupted
        try:
            pause()
        finally:
            ended.set()

    def leave() -> None:
        raise Abandoned

    with pytest.raises(Abandoned):
        beside.run(call, leave)
    assert not ended.is_set()
    never = threading.Event()
    with pytest.raises(Abandoned):  # one that has not begun is not begun at all
        beside.run(lambda pause: never.set(), leave)
    goes_on.set()
    assert ended.wait(10)
    assert beside.run(lambda pause: "next", lambda: None) == "next"
    assert not never.is_set()


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "BMP", "TIFF"])
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_an_image_says_its_size(kind: str, mode: str) -> None:
    room = io.BytesIO()
    Image.new(mode, (123, 45)).save(room, kind)
    assert claimed_pixels(room.getvalue()) == 123 * 45


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"BM",
        b"BM" + b"\0" * 10,
        b"\x89PNG\r\n\x1a\n",
        b"\xff\xd8\xff",
        b"\xff\xd8" + b"\xff\xe1\x00\x02" * 1_000_000,  # segments without end
        b"\xff\xd8" + b"\xff\xe1\x00\x00" * 100,
        b"II*\0" + b"\xff" * 4,
        b"II*\0" + struct.pack("<IH", 8, 65535) + b"\0\0" * 100,
        b"MM\0*" + struct.pack(">IHI", 8, 0, 8),  # a ring
        b"GIF89a",
        b"\x1f\x8b",
    ],
)
def test_one_that_does_not_say_it_is_looked_at_no_further(content: bytes) -> None:
    began = time.perf_counter()
    assert claimed_pixels(content) == 0
    assert time.perf_counter() - began < 0.5


def test_a_bitmap_upside_down_has_its_pixels() -> None:
    assert claimed_pixels(b"BM" + b"\0" * 16 + struct.pack("<ii", 30, -40)) == 1200


def test_a_long_image_is_predicted_as_any_other_and_fails_as_any_other(tmp_path: Path) -> None:
    """5 million pixels, which have the thread: mask, what is broken, and who leaves."""
    folder = served_folder(tmp_path / "resizing", ROAD, (32, 40), "resize")
    rows = np.random.default_rng(0).integers(0, 256, (64, 80, 3), np.uint8)
    pixels = np.tile(rows, (32, 32, 1))
    room = io.BytesIO()
    Image.fromarray(pixels).save(room, "PNG", compress_level=1)
    content, small = room.getvalue(), png(30, 40)
    assert claimed_pixels(content) > 1 << 22
    exported = read_folder(folder)
    expected = exported.predictor(1).predict(pixels, exported.bundle.spacing)
    with Running(folder) as running:
        answer = running.predict(content)
        assert answer.status_code == 200, answer.text
        found = np.asarray(Image.open(io.BytesIO(answer.content)))
        np.testing.assert_array_equal(found, np.array(ROAD.label_values)[expected])
        broken = running.predict(content[: len(content) // 2])
        assert (broken.status_code, broken.json()["code"]) == (400, "file-unreadable")
        address = running.client.base_url
        with socket.create_connection((address.host, address.port)) as client:
            client.sendall(head(content))
            until(lambda: running.count("seglab_in_flight") > 0)
        assert running.predict(small).status_code == 200
        until(lambda: running.count("seglab_abandoned_total") == 1)
        assert running.predict(content).content == answer.content


@pytest.mark.slow
def test_small_images_are_answered_while_large_ones_are_decoded(tmp_path: Path) -> None:
    """8,192 × 8,192 pixels one after another, beside lone images of 128 × 128: half of these wait less than a tenth of
    the time that one of those is decoded and encoded for."""
    folder = served_folder(tmp_path / "resizing", ROAD, (128, 128), "resize")
    rows = np.random.default_rng(0).integers(0, 256, (512, 512, 3), np.uint8)
    room = io.BytesIO()
    Image.fromarray(np.tile(rows, (16, 16, 1))).save(room, "PNG", compress_level=1)
    large, small = room.getvalue(), png(128, 128)
    with (
        Running(folder, "body_bytes=300000000", "pixels=70000000", "deadline_seconds=600") as running,
        ThreadPoolExecutor(1) as pool,
    ):

        def took(content: bytes) -> float:
            began = time.perf_counter()
            answer = running.client.post(
                "/predict", content=content, headers={"Content-Type": "image/png"}, timeout=600
            )
            assert answer.status_code == 200, answer.text
            return time.perf_counter() - began

        lone = [took(small) for _ in range(20)]
        long = took(large)
        over = threading.Event()

        def sending() -> int:
            count = 0
            while not over.is_set():
                took(large)
                count += 1
            return count

        sent = pool.submit(sending)
        until(lambda: running.count("seglab_in_flight") > 0, 300)
        beside = [took(small) for _ in range(60)]
        over.set()
        count = sent.result()
    p50, p95 = np.percentile(beside, [50, 95])
    print(
        f"8,192²: {long:.2f} s alone, {count} beside; 128²: p50 {1000 * np.median(lone):.1f} ms alone,"
        f" p50 {1000 * p50:.1f} and p95 {1000 * p95:.1f} ms beside"
    )
    assert p50 < 0.1 * long
    assert p95 < 0.5 * long
