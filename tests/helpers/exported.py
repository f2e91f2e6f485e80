"""Shared by the tests of exports: a bundle, and the folder of all its targets."""

from __future__ import annotations

from pathlib import Path

import pytest
from exportable import exportable

from seglab.export.exporting import export
from seglab.export.request import ExportRequest


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return exportable(tmp_path_factory.mktemp("made"))


@pytest.fixture(scope="module")
def out(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Exported to OpenVINO in float32 and int8."""
    place = tmp_path_factory.mktemp("exported") / "out"
    return export(ExportRequest(str(place), bundle=str(bundle), format=("openvino",), precision=("float32", "int8")))
