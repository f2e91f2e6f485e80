"""Who is let in, and what the service refuses before it begins."""

from __future__ import annotations

import hmac
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from served import Running

from seglab.serving.keys import Keys


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


def test_a_key_is_compared_whole_and_with_every_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """How long that takes tells nothing of where they differ."""
    keys, compared, whole = Keys(("a" * 20, "b" * 20), own="c" * 20), [], hmac.compare_digest
    monkeypatch.setattr(hmac, "compare_digest", lambda mine, given: compared.append(mine) or whole(mine, given))
    for given, known in (("a" * 20, b"a" * 20), ("a" * 19, None), ("c" * 20, b"c" * 20), ("", None)):
        compared.clear()
        assert keys.known({"x-api-key": given}) == known
        assert compared == [b"a" * 20, b"b" * 20, b"c" * 20]
    assert Keys().known({}) == b"", "none is asked for"


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
