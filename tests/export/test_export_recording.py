"""Exports of one run stand side by side among its artifacts and are never mixed."""

from __future__ import annotations

import json
from pathlib import Path

import toys
from promotable import made_bundle, trained

from seglab.export.folder import ACCURACY, write_sums
from seglab.export.recording import digest_of, log_to_run
from seglab.export.request import ExportRequest
from seglab.tracking.store import open_store


def exported(out: Path, dice: float, *names: str) -> Path:
    for name in names:
        (out / name).mkdir(parents=True)
        row = {"reference": 0.9, "target": dice, "difference": dice - 0.9, "low": None, "high": None, "cases": 3}
        (out / name / ACCURACY).write_text(json.dumps({"cases": 3, "dice": {"mean": row}}))
        write_sums(out / name)
    return out


def test_two_exports_of_a_run(tmp_path: Path) -> None:
    store = open_store(None, toys.fresh_store(tmp_path / "mlruns"))
    run = trained(store, made_bundle(tmp_path / "bundle"), 0.9, 0.9)
    first = exported(tmp_path / "a", 0.91, "openvino-float32", "onnx-float32")
    second = exported(tmp_path / "b", 0.89, "openvino-float32")
    places = []
    for out in (first, second, first):
        logged = log_to_run(ExportRequest(str(out), run=run), out, store.directory)
        assert logged is not None
        assert Path(logged).name == digest_of(out)
        places.append(logged)
    assert places[0] == places[2] != places[1]
    for place, out in zip(places, (first, second), strict=False):
        mine, theirs = ({str(f.relative_to(top)) for top in [Path(p)] for f in top.rglob("*")} for p in (place, out))
        assert mine == theirs
    metrics = store.run(run).data.metrics
    assert metrics["export_openvino_float32_dice"] == 0.91
    assert metrics["export_onnx_float32_dice_difference"] == 0.91 - 0.9
    assert log_to_run(ExportRequest(str(first), bundle=str(tmp_path / "bundle")), first, store.directory) is None
