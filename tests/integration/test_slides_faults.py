"""Slides of studies with holes: what was not measured, is damaged, or was written by somebody."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import toys
from bundled_study import record
from pptx import Presentation
from recorded_runs import level
from slide_measure import dejavu, helvetica, overflowing
from studies import Bench
from study_slides import STUDY, Deck, deck, folder, report, store

from seglab.cli.main import main
from seglab.cli.report import read_words
from seglab.errors import ConfigError
from seglab.reports.study.page_record import TO_BE_WRITTEN

__all__ = ["deck", "folder", "store"]


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """Runs that have recorded nothing but their scores."""
    monkeypatch.setenv("PATH", str(tmp_path))
    made = Bench(tmp_path)
    for loss, mean in (("DiceLoss", 0.6), ("FocalLoss", 0.7)):
        for seed in (0, 1):
            made.run(loss, mean, seed)
    return made


def test_what_was_not_measured_is_stated_to_be_so(bench: Bench) -> None:
    bench.report(slides=True)
    deck = Deck(bench.folder / "slides.pptx")
    assert "not measured" in deck.words("Classes and their shares")
    assert "not measured" in deck.words("What a network is shown")
    assert "No two variants of this study differ in augmentation alone" in deck.words("Gains of augmentation")
    assert "not measured" in deck.words("Best, median and worst case")
    assert "Its network is not drawn. UNet is not drawn: the run has no model bundle." in deck.words(
        "The chosen architecture"
    )
    head, *rows = deck.table("Cost")
    assert [row[head.index("peak memory")] for row in rows] == ["not measured"] * 2
    assert all(row[1].startswith(("not measured", "no run")) for row in deck.table("Production")[1:])
    note = (bench.folder / "note.md").read_text()
    assert "| exported | not measured" in note
    assert "Gains of augmentation: not measured. No two variants of this study differ in augmentation alone." in note
    assert "Its network is not drawn. UNet is not drawn: the run has no model bundle." in note
    cost = note.partition(". Cost: ")[2].partition("\n## ")[0]
    assert cost.count("| not measured |") == 2
    assert not list(deck.pictures())[3:]  # intervals, curves, costs


def test_a_picture_that_is_damaged_is_left_out_and_stated_to_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    toys.fresh_store(tmp_path / "mlruns")
    runs = [
        record(tmp_path, loss, [0.5, 0.6, 0.7, level], with_bundle=False, pictures=("training_samples", "test_cases"))
        for loss, level in (("DiceLoss", 0.5), ("TverskyLoss", 0.8))
    ]
    for name in ("training_samples", "test_cases"):
        for file in tmp_path.rglob(f"artifacts/**/{name}.png"):
            file.write_bytes(file.read_bytes()[:40])
    (tmp_path / "experiments" / "cells").mkdir(parents=True)
    (tmp_path / "experiments" / "cells" / "study.yaml").write_text(STUDY)
    deck = Deck(report(tmp_path))
    notice = f"training_samples.png of run {runs[0][:8]} is left out: it is damaged, or no picture."
    assert deck.words("What a network is shown") == notice
    assert "test_cases.png of run" in deck.words("Best, median and worst case")
    assert notice in (tmp_path / "experiments" / "cells" / "note.md").read_text().replace("\\", "")


def test_a_conclusion_that_was_written_for_other_runs_is_left_out(bench: Bench) -> None:
    bench.report()
    text = bench.readme.replace(TO_BE_WRITTEN, "The focal loss wins by 0.123.")
    (bench.folder / "README.md").write_text(text)
    bench.report(slides=True)
    title = "Conclusion, written by hand"
    assert Deck(bench.folder / "slides.pptx").words(title) == "The focal loss wins by 0.123."
    bench.run("FocalLoss", 0.7, 2)
    bench.report(slides=True)
    deck = Deck(bench.folder / "slides.pptx")
    assert deck.words(title).startswith("Left out: it was written for other runs")
    assert all("0.123" not in deck.notes(name) for name in deck.pages)


def test_slides_that_somebody_has_changed_are_not_lost(bench: Bench) -> None:
    bench.report(slides=True)
    file = bench.folder / "slides.pptx"
    presentation = Presentation(str(file))
    presentation.slides[0].shapes.title.text_frame.text = "My lecture"
    presentation.save(str(file))
    mine = file.read_bytes()
    with pytest.raises(ConfigError, match=r"slides\.pptx") as refused:
        bench.report(slides=True)
    assert refused.value.code == "report-edited"
    bench.report()  # the pages alone
    assert file.read_bytes() == mine
    bench.report(slides=True, overwrite=True)
    assert "My lecture" not in Deck(file).pages


@pytest.mark.filterwarnings("ignore:Glyph")  # of a script that the font of the plots has not
def test_names_of_others_are_text_on_slides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    bench = Bench(tmp_path)
    (bench.folder / "study.yaml").write_text("# Is \u202e it <b>so</b>? " + "A_long_name" * 60 + "\n")
    for loss in ("<a:t>&amp;\u202eLoss\x1b[2J" + "x" * 20, "細胞核の分割" * 3):
        bench.recorder.run(level(0.6), loss=loss, tags={"study": "grid"})
        bench.recorder.run(level(0.6), loss=loss, seed=1, tags={"study": "grid"})
    bench.report(slides=True)
    deck = Deck(bench.folder / "slides.pptx")
    assert any(r"<a:t>&amp;\u202eLoss\x1b[2J" in row[0] for row in deck.table("Approaches")[1:]) or (
        r"<a:t>&amp;\u202eLoss\x1b[2J" in deck.notes("Approaches")
    )
    letters = helvetica(), dejavu()
    for page in deck.presentation.slides:
        for width in letters:
            assert not overflowing(page, width)


def test_many_variants_on_several_data_are_thirty_slides_at_most(bench: Bench) -> None:
    for data in range(2):
        for number in range(2):
            for seed in (0, 1):
                bench.run(f"Loss{number}", 0.5 + number / 50, seed, data=f"data-{data}", split=f"split-{data}")
    for number in range(12):
        bench.run(f"AnotherLossOfALongName{number}", 0.5, 0)
    bench.report(slides=True)
    deck = Deck(bench.folder / "slides.pptx")
    assert len(deck.presentation.slides) <= 30
    assert "Answers on other data" in deck.pages
    assert "more, in the notes" in deck.foot("Answer")


def test_without_the_package_the_words_to_install_it_are_reported_before_the_work(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [
        name
        for name in sys.modules
        if name.startswith(("seglab.reports.study.study_slides", "seglab.reports.slides", "pptx"))
    ]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "pptx", None)
    with pytest.raises(ModuleNotFoundError):
        bench.report(slides=True)
    assert not (bench.folder / "README.md").exists()
    bench.report()
    with pytest.raises(ConfigError, match=r"seglab\[slides\]"):
        main(
            [
                "report",
                "study=loss_study",
                "slides=true",
                f"runs={bench.recorder.store.directory}",
                f"out={bench.folder}",
            ]
        )


def test_the_command_takes_the_word() -> None:
    assert read_words(["study=loss_study", "slides=true"]).slides
    assert not read_words(["study=loss_study"]).slides
