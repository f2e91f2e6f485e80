"""A path is printed on one line, whatever its name holds: what reads the lines of a command takes each for a file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from networks_by_hand import ABOVE_HALF, AS_IS, BINARY, pixelwise
from PIL import Image

from seglab.cli import segment
from seglab.errors import DataError
from seglab.inference.predict_command import predict
from seglab.inference.predictor import Predictor

NAME = "a\nb\tc\x1b[2J"
PRINTED = "a\\nb\\tc\\x1b[2J"


@pytest.fixture
def image(tmp_path: Path) -> Path:
    file = tmp_path / "in" / f"{NAME}.png"
    file.parent.mkdir()
    Image.fromarray(np.kron(np.eye(2, dtype=np.uint8), np.full((24, 24), 200, np.uint8))).save(file)
    return file


def test_of_predicted_masks(image: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    predictor = Predictor(pixelwise(BINARY, (16, 16), *ABOVE_HALF), BINARY, AS_IS, (16, 16), "patch")
    (image.parent / f"{NAME}.jpg").with_stem(f"{NAME} bad").write_bytes(b"no image")
    out = str(tmp_path / "out")
    assert predict("", [str(image.parent)], out, predictor=predictor) == 1
    printed = capsys.readouterr()
    assert printed.out == f"{out}/{PRINTED}.png\n"
    lines = printed.err.splitlines()
    assert f"  where:    {image.parent}/{PRINTED} bad.jpg" in lines
    assert f"  {image.parent}/{PRINTED} bad.jpg" in lines


def test_of_segmented_images(image: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert segment.run([f"image={image}", "box=center", f"out={tmp_path / NAME}"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert lines[0].startswith(f"{image.parent}/{PRINTED}.png: area ")
    assert lines[1] == f"1 mask and segments.csv in {tmp_path}/{PRINTED}"


def test_of_an_error() -> None:
    assert f"\n  where:    {PRINTED}\n  found:" in str(DataError("a title", code="x", where=NAME, found=1))
