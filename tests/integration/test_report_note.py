"""The technical note of trained runs with bundles, in a real browser where there is one."""

from __future__ import annotations

import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import pytest
import toys
from bundled_study import record

from seglab.reports.study.technical_note import print_page
from seglab.reports.study.write_report import write_report

BROWSER = shutil.which("chromium") or shutil.which("google-chrome")
PANDOC = [shutil.which(program) for program in ("pandoc", "weasyprint")]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str], list[Path]]:
    folder = tmp_path_factory.mktemp("note")
    toys.fresh_store(folder / "mlruns")
    scores = {"DiceLoss": [0.5, 0.6, 0.7, 0.8], "TverskyLoss": [0.6, 0.7, 0.8, 0.9]}
    ids = {loss: record(folder, loss, values) for loss, values in scores.items()}
    study = folder / "experiments" / "cells"
    study.mkdir(parents=True)
    (study / "study.yaml").write_text("# Which loss finds <small> cells?\nhydra: {}\n")
    files = write_report("cells", cases=0, directory=folder / "mlruns", studies=folder / "experiments")
    return study, ids, files


def test_the_note_tells_data_approaches_and_networks(made: tuple[Path, dict[str, str], list[Path]]) -> None:
    study, ids, _ = made
    text = (study / "note.md").read_text()
    assert "| cases | 5 training, 2 validation, 4 test |" in text
    assert "| image | 1 channel; the network is given 16 × 24 pixels (resize) |" in text
    assert "| 0 | background | 87.5% | no |" in text
    assert "| 1 | cell | 12.5% | yes |" in text
    assert "| findings that were allowed | group-in-two-splits |" in text
    assert "but for the findings that were allowed" in text
    assert "https://arxiv.org/abs/1505.04597" in text
    assert "https://arxiv.org/abs/1706.05721" in text
    assert "Focal" not in text
    assert "(pictures/architecture_0.png)" in text
    assert "architecture_1" not in text  # both runs have the same network
    assert "| batch size | data.batch_size | 8 |" in text
    assert "not drawn" not in text
    assert f"promote run={ids['TverskyLoss']}" in text
    assert "2 of 2 runs were of code with uncommitted changes" in text


def test_the_machine_is_that_of_the_runs(made: tuple[Path, dict[str, str], list[Path]]) -> None:
    study, _, _ = made
    for name in ("README.md", "note.md"):
        text = (study / name).read_text()
        assert re.search(r"\| machine \| .+ cores, [\d.]+ GB memory", text)
        assert re.search(r"\| software \| Python 3[\d.]+, TensorFlow 2[\d.]+, Keras 3[\d.]+ \|", text)


class Addresses(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [value or "" for name, value in attrs if name in ("src", "href", "data", "action", "srcset")]


def test_the_page_needs_no_network_and_escapes(made: tuple[Path, dict[str, str], list[Path]]) -> None:
    study, _, _ = made
    text = (study / "note.html").read_text()
    parser = Addresses()
    parser.feed(text)
    assert len(parser.found) >= 4
    assert all(address.startswith("data:") for address in parser.found)
    assert not re.search(r"@import|url\(", text)
    assert "finds &lt;small&gt; cells" in text
    assert "<small>" not in text


def test_every_picture_of_the_note_is_there(made: tuple[Path, dict[str, str], list[Path]]) -> None:
    study, _, files = made
    linked = set(re.findall(r"\]\((pictures/[^)]+)\)", (study / "note.md").read_text()))
    assert {study / name for name in linked} <= set(files)
    assert {path.name for path in (study / "pictures").iterdir()} == {
        file.name for file in files if file.parent.name == "pictures"
    }


@pytest.mark.skipif(BROWSER is None, reason="no Chromium on this machine")
def test_the_browser_prints_it(made: tuple[Path, dict[str, str], list[Path]]) -> None:
    study, _, files = made
    printed = study / "note.pdf"
    assert printed in files
    content = printed.read_bytes()
    assert content.startswith(b"%PDF")
    assert 3 <= len(re.findall(rb"/Type\s*/Page\b", content)) <= 12


@pytest.mark.slow
@pytest.mark.skipif(not all(PANDOC), reason="no pandoc with weasyprint on this machine")
def test_without_a_browser_pandoc_prints_it(
    made: tuple[Path, dict[str, str], list[Path]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study, _, _ = made
    for program in PANDOC:
        (tmp_path / Path(str(program)).name).symlink_to(str(program))
    monkeypatch.setenv("PATH", str(tmp_path))
    printed = print_page(study / "note.html", tmp_path / "note.pdf")
    assert printed == tmp_path / "note.pdf"
    assert printed.read_bytes().startswith(b"%PDF")
