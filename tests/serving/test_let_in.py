"""Who is let in, and what the service refuses before it begins."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from served import Running
from service_processes import SLOW, SMALL


def test_keys(road: Path, tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text("first-key-of-two-00\nsecond-key-of-two-0\n")
    with Running(
        road, f"keys={file}", "requests_per_minute=3", SEGLAB_API_KEYS="third-key-in-the-environment"
    ) as running:
        client = running.client
        for path in ("/", "/health", "/v2/health/ready", "/docs"):
            assert client.get(path).status_code == 200
        for headers in ({}, {"X-API-Key": "first"}, {"Authorization": "Bearer"}, {"Authorization": "Basic Zmlyc3Q="}):
            refused = client.get("/classes", headers=headers)
            assert (refused.status_code, refused.json()["code"]) == (401, "key-missing")
            assert refused.headers["www-authenticate"] == "Bearer"
        assert client.get("/classes", headers={"X-API-Key": "third-key-in-the-environment"}).status_code == 200
        bearer = {"Authorization": "Bearer second-key-of-two-0"}
        assert [client.get("/classes", headers=bearer).status_code for _ in range(4)] == [200, 200, 200, 429]
        assert client.get("/classes", headers={"X-API-Key": "first-key-of-two-00"}).status_code == 200
        assert int(client.get("/classes", headers=bearer).headers["retry-after"]) > 50


def refused(*words: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "seglab", "serve", *words],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "SEGLAB_API_KEYS": ""},
    )
    assert done.returncode == 2, done.stderr
    return done.stderr


@pytest.mark.slow
def test_what_cannot_be_served_is_reported_before_it_begins(road: Path, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        assert "[serve-address]" in refused(str(road), f"port={taken.getsockname()[1]}")
    assert "[serve-without-key]" in refused(str(road), "host=0.0.0.0", "port=0")
    (tmp_path / "weak").write_text("abc\n")
    assert "[serve-keys]" in refused(str(road), f"keys={tmp_path / 'weak'}", "port=0")
    (tmp_path / "empty").mkdir()
    assert "[exported-model-altered]" in refused(str(tmp_path / "empty"), "port=0")
    assert "[serve-target]" in refused(str(road), "runtime=onnx", "port=0")


def test_an_altered_folder_is_not_served(road: Path, tmp_path: Path) -> None:
    import shutil

    copy = shutil.copytree(road, tmp_path / "copy")
    weights = bytearray((copy / "model.bin").read_bytes())
    weights[5] ^= 1
    (copy / "model.bin").write_bytes(weights)
    message = refused(str(copy), "port=0")
    assert "[exported-model-altered]" in message
    assert "model.bin" in message


@pytest.mark.slow
def test_requests_leave_no_files(road: Path, tmp_path: Path) -> None:
    with Running(road, TMPDIR=str(tmp_path)) as running, ThreadPoolExecutor(4) as pool:
        list(pool.map(running.predict, [SMALL, SMALL[:100], SMALL]))
        running.client.post("/predict", files={"image": ("a.png", SLOW, "image/png")})
        assert list(tmp_path.iterdir()) == []
