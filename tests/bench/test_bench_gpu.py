"""What a GPU must show: the refusal without one, the table of the README, and all of it in tiny sizes on this CPU."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.gpu import __main__ as gpu_check
from benchmarks.gpu.results import NOT_MEASURED, README, gpu_table, ratios, read_results, readme_with

STEPS: list[dict[str, Any]] = [
    {"who": "seglab", "case": "unet", "format": "float32", "how": "no XLA", "seconds": 0.02, "flops": 2e10},
    {"who": "seglab", "case": "unet", "format": "float32", "how": "XLA", "seconds": 0.01, "flops": 2e10},
    {"who": "stock", "case": "unet", "format": "float32", "how": "XLA", "seconds": 0.03, "flops": 2e10},
    {"who": "torch", "case": "unet", "format": "float32", "how": "channels last", "seconds": 0.025},
    {"who": "torch", "case": "unet", "format": "float32", "how": "channels last, compiled", "seconds": 0.015},
    {"who": "torch", "case": "unet", "format": "mixed_float16", "how": "channels last", "failed": "out of memory"},
]
FOUND = {"device": "NVIDIA X", "backend": "jax", "date": "2026-12-01", "steps": STEPS, "matmul": {"float32": 4e12}}


def test_the_best_of_each_is_compared() -> None:
    (row,) = ratios(STEPS, FOUND["matmul"])  # type: ignore[arg-type]
    assert (row["how"], row["stock"], row["torch"], row["share"]) == ("XLA", 3.0, 1.5, 0.5)
    assert "| unet | float32 | 3.00 × | 1.50 × | 50% |" in gpu_table(FOUND)


def test_the_readme_has_what_was_measured_or_says_that_nothing_was() -> None:
    text = README.read_text(encoding="utf-8")
    assert readme_with(gpu_table(read_results()), text) == text
    assert gpu_table(None) == NOT_MEASURED
    assert gpu_table(FOUND) in readme_with(gpu_table(FOUND), text)


def test_without_a_gpu_nothing_is_measured(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(gpu_check, "device", lambda: "")
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    assert gpu_check.main([]) == 2
    assert "error: no GPU that jax uses" in (output := capsys.readouterr().err)
    assert "pip install jax[cuda12]" in output


@pytest.mark.slow
@pytest.mark.timeout(2400)
def test_all_of_it_in_tiny_sizes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu_check, "MINUTES", 40.0)
    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    out = tmp_path / "gpu.json"
    assert gpu_check.main(["--tiny", "--out", str(out)]) == 0
    found = json.loads(out.read_text())
    assert found["left_out"] == ["steps of PyTorch", "hippocampus"]
    failed = {(step["who"], step["format"]) for step in found["steps"] if "failed" in step}
    assert failed <= {("stock", "mixed_float16")}  # Keras pools no volumes in float16 on a CPU
    assert len(found["steps"]) == 2 * 3 * 2
    assert [len(curve) for curve in found["curves"].values()] == [2, 2, 2]
    assert found["served"]["p95_ms"] >= found["served"]["p50_ms"] > 0
    assert set(found["matmul"]) == {"mixed_float16", "mixed_bfloat16", "float32"}
