"""The process that answers prompts: what it keeps away from the service, and what happens when it ends, stands still or
has no memory."""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np
import psutil
import pytest
from PIL import Image
from served import ROAD, Running, served_folder

from seglab.cli.serve import run
from seglab.data.synthetic.road_scenes import make_scene
from seglab.errors import ConfigError

IMAGE = make_scene(np.random.default_rng(0))[0]
CLICK = {"points": [[60, 70]], "labels": [1]}
DEADLINE = 5.0
DATA = ("data=image_folder", "data.label_values=[7,8,11]", "data.class_names=[ground,red,green]")


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = served_folder(tmp_path_factory.mktemp("road") / "road", ROAD, (32, 40))
    data = tmp_path_factory.mktemp("data")
    for part, shown in (("images", IMAGE), ("masks", np.full(IMAGE.shape[:2], 7, np.uint8))):
        (data / part).mkdir()
        (data / part / "street.png").write_bytes(png(shown))
    words = ["interactive=true", f"deadline_seconds={DEADLINE}", f"accepted={data / 'accepted'}"]
    with Running(folder, *words, *DATA, f"data.root={data}") as service:
        yield service


def png(image: np.ndarray) -> bytes:
    written = io.BytesIO()
    Image.fromarray(image).save(written, "PNG")
    return written.getvalue()


def process_of(running: Running) -> psutil.Process:
    """That answers prompts; the newest."""
    found = [one for one in running.processes() if any("prompt_process" in word for word in one.cmdline())]
    return max(found, key=psutil.Process.create_time)


def until(seen: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not seen():
        assert time.monotonic() < end
        time.sleep(0.05)


def begin(running: Running, content: bytes = b"", **query: str) -> httpx.Response:
    return running.client.post("/sessions", content=content, params=query, headers={"Content-Type": "image/png"})


def mapped(process: psutil.Process) -> str:
    return Path(f"/proc/{process.pid}/maps").read_text()


def failures(running: Running, reason: str) -> float:
    lines = running.client.get("/metrics").text.splitlines()
    return next(float(line.split()[-1]) for line in lines if f'prompt_failures_total{{reason="{reason}"}}' in line)


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["prompt_model=sam_vit_x"], "unknown-prompt-model"),
        (["prompt_checkpoint=x.h5"], "settings-exclude"),
    ],
)
def test_a_model_that_cannot_answer_is_refused_before_anything_is_loaded(words: list[str], code: str) -> None:
    with pytest.raises(ConfigError) as caught:
        run(["no/such/model", "interactive=true", *words])
    assert caught.value.code == code


def test_the_service_itself_loads_no_runtime(running: Running) -> None:
    where = begin(running, png(IMAGE)).headers["Location"]
    assert running.client.post(f"{where}/predict", json=CLICK).status_code == 200
    own = mapped(psutil.Process(running.process.pid))
    assert not [name for name in ("/cv2/", "/scipy/", "/openvino/", "/tensorflow/") if name in own]
    assert "/cv2/" in mapped(process_of(running))


def test_a_session_on_an_image_of_the_data(running: Running) -> None:
    (fields,) = running.client.get("/images").json()["images"]
    by_id = begin(running, image=fields["id"])
    assert (by_id.status_code, by_id.json()["width"], by_id.json()["height"]) == (201, 256, 128)
    sent = begin(running, png(IMAGE))
    masks = [running.client.post(f"{one.headers['Location']}/predict", json=CLICK).content for one in (by_id, sent)]
    assert masks[0] == masks[1]
    for answer, status, code in (
        (begin(running, image="../images/street.png"), 404, "image-unknown"),
        (begin(running, png(IMAGE), image=fields["id"]), 422, "parameter-invalid"),
    ):
        assert (answer.status_code, answer.json()["code"]) == (status, code)


def test_one_that_dies_is_begun_anew_without_its_sessions(running: Running) -> None:
    where = begin(running, png(IMAGE)).headers["Location"]
    mask = running.client.post(f"{where}/predict", json=CLICK).content
    former, before = process_of(running), failures(running, "process")
    former.suspend()
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(running.client.post, f"{where}/predict", json=CLICK)
        time.sleep(1.0)  # the request is with the process
        former.kill()
        answer = waiting.result()
    assert (answer.status_code, answer.json()["code"]) == (503, "prompts-restarting")
    assert "SIGKILL" in answer.json()["detail"]
    assert int(answer.headers["Retry-After"]) > 0
    assert failures(running, "process") == before + 1
    assert running.count("seglab_sessions") == 0
    until(lambda: running.client.get(where).status_code == 404)  # it has begun
    assert running.client.get(where).json()["code"] == "session-missing"
    assert process_of(running).pid != former.pid
    again = begin(running, png(IMAGE)).headers["Location"]
    assert running.client.post(f"{again}/predict", json=CLICK).content == mask
    assert running.predict(png(IMAGE)).status_code == 200


def test_one_that_dies_while_nobody_asks_is_not_noticed(running: Running) -> None:
    former = process_of(running)
    former.kill()
    until(lambda: not former.is_running() or former.status() == psutil.STATUS_ZOMBIE)
    until(lambda: begin(running, png(IMAGE)).status_code == 201)
    assert process_of(running).pid != former.pid


@pytest.mark.slow
def test_one_that_stands_still_is_ended(running: Running) -> None:
    until(lambda: begin(running, png(IMAGE)).status_code == 201)
    former, before = process_of(running), failures(running, "time")
    former.suspend()
    answer = begin(running, png(IMAGE))
    assert (answer.status_code, answer.json()["code"]) == (504, "deadline-exceeded")
    assert failures(running, "time") == before + 1
    until(lambda: not former.is_running() or former.status() == psutil.STATUS_ZOMBIE)
    until(lambda: begin(running, png(IMAGE)).status_code == 201)


def test_an_image_that_the_memory_does_not_suffice_for(running: Running) -> None:
    until(lambda: begin(running, png(IMAGE)).status_code == 201)
    process, before = process_of(running), failures(running, "memory")
    large = png(np.zeros((5000, 6000, 3), np.uint8))
    room = process.memory_info().vms + 50_000_000
    process.rlimit(psutil.RLIMIT_AS, (room, psutil.RLIM_INFINITY))
    answer = begin(running, large)
    assert (answer.status_code, answer.json()["code"]) == (413, "image-too-large")
    assert failures(running, "memory") == before + 1
    process.rlimit(psutil.RLIMIT_AS, (psutil.RLIM_INFINITY, psutil.RLIM_INFINITY))
    where = begin(running, png(IMAGE)).headers["Location"]
    assert running.client.post(f"{where}/predict", json=CLICK).status_code == 200
    assert process_of(running).pid == process.pid
