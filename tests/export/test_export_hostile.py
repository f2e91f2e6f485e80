"""A folder that somebody made to look like an export is refused in a sentence, also where its digests fit."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from exportable import exportable

from seglab.cli.verify import run as verify_words
from seglab.errors import ConfigError, DataError
from seglab.export.exporting import export
from seglab.export.folder import ANSWER, GIVEN, MANIFEST, MASK, SUMS, check_sums, files_below, write_sums
from seglab.export.request import ExportRequest
from seglab.export.verification import main, verify


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("made")
    words = {"bundle": str(exportable(made)), "format": ("openvino",), "accuracy": False}
    return export(ExportRequest(str(made / "out"), **words))  # type: ignore[arg-type]


def pickled(folder: Path) -> None:
    np.save(folder / GIVEN, np.array([{}], object), allow_pickle=True)


def endless(folder: Path) -> None:
    header = "{'descr': '<f4', 'fortran_order': False, 'shape': (1000000, 1000000, 10), }"
    (folder / GIVEN).write_bytes(b"\x93NUMPY\x01\x00v\x00" + header.ljust(117).encode() + b"\n")


def elsewhere(folder: Path) -> None:
    manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    (folder / MANIFEST).write_text(json.dumps(manifest | {"file": "../../secret"}), encoding="utf-8")


def lenient(folder: Path) -> None:
    manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    manifest["target"]["logit"] = 1e9
    (folder / MANIFEST).write_text(json.dumps(manifest), encoding="utf-8")
    np.save(folder / ANSWER, np.load(folder / ANSWER) + np.float32(0.01))


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (lenient, "logits that are not those of the example"),
        (pickled, "ValueError: Object arrays cannot be loaded"),
        (endless, "MemoryError"),
        (lambda folder: (folder / GIVEN).write_bytes(b"xx"), "cannot be run on"),
        (lambda folder: np.save(folder / GIVEN, np.zeros((1, 3, 3, 1), np.float32)), "cannot be run on"),
        (lambda folder: np.save(folder / ANSWER, np.load(folder / ANSWER).astype("U4")), "cannot be run on"),
        (lambda folder: np.save(folder / MASK, np.zeros((2, 2))), "cannot be run on"),
        (lambda folder: (folder / GIVEN).unlink(), "No such file"),
        (elsewhere, "file is ../../secret"),
    ],
)
def test_what_fits_its_digests_and_is_no_export(
    out: Path, tmp_path: Path, harm: Callable[[Path], object], message: str, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = Path(shutil.copytree(out / "openvino-float32", tmp_path / "target"))
    harm(folder)
    write_sums(folder)
    with pytest.raises((DataError, FileNotFoundError), match=message):
        verify(folder)
    assert main([str(folder)]) == 1
    output = capfd.readouterr().err
    assert message in output
    assert "Traceback" not in output


def test_a_pipe_among_the_files_is_seen_and_never_read(tmp_path: Path) -> None:
    (tmp_path / "model.xml").write_text("<net/>")
    write_sums(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    assert files_below(tmp_path) == ["model.xml", "pipe"]
    with pytest.raises(DataError, match="added"):
        check_sums(tmp_path)
    with (tmp_path / SUMS).open("a") as sums:
        sums.write(f"{'0' * 64}  pipe\n")
    with pytest.raises(DataError, match="a pipe or a device"):
        check_sums(tmp_path)


@pytest.mark.parametrize("words", [["nowhere"], ["file"], ["folder="]])
def test_no_folder_at_all_is_a_mistake_and_stated_at_once(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").touch()
    with pytest.raises(ConfigError, match="no exported model here"):
        verify_words(words)


def test_a_place_that_cannot_be_one_is_reported_before_anything_is_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for out in ("", ".", "..", str(tmp_path)):
        with pytest.raises(ConfigError, match=r"not empty|very folder"):
            _ = ExportRequest(out, run="a").place
    Path("file").touch()
    with pytest.raises(ConfigError, match="no folder can be made in"):
        _ = ExportRequest("file/x", run="a").place
    with pytest.raises(ConfigError, match="not empty"):
        _ = ExportRequest("file", run="a").place
    assert ExportRequest("a/b", run="a").place == Path("a/b")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
