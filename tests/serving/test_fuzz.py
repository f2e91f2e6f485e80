"""schemathesis sends what the OpenAPI document allows, and what it does not: no 5xx, and nothing undocumented back."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from served import Running
from test_images import WORDS, folder

__all__ = ["folder"]
CHECKS = ("not_a_server_error", "content_type_conformance", "status_code_conformance", "response_schema_conformance")
PARAMETERS = '[parameters]\n"path.name" = "road"\n"path.id" = "a"\n'


@pytest.mark.slow
def test_the_document_is_kept_whatever_is_sent(road: Path, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "schemathesis.toml").write_text(PARAMETERS)
    words = ("pixels=400000", "body_bytes=2000000", "deadline_seconds=20")
    with Running(road, *words, *WORDS, f"data.root={folder}", "data.unlabelled=left_out") as running:
        done = subprocess.run(
            [
                *(sys.executable, "-m", "schemathesis.cli", f"--config-file={tmp_path / 'schemathesis.toml'}"),
                *("run", f"{running.address}openapi.json", "--phases=examples,coverage,fuzzing"),  # 4.32 cannot all
                *("--max-examples=30", "--seed=1", f"--checks={','.join(CHECKS)}", "--request-timeout=30"),
                "--no-color",
            ],
            capture_output=True,
            text=True,
            timeout=550,
            check=False,
            cwd=tmp_path,
        )
        assert done.returncode == 0, done.stdout[-8000:]
        assert running.client.get("/health").status_code == 200
    statuses = {(line["path"], line["status"]) for line in running.lines() if "status" in line}
    assert ("/images/a", 200) in statuses
    assert not [pair for pair in statuses if pair[1] >= 500 and pair[1] not in (503, 504)]


TEXT = st.text('ab0.,-"\\é\0', max_size=6)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)
TENSOR = st.fixed_dictionaries(
    {},
    optional={
        "name": st.just("image") | JSON,
        "datatype": st.sampled_from(["UINT8", "UINT16", "FP32", "BYTES"]) | JSON,
        "shape": st.lists(st.integers(-1, 5), max_size=5) | JSON,
        "data": st.lists(st.integers(-1, 300) | st.floats(), max_size=30) | JSON,
        "parameters": st.fixed_dictionaries({}, optional={"binary_data_size": st.integers(-5, 200) | JSON}) | JSON,
    },
)
REQUEST = st.fixed_dictionaries(
    {},
    optional={
        "id": JSON,
        "inputs": st.lists(TENSOR, max_size=2) | JSON,
        "outputs": st.lists(st.fixed_dictionaries({}, optional={"name": JSON, "parameters": JSON}), max_size=2) | JSON,
        "parameters": st.fixed_dictionaries({}, optional={"spacing": JSON, "binary_data_output": JSON}) | JSON,
    },
)


@settings(max_examples=100, suppress_health_check=list(HealthCheck))
@given(REQUEST, st.binary(max_size=40), st.integers(-3, 400) | st.none())
def test_tensors_of_any_kind(road_service: Running, fields: dict[str, object], rest: bytes, length: int | None) -> None:
    body = json.dumps(fields).encode()
    headers = {} if length is None else {"Inference-Header-Content-Length": str(length)}
    answer = road_service.client.post("/v2/models/road/infer", content=body + rest, headers=headers)
    assert answer.status_code in (200, 400, 413, 422), answer.text
    if answer.status_code != 200:
        assert answer.headers["content-type"] == "application/problem+json"
