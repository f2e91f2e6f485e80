"""deploy/slurm/serve.sh through a real SLURM: it serves, says how to come there, ends with its job: make test-slurm."""

from __future__ import annotations

import io
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image
from served import ROAD, served_folder

SCRIPT = Path(__file__).parents[2] / "deploy/slurm/serve.sh"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif("SLURM_CONF" not in os.environ or shutil.which("sbatch") is None, reason="make test-slurm"),
]


def waited(what: Callable[[], object], log: Path, seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, log.read_text() if log.exists() else "no log"
        time.sleep(0.2)


def test_a_job_serves_and_ends_well(tmp_path: Path) -> None:
    served_folder(tmp_path / "road", ROAD, (32, 40))
    program = tmp_path / "seglab"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m seglab "$@"\n')
    program.chmod(0o755)
    words = [
        "--parsable",
        "--cpus-per-task=1",
        "--mem=2G",
        "--time=10",
        str(SCRIPT),
        "road",
        "rows=",
        "drain_seconds=0",
    ]
    environment = {**os.environ, "SEGLAB": str(program), "SEGLAB_PORT": "8828"}
    job = subprocess.check_output(["sbatch", *words], cwd=tmp_path, env=environment, text=True).strip()
    log = tmp_path / f"seglab-serve-{job}.log"
    waited(lambda: log.exists() and "serving at" in log.read_text(), log)
    assert re.search(r"ssh -N -L 8000:\S+:8828 \S+@\S+", log.read_text())
    key = (tmp_path / f"seglab-serve-{job}.key").read_text().strip()
    room = io.BytesIO()
    Image.fromarray(np.zeros((32, 40, 3), np.uint8)).save(room, "PNG")
    codes = [
        httpx.post("http://127.0.0.1:8828/predict", content=room.getvalue(), trust_env=False,
                   headers={"Content-Type": "image/png", "X-API-Key": given}).status_code
        for given in (key, "")
    ]  # fmt: skip
    assert codes == [200, 401]
    subprocess.check_call(["scancel", "--batch", "--signal=TERM", job])
    waited(lambda: not subprocess.check_output(["squeue", "--noheader", f"--jobs={job}"], text=True).strip(), log)
    assert not (tmp_path / f"seglab-serve-{job}.key").exists()
    assert "Traceback" not in log.read_text()
