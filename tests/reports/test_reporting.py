"""Parts of a report: stages of networks counted by hand, small pictures, sources of every approach, wide tables."""

from __future__ import annotations

import io
from pathlib import Path

import keras
import numpy as np
import pytest
import yaml
from PIL import Image

from seglab.errors import TrackingError
from seglab.models.context import deeplabv3plus
from seglab.models.encoder_unet import encoder_unet
from seglab.models.unet import attention_unet, unet
from seglab.models.volumetric import conv3d, vnet
from seglab.reports.document import Cell, PageSection, Picture, TableBlock
from seglab.reports.study import technical_note
from seglab.reports.study.architecture_drawing import draw_architecture, read_stages
from seglab.reports.study.methods import GROUPS, known_approaches
from seglab.reports.study.small_images import LIMIT, small
from seglab.task import Task

ROOT = Path(__file__).parents[2]
FLAT = Task(2, 1, ("background", "cell", "nucleus"))
SOLID = Task(3, 1, ("background", "organ"))


def noise(side: int) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (side, side, 3), np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def test_the_stages_of_a_unet_are_those_of_the_paper() -> None:
    model = unet(FLAT, (16, 24), depth=2, width=4)
    drawing = read_stages(model)
    drawn = [(stage.side, stage.size, stage.channels, stage.convolutions) for stage in drawing.stages]
    assert drawn == [
        ("down", (16, 24), 4, 2),
        ("down", (8, 12), 8, 2),
        ("bottom", (4, 6), 16, 2),
        ("up", (8, 12), 8, 2),
        ("up", (16, 24), 3, 3),  # two convolutions and the logits of three classes
    ]
    assert drawing.skips == [(0, 4), (1, 3)]
    assert drawing.image == (16, 24, 1)
    assert drawing.weights == model.count_params() == sum(stage.weights for stage in drawing.stages)
    # 3 × 3 × 1 × 4 weights, 3 × 3 × 4 × 4 weights, and four numbers a channel for each batch norm
    biases = drawing.stages[0].weights - (36 + 144 + 2 * 4 * 4)
    assert biases in (0, 8)


def test_a_stack_shows_each_of_its_convolutions() -> None:
    drawing = read_stages(conv3d(SOLID, (8, 8, 8), depth=3, width=4))
    assert [stage.channels for stage in drawing.stages] == [4, 4, 4, 1]
    assert [stage.convolutions for stage in drawing.stages] == [1, 1, 1, 1]
    assert drawing.skips == []


@pytest.mark.parametrize(
    ("model", "levels", "skips"),
    [
        pytest.param(lambda: attention_unet(FLAT, (16, 16), depth=2, width=4), 3, 2, id="attention"),
        pytest.param(lambda: vnet(SOLID, (16, 16, 16), depth=2, width=4, kernel=3), 3, 2, id="vnet"),
        pytest.param(lambda: encoder_unet(FLAT, (64, 64), weights=None, width=4), 6, 5, id="nested encoder"),
        # strides 2, 4, 8 and 16 of the encoder and full size at the end; one skip at stride 4
        pytest.param(lambda: deeplabv3plus(FLAT, (64, 64), weights=None, width=8), 5, 1, id="pyramid"),
    ],
)
def test_every_kind_of_network_has_its_levels_and_skips(model: object, levels: int, skips: int) -> None:
    drawing = read_stages(model())  # type: ignore[operator]
    assert len({stage.size for stage in drawing.stages}) == levels
    assert len(drawing.skips) == skips
    assert [stage.side for stage in drawing.stages].count("bottom") == 1


def test_the_stages_survive_saving(tmp_path: Path) -> None:
    model = unet(FLAT, (16, 16), depth=2, width=4)
    model.save(tmp_path / "model.keras")
    assert read_stages(keras.saving.load_model(tmp_path / "model.keras")) == read_stages(model)


def test_the_drawing_says_sizes_and_weights() -> None:
    model = unet(FLAT, (16, 24), depth=2, width=4)
    axes = draw_architecture(read_stages(model), "UNet").axes[0]
    words = [text.get_text() for text in axes.texts]
    assert "16 × 24\n× 1" in words
    assert "4 × 6\n× 16" in words
    assert f"{model.count_params():,} weights" in axes.get_title(loc="left")


def test_every_approach_of_the_config_has_its_source() -> None:
    for group in GROUPS:
        facts = known_approaches()[group]
        targets = {yaml.safe_load(path.read_text())["_target_"] for path in (ROOT / "conf" / group).glob("*.yaml")}
        assert targets == set(facts)
        for fact in facts.values():
            assert set(fact) == {"idea", "source", "address"}
            assert fact["address"].startswith("https://")


def test_a_picture_that_is_small_stays_as_it_is() -> None:
    content = noise(40)
    assert small(content) == content
    assert Picture("a", content, "").kind == "png"


@pytest.mark.parametrize("side", [300, 900])
def test_a_large_picture_becomes_a_jpeg_below_the_limit(side: int) -> None:
    content = noise(side)
    made = small(content)
    assert len(content) > LIMIT
    assert len(made) <= LIMIT
    assert Picture("a", made, "").kind == "jpeg"
    shape = Image.open(io.BytesIO(made)).size
    assert shape[0] == shape[1] <= side
    assert small(content) == made


def test_a_wide_table_is_cut_between_totals_and_classes() -> None:
    names = ["variant", "", "test_dice", *[f"dice/class{k}" for k in range(11)], "images/s"]
    grid = TableBlock(names, [[Cell(str(i)) for i in range(len(names))]], "of all")
    first, second = technical_note._narrow(PageSection("", grids=[grid]), "dice").grids
    assert first.columns == ["variant", "", "test_dice", "images/s"]
    assert [cell.text for cell in first.rows[0]] == ["0", "1", "2", "14"]
    assert second.columns == ["variant", *[f"class{k}" for k in range(11)]]
    assert [cell.text for cell in second.rows[0]] == ["0", *map(str, range(3, 14))]
    narrow = PageSection("", grids=[TableBlock(names[:5], [])])
    assert technical_note._narrow(narrow, "dice").grids == narrow.grids


def test_pandoc_is_given_the_style_and_the_breaks_that_it_would_drop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("pandoc", "weasyprint"):
        (tmp_path / name).touch(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    page = tmp_path / "loss_study" / "note.html"
    page.parent.mkdir()
    page.write_text("<style>td { color: red }</style><style>p { margin: 0 }</style><td>A_<wbr>B</td>", encoding="utf-8")
    words = technical_note._printer(page, tmp_path / "note.pdf", tmp_path)
    assert words is not None
    assert words[:4] == [str(tmp_path / "pandoc"), str(tmp_path / "note.html"), "-o", str(tmp_path / "note.pdf")]
    assert f"--pdf-engine={tmp_path / 'weasyprint'}" in words
    (style,) = (word.removeprefix("--css=") for word in words if word.startswith("--css="))
    assert Path(style).read_text().splitlines() == ["td { color: red }", "p { margin: 0 }"]
    assert "<td>A_\u200bB</td>" in (tmp_path / "note.html").read_text(encoding="utf-8")


def fake_browser(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    (folder / "chromium").write_text(f"#!/bin/sh\n{script}\n")
    (folder / "chromium").chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))


def test_without_a_browser_nothing_is_printed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert technical_note.print_page(tmp_path / "page.html", tmp_path / "page.pdf") is None


def test_a_browser_that_fails_is_reported_with_its_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_browser(tmp_path, monkeypatch, "echo no display >&2; exit 1")
    (tmp_path / "page.pdf").write_text("of an earlier report")
    with pytest.raises(TrackingError, match="no display"):
        technical_note.print_page(tmp_path / "page.html", tmp_path / "page.pdf")
    assert not (tmp_path / "page.pdf").exists()
