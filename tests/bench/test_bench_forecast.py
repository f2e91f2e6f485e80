"""The comparison of forecasts with runs: its pairs, its arithmetic, what it keeps; and one pair, really measured."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks.forecast import __main__ as bench
from benchmarks.forecast.data import IMAGES, VOLUMES, words_of
from seglab.command import composed_config
from seglab.config.run_config import load_config, load_data
from seglab.errors import ConfigError, TrainingError

PAIR = bench.Pair([], 1100, 12.0, 0.2, 1000, 16.0, 0.25, 30.0, 0.5)


def test_six_data_sets_times_four_networks_that_all_can_be_trained(tmp_path: Path) -> None:
    pairs = bench.all_pairs({})
    assert len(pairs) == 24
    assert len(IMAGES | VOLUMES) == 6
    for name, model in pairs.items():
        data = (IMAGES | VOLUMES)[name.partition("/")[0]]
        root = [] if "synthetic" in data[0] else [f"data.root={tmp_path}"]
        load_config(composed_config([*data, *root, *model]))
    more = bench.all_pairs({"mine": 3})
    assert len(more) == 28
    assert more["mine/vnet"] == more["cubes/vnet"]


def test_pairs_are_chosen_by_either_half() -> None:
    pairs = bench.all_pairs({})
    assert bench.chosen(pairs, ()) == list(pairs)
    assert len(bench.chosen(pairs, ("grey", "cubes/vnet"))) == 5
    assert bench.chosen(pairs, ("fpn",)) == ["grey/fpn", "colour/fpn", "patches/fpn"]
    with pytest.raises(ConfigError, match="gray"):
        bench.chosen(pairs, ("gray",))


def test_the_table_says_how_far_off_each_is_and_how_many_are_near() -> None:
    off = replace(PAIR, memory_mb=800, step_seconds=0.24)
    page = bench.table({"grey/unet": PAIR, "cubes/vnet": off}, "make bench-forecast")
    assert "| grey/unet | 1100 : 1000 | +10% | 12.0 : 16.0 | -25% | 0.200 : 0.250 | -20% | 30 | 0.5 |" in page
    assert "memory: 1 of 2 within ±15%; the worst -20%" in page
    assert "time of the run: 0 of 2 within ±20%; the worst -25%" in page
    assert "time of a step: 2 of 2 within ±20%; the worst -20%" in page


def test_what_was_measured_is_kept_and_not_measured_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    measured: list[list[str]] = []

    def measure(words: list[str], epochs: int, _: Path) -> bench.Pair:
        measured.append(words)
        if "model=vnet" in words:
            raise TrainingError("no", code="plan-dry-run", where="here", found="it", expected="more", remedy="mend it")
        return replace(PAIR, words=words, run_seconds=10.0 * epochs)

    monkeypatch.setattr(bench, "measure", measure)
    asked = ["pairs=[cubes/unet3d,cubes/vnet]", f"out={tmp_path}"]
    assert bench.main(asked) == 1
    assert "failed" in capsys.readouterr().err
    assert bench.main(["pairs=[cubes/unet3d,cubes/segresnet]", f"out={tmp_path}"]) == 0
    assert [words[4] for words in measured] == ["model=unet3d", "model=vnet", "model=segresnet"]
    assert list(json.loads((tmp_path / "forecast.json").read_text())) == ["cubes/unet3d", "cubes/segresnet"]
    assert "| cubes/unet3d |" in (page := (tmp_path / "forecast.md").read_text())
    assert "| cubes/segresnet |" in page
    assert bench.main(["pairs=[cubes/unet3d]", f"out={tmp_path}", "epochs=2"]) == 0  # another question
    assert bench.main(["pairs=[cubes/unet3d]", f"out={tmp_path}", "epochs=2", "again=true"]) == 0
    assert len(measured) == 5
    assert json.loads((tmp_path / "forecast.json").read_text())["cubes/unet3d"]["run_seconds"] == 20


def test_data_in_files_are_written_once_and_can_be_read(tmp_path: Path) -> None:
    for name, shape in (("colour", (448, 512, 3)), ("slices", (96, 96, 16, 1))):
        words = words_of(name, tmp_path)
        source = load_data(composed_config(words)).data.build()
        sample = source.read(source.cases[0])
        assert sample.image.shape == shape
        assert np.unique(sample.mask).size >= 2
        before = (tmp_path / name).stat().st_mtime_ns
        assert words_of(name, tmp_path) == words
        assert (tmp_path / name).stat().st_mtime_ns == before


def test_a_command_is_measured_without_what_this_process_holds(tmp_path: Path) -> None:
    held = np.ones(300 << 20, np.uint8)
    code = "import time; made = bytearray(60 << 20); time.sleep(0.2); sum(range(10**6)); print(len(made))"
    found = bench.watched([sys.executable, "-S", "-c", code], tmp_path)
    assert 60 < found["memory_mb"] < 120 < held.nbytes >> 20
    assert 0.2 < found["seconds"] < 20
    assert 0.01 < found["processor_seconds"] < 10
    assert (tmp_path / "run.log").read_text() == f"{60 << 20}\n"
    with pytest.raises(RuntimeError, match="nothing to give"):
        bench.watched([sys.executable, "-S", "-c", "raise SystemExit('nothing to give')"], tmp_path)


def test_work_of_other_programs_is_all_but_its_own_and_that_of_what_it_started(monkeypatch: pytest.MonkeyPatch) -> None:
    of_all = SimpleNamespace(user=50.0, nice=30.0, system=20.0, idle=1000.0)
    monkeypatch.setattr(bench.psutil, "cpu_times", lambda: of_all)
    monkeypatch.setattr(bench.os, "times", lambda: (4.0, 3.0, 20.0, 3.0, 999.0))
    assert bench._busy_elsewhere() == 70


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_pair_is_really_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small = ("model=unet3d", "model.width=2", "data.size=[16,16,16]", "data.count=8", "loss=dice")
    monkeypatch.setitem(bench.MODELS[3], "unet3d", small)
    assert bench.main(["pairs=[cubes/unet3d]", "epochs=2", f"out={tmp_path}"]) == 0
    found = bench.kept_in(tmp_path / "forecast.json")["cubes/unet3d"]
    assert 300 < found.memory_mb < 3000
    assert abs(found.memory_error) < 0.25
    assert 0 < found.run_step_seconds < found.run_seconds
    assert 1 < found.processor_seconds < 600
