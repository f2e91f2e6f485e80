"""Long runs: many clients, many sizes, many inferences, a large volume. Each prints what it measured: `-s` shows it."""

from __future__ import annotations

import gzip
import io
import json
import subprocess
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import nibabel as nib
import numpy as np
import psutil
import pytest
from PIL import Image
from served import Running, served_folder

from seglab.inference.backends.openvino import load_openvino
from seglab.task import Task

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3000)]
RNG = np.random.default_rng(8)
MIB = 2**20


def png(height: int, width: int) -> bytes:
    room = io.BytesIO()
    Image.fromarray(RNG.integers(0, 256, (height, width, 3), np.uint8)).save(room, "PNG", compress_level=1)
    return room.getvalue()


def test_sixty_four_clients_for_a_minute(road: Path) -> None:
    """Twice as many as the queue has places: some are sent away, and told when to come again."""
    images = [png(30 + 5 * number, 40 + 7 * number) for number in range(8)]
    seen: Counter[int] = Counter()
    bad: list[str] = []
    lock, end = threading.Lock(), time.monotonic() + 60
    with Running(road) as running:
        alone = {image: running.predict(image).content for image in images}

        def ask(number: int) -> None:
            image = images[number % len(images)]
            with httpx.Client(base_url=running.address, timeout=60, trust_env=False) as client:
                while time.monotonic() < end:
                    answer = client.post("/predict", content=image, headers={"Content-Type": "image/png"})
                    with lock:
                        seen[answer.status_code] += 1
                        if answer.status_code == 503 and int(answer.headers.get("retry-after", 0)) < 1:
                            bad.append("503 without Retry-After")
                        if answer.status_code == 200 and answer.content != alone[image]:
                            bad.append("another mask")
                    if answer.status_code == 503:
                        time.sleep(0.2)

        with ThreadPoolExecutor(64) as pool:
            for one in [pool.submit(ask, number) for number in range(64)]:
                one.result()
        assert running.client.get("/v2/health/ready").status_code == 200
        assert running.count("seglab_model_restarts_total") == 0
    print(f"64 clients, 60 s: {dict(seen)}")
    assert not bad
    assert set(seen) <= {200, 503}
    assert seen[200] > 600


def test_memory_does_not_grow_over_ten_thousand_requests_of_two_hundred_sizes(road: Path) -> None:
    sides = RNG.permutation(200)
    images = [png(20 + int(side), 20 + int(other)) for side, other in zip(sides, sides[::-1], strict=True)]
    memory: list[int] = []
    with Running(road) as running:
        for number in range(10_000):
            assert running.predict(images[number * 7 % 200]).status_code == 200
            if number % 200 == 199:  # every size was seen
                memory.append(running.rss())
    late = np.array(memory[10:])
    slope = np.polyfit(200 * np.arange(len(late)), late, 1)[0]
    print(f"10,000 requests: {memory[0] / MIB:.1f} MiB, {late[0] / MIB:.1f}, {late[-1] / MIB:.1f}; {slope:.0f} B each")
    # What Python holds stays the same (tracemalloc); malloc's heap is cut up a little by bodies of so many sizes.
    assert slope < 1024, memory


_INFERENCES = """
import json, sys, time
from pathlib import Path
import numpy as np, psutil
from seglab.export.folder import GIVEN, read_folder
exported = read_folder(Path(sys.argv[1]))
network, given, process = exported.open(), exported.array(GIVEN), psutil.Process()
times, memory = [], []
for number in range(10_000):
    began = time.perf_counter()
    network.run(given)
    times.append(time.perf_counter() - began)
    if number % 500 == 499:
        memory.append(process.memory_info().rss)
print(json.dumps([memory, (1e3 * np.percentile(times, [50, 99])).tolist()]))
"""


def test_memory_does_not_grow_over_ten_thousand_inferences(road: Path) -> None:
    """How far p99 lies above p50 says how idle the machine is, and is told alone."""
    done = subprocess.run([sys.executable, "-c", _INFERENCES, str(road)], capture_output=True, text=True, check=True)
    memory, (p50, p99) = json.loads(done.stdout)
    print(f"10,000 inferences: {memory[1] / MIB:.1f} to {memory[-1] / MIB:.1f} MiB, p50 {p50:.3f} ms, p99 {p99:.3f} ms")
    assert memory[-1] - memory[1] < MIB, memory


def peak(process: psutil.Process) -> int:
    """Most bytes of memory that it has held."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    return 1024 * int(status.partition("VmHWM:")[2].split()[0])


def unet_3d(task: Task, place: Path) -> Any:
    """`model=unet3d` for OpenVINO, with random weights; converted in a process that ends, so that none of its memory is
    in this one."""
    subprocess.run([sys.executable, "-c", _UNET_3D, str(place), *task.class_names], check=True)
    return load_openvino().Core().read_model(place / "model.xml")


_UNET_3D = """
import sys
from pathlib import Path
from seglab.runtime.reproducibility import load_tensorflow
load_tensorflow()
from seglab.export.conversion import convert
from seglab.models.unet import unet
from seglab.inference.backends.openvino import load_openvino
from seglab.task import Task
convert(unet(Task(3, 1, tuple(sys.argv[2:])), (64, 64, 64), width=16, depth=3), "openvino", Path(sys.argv[1]))
"""


@pytest.mark.timeout(9000)
@pytest.mark.parametrize("kind", ["one convolution", "unet3d"])
def test_a_volume_of_512_takes_little_beside_itself_and_its_mask(kind: str, tmp_path: Path) -> None:
    """The 3,375 windows of the U-Net are about 1,000 s of processor time."""
    task = Task(3, 1, ("background", "a", "b", "c", "d"))
    network = unet_3d(task, tmp_path) if kind == "unet3d" else None
    folder = served_folder(tmp_path / "organs", task, (64, 64, 64), network=network)
    side = 512
    blocks = np.random.default_rng(9).integers(0, 256, (8, 8, 8), np.uint8)
    volume = np.kron(blocks, np.ones((64, 64, 64), np.uint8))
    content = gzip.compress(nib.Nifti1Image(volume, np.diag([1.0, 1, 1, 1])).to_bytes(), 1)
    del volume
    with Running(folder, "deadline_seconds=8400", "voxels=200000000") as running:
        before = [peak(one) for one in running.processes()]
        began = time.perf_counter()
        with httpx.Client(base_url=running.address, timeout=8500, trust_env=False) as client:
            answer = client.post("/predict", content=content, headers={"Content-Type": "application/gzip"})
        taken = time.perf_counter() - began
        assert answer.status_code == 200, answer.text
        held = [peak(one) for one in running.processes()]
    mask = np.asarray(nib.Nifti1Image.from_bytes(gzip.decompress(answer.content)).dataobj)
    assert mask.shape == (side,) * 3
    assert mask.max() < task.classes
    timing = answer.headers["server-timing"]
    each = [[round(one / MIB) for one in some] for some in (before, held)]
    print(f"512³, {kind}: {taken:.0f} s, peak {sum(held) / 1e9:.2f} GB; MiB of each process {each}; {timing}")
    assert sum(held) < 2 * side**3 + 1.5e9
    stages = sum(float(part.rpartition("=")[2]) for part in timing.split(", ")) / 1000
    assert abs(stages - taken) < 0.05 * taken + 1
