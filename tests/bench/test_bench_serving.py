"""An exported model is measured stage by stage, and its service against the bare runtime, by real processes."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import pytest
from served import ORGAN, ROAD, served_folder

from benchmarks.speed import serving_worker
from benchmarks.speed.live_service import LiveService
from benchmarks.speed.serving import measure
from benchmarks.speed.workers import BenchWorker
from seglab.cli.bench import run_serving
from seglab.errors import ConfigError, DataError
from seglab.export.folder import read_folder
from seglab.export.latency import encoded_png
from seglab.inference.backends.openvino import OpenVinoNetwork
from seglab.inference.example import example_image


@pytest.mark.slow
def test_the_stages_of_every_target_and_the_service(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    served_folder(tmp_path / "out" / "openvino-float32", ROAD, (32, 40))
    run_serving(["out", "rounds=3", "sizes=64x80,32x40"])
    output = capsys.readouterr().out
    assert "kept in mlruns/bench/bench_serving.md and bench_serving.json" in output
    assert (tmp_path / "mlruns/bench/bench_serving.md").read_text().strip() in output
    found = json.loads((tmp_path / "mlruns/bench/bench_serving.json").read_text())
    row = found["stages"]["openvino-float32"]
    assert found["baseline"] == "openvino-float32"
    assert row["network_ratio"] == 1
    for stage in ("network", "decode", "pre", "between", "post", "encode"):
        assert 0 < row[stage]["p50"] <= row[stage]["p95"], stage
    # Each stage is timed on its own and none is left out of the whole.
    parts = sum(row[stage]["p50"] for stage in ("decode", "pre", "between", "post", "encode"))
    assert 0.3 < parts / row["all"]["p50"] < 3
    names = {one["what"] for one in found["ratios"]}
    assert {"64×80, API : decode + bare runtime + encode", "32×40, share of encoding"} <= names
    tails = {one["what"]: one for one in found["ratios"] if one["what"].endswith("p99 : p50")}
    assert set(tails) == {"network, openvino-float32, p99 : p50", "answers to one client, smallest size, p99 : p50"}
    assert all(one["value"] >= 1 and one["target"] == 1.5 and one["at_most"] for one in tails.values())
    assert {one["runs"] for one in found["service"]["tails"].values()} == {100}
    assert {"throughput, 8 clients : 1", "start until ready : 4 s", "memory of the service : 350 MB"} <= names
    assert 50 < found["service"]["rss_mb"] < 350
    assert set(found["service"]["64×80"]["stages"]) >= {"queue", "decode", "predict", "encode"}
    assert len(found["load_average"]) == 2


def test_the_least_runs_the_network_once_for_each_window(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In windows of 32 × 40 with half overlap 64 × 80 takes three along each axis."""
    folder = served_folder(tmp_path / "out", ROAD, (32, 40))
    worker = serving_worker.ServingWorker("target", folder)
    calls: list[int] = []
    monkeypatch.setattr(worker, "_bare", lambda given: calls.append(len(given)))
    for size, windows in (("32 40", 1), ("64 80", 9), ("64 80", 9)):
        calls.clear()
        assert worker.answer(f"bare {size}") > 0
        assert calls == [1] * windows
    assert isinstance(worker._runs.network, OpenVinoNetwork)


def test_volumes_have_no_files_and_no_service_here(tmp_path: Path) -> None:
    served_folder(tmp_path / "openvino-float32", ORGAN, (16, 16, 16))
    found = measure(tmp_path, 2, None, [(16, 16)])
    assert set(found.stages["openvino-float32"]) & {"decode", "encode"} == set()
    assert found.service == {}
    assert any("the model takes volumes" in line for line in found.not_measured)


def test_what_cannot_be_measured_is_reported(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no exported model here"):
        run_serving([str(tmp_path / "nowhere")])
    with pytest.raises(ConfigError, match="sizes"):
        run_serving([str(tmp_path), "sizes=large"])
    with pytest.raises(RuntimeError, match="serve"):
        LiveService(tmp_path / "nowhere")
    with pytest.raises(RuntimeError, match="no exported model here"):
        BenchWorker(sys.executable, "serving_worker.py", "target", str(tmp_path))


@pytest.mark.slow
def test_a_client_that_was_idle_for_long_connects_again(tmp_path: Path) -> None:
    folder = served_folder(tmp_path / "out", ROAD, (32, 40))
    image = encoded_png(example_image(read_folder(folder).bundle, (32, 40)))
    with LiveService(folder) as service, service.client() as client:
        client.predict(image)
        time.sleep(6)  # uvicorn closes after 5
        seconds, stages = client.predict(image)
        assert seconds > 0
        assert {"decode", "predict", "encode"} <= set(stages)


@pytest.mark.slow
def test_an_answer_that_is_no_mask_is_no_measurement(tmp_path: Path) -> None:
    folder = served_folder(tmp_path / "out", ROAD, (32, 40))
    with LiveService(folder) as service, service.client() as client:
        with pytest.raises(RuntimeError, match="status 415"):
            client.predict(b"no png")
        with pytest.raises(RuntimeError, match="2 clients failed"):
            service.throughput(b"no png", 2, 0.2)
    assert service._process.poll() is not None
