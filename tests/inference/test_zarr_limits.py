"""Volumes in Zarr that are larger than the memory, and a process that is killed; slow."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

pytestmark = pytest.mark.slow
LIMIT = 900 * 2**20  # bytes of address space


def volume(path: Path, side: int) -> Path:
    """Noise, in chunks that lie in more than one bar."""
    path.parent.mkdir(exist_ok=True)
    array = zarr.create_array(path, shape=(side,) * 3, chunks=(64, 64, 64), dtype=np.uint8, zarr_format=2)
    block = np.random.default_rng(0).integers(0, 256, (64, side, side), dtype=np.uint8)
    for start in range(0, side, 64):
        array[start : start + 64] = np.roll(block, start, axis=1)[: side - start]
    return path


def command(image: Path, out: Path, limit: int = 0, seconds: float = 0, way: str = "parts") -> list[str]:
    module = [sys.executable, "-m", "limited_prediction"]
    return [*module, str(image), str(out), str(limit), str(seconds), way]


def ran(*asked: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(*asked), env=environment(), capture_output=True, text=True, check=False)


def environment() -> dict[str, str]:
    here = Path(__file__).parents[1] / "helpers"
    beside = {"PYTHONPATH": os.pathsep.join([str(here), os.environ.get("PYTHONPATH", "")])}
    return {**os.environ, **beside, "OPENBLAS_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "2"}


def test_a_volume_larger_than_the_memory(tmp_path: Path) -> None:
    """1.1 GB as it would be in memory, in 0.9 of address space: by parts it is predicted, and in whole it is not."""
    image = volume(tmp_path / "in" / "a.zarr", 640)
    done = ran(image, tmp_path / "masks", LIMIT)
    assert done.returncode == 0, done.stderr
    mask, stored = zarr.open_group(tmp_path / "masks" / "a.zarr", mode="r")["0"], zarr.open_array(image, mode="r")
    for start in range(0, 640, 128):
        place = slice(start, start + 128)
        np.testing.assert_array_equal(mask[place], stored[place] > 127)
    whole = ran(image, tmp_path / "others", LIMIT, 0, "whole")
    assert whole.returncode != 0
    assert "memory" in whole.stderr
    assert not (tmp_path / "others" / "a.zarr").exists()


def test_memory_does_not_grow_with_the_volume(tmp_path: Path) -> None:
    peaks = []
    for side in (256, 512):
        image = volume(tmp_path / "in" / f"{side}.zarr", side)
        done = ran(image, tmp_path / "masks")
        peaks.append(int(done.stdout))
    print(f"{peaks[0]} MB for 256³, {peaks[1]} for 512³")
    assert peaks[1] < peaks[0] + 40


def test_a_killed_process_leaves_nothing_under_the_name(tmp_path: Path) -> None:
    image, out = volume(tmp_path / "in" / "a.zarr", 320), tmp_path / "masks"
    with subprocess.Popen(command(image, out, 0, 0.05), env=environment()) as process:
        while not list(out.glob(".*/0/0/*/*")):
            assert process.poll() is None
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
    left = [one.name for one in out.iterdir()]
    assert len(left) == 1
    assert left[0].startswith(".a.zarr.")
    assert left[0].endswith(".part")
    assert ran(image, out).returncode == 0
    assert "a.zarr" in [one.name for one in out.iterdir()]
