"""`seglab bench` and its like find what they measure with in a checkout, and say that they need one."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from seglab.cli import bench
from seglab.errors import ConfigError


@pytest.mark.parametrize("verb", [bench.run, bench.run_data])
def test_an_installed_seglab_says_that_it_needs_a_checkout(verb, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr(bench, "IN_CHECKOUT", False)
    with pytest.raises(ConfigError, match="not part of an installed seglab") as caught:
        verb([])
    assert caught.value.code == "needs-checkout"
    assert "git clone" in str(caught.value)


@pytest.mark.slow
def test_a_checkout_measures_from_any_folder(tmp_path: Path) -> None:
    words = ["bench-data", "only=[cache]", "rounds=1", "scenes=4"]
    done = subprocess.run(
        [sys.executable, "-m", "seglab", *words], cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    record = json.loads((tmp_path / "mlruns" / "bench" / "bench_data.json").read_text())
    assert [row["what"].split(" :")[0] for row in record["ratios"]] == [
        "cached samples",
        "building the cache",
    ]
