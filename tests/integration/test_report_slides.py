"""The slides of a study: every number of a run found again in the store, what is missing said to be, nothing lost."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from bundled_study import TASK
from slide_measure import dejavu, helvetica, overflowing
from study_slides import Deck, StoreAgain, deck, folder, report, store

__all__ = ["deck", "folder", "store"]


def test_every_score_is_found_again_by_its_run_ids(deck: Deck, store: StoreAgain) -> None:
    head, *rows = deck.table("Result: Cells")
    assert head[:3] == ["variant", "", "test_dice"]
    assert len(rows) == 4
    best = store.mean(rows[0][5])
    for row in rows:
        means = [store.dice(run).mean() for run in store.ids(row[5])]
        assert row[2] == f"{np.mean(means):.3f} ± {np.std(means, ddof=1):.3f}"
        for run in store.ids(row[5]):
            params = store.runs[run].data.params
            assert params["loss.name"] in row[0]
            assert params["augment.name"] in row[0]
        if row[1] != "best":
            difference = float(row[3].split()[0].replace("−", "-"))
            assert difference == pytest.approx(store.mean(row[5]) - best, abs=6e-4)
    assert [row[1] for row in rows].count("best") == 1
    match = re.search(r"best test_dice, (\d\.\d+) ± (\d\.\d+)", deck.words("Answer"))
    assert match is not None
    assert f"{match[1]} ± {match[2]}" == rows[0][2]
    of_class = {row[0]: row for row in deck.table("Scores of the classes")}
    assert of_class["dice/cell"][1].split()[0] == f"{store.mean(rows[0][5], 'dice/cell'):.3f}"


def test_every_cost_is_found_again_by_its_run_ids(deck: Deck, store: StoreAgain) -> None:
    head, *rows = deck.table("Cost")
    assert head == ["variant", "train time", "images/s", "peak memory", "parameters", "runs"]
    for row in rows:
        runs = store.ids(row[5])
        seconds = np.mean([store.seconds(run) for run in runs])
        memory = np.mean([float(store.runs[run].data.tags["peak_memory_mb"]) for run in runs]) / 1024
        parameters = np.mean([float(store.runs[run].data.tags["parameters"]) for run in runs])
        assert row[1:5] == [f"{seconds:.0f} s", "not measured", f"{memory:.1f} GB", f"{parameters:,.0f}"]


def test_the_gain_of_augmentation_is_that_of_the_pairs(deck: Deck, store: StoreAgain) -> None:
    (row,) = deck.table("Gains of augmentation")[1:]
    scores: dict[str, list[np.ndarray]] = {"Strong": [], "NoAugmentation": []}
    for run, found in store.runs.items():
        scores[found.data.params["augment.name"]].append(store.dice(run))
    gain = np.mean(scores["Strong"]) - np.mean(scores["NoAugmentation"])
    assert row[:3] == ["augmentation", "Strong instead of NoAugmentation", f"{gain:+.3f}"]
    assert "Above 0 is a gain." in deck.words("Gains of augmentation")
    assert {row[0] for row in deck.table("What each other factor is worth")[1:]} == {"loss"}
    assert sorted(store.ids(deck.foot("Gains of augmentation").removeprefix("Runs "))) == sorted(store.runs)


def test_the_note_has_the_chapters_of_the_slides_with_the_same_digits(folder: Path, deck: Deck) -> None:
    note = (folder / "experiments" / "cells" / "note.md").read_text()
    titles = [title.partition(": ")[0] for title in re.findall(r"^## \d+\. (.*)$", note, re.MULTILINE)]
    wanted = ["Question", "Answer", "Data", "Approaches", "How the scores are made", "Variants", "Against the best"]
    wanted += ["Scores", "Gains of augmentation", "What each factor is worth", "Cost", "The chosen architecture"]
    wanted += ["Cases of the best run", "Production", "Limits", "Next steps", "Runs"]
    assert [title for title in titles if title in wanted] == wanted
    assert len(titles) == len(set(titles))
    chapters = dict(re.findall(r"^## \d+\. ([^:\n]*).*?\n(.*?)(?=^## |\Z)", note, re.MULTILINE | re.DOTALL))
    for slide, chapter in (("Cost", "Cost"), ("Gains of augmentation",) * 2):
        for row in deck.table(slide)[1:]:
            (line,) = [one for one in chapters[chapter].splitlines() if f"| {row[0]} |" in one.replace("**", "")]
            assert all(f"| {cell} |" in line.replace("**", "") for cell in row), (row, line)
    assert "augmentation" not in chapters["What each factor is worth"].partition("\n\n")[0].partition("| ---")[2]
    assert "train time" not in chapters["Variants"]
    assert "Train time" not in chapters["Variants"]
    assert "Train time: the epochs with their validation" in chapters["Cost"]
    assert deck.words("The chosen architecture") in chapters["The chosen architecture"].replace("\\", "")
    assert "(pictures/costs" in chapters["Cost"]
    assert "(pictures/architecture_0" in chapters["The chosen architecture"]


def test_the_runs_table_and_the_notes_hold_whole_ids(deck: Deck, store: StoreAgain) -> None:
    rows = deck.table("Runs")[1:]
    assert {row[0] for row in rows} == set(store.runs)
    for row in rows:
        assert row[3] == f"{store.dice(row[0]).mean():.3f}"
    for title in ("Answer", "Result: Cells", "Cost", "Gains of augmentation", "What is told apart, and what is tied"):
        run_ids = store.ids(deck.foot(title).removeprefix("Runs "))
        assert sorted(run_ids) == sorted(store.runs)  # each of these slides is of all of them
        assert all(run in deck.notes(title) for run in run_ids)


def test_data_network_and_pictures_are_those_of_the_runs(deck: Deck, store: StoreAgain) -> None:
    facts = dict(deck.table("Data")[1:])
    assert facts["cases"] == "5 training, 2 validation, 4 test"
    assert [row[1:3] for row in deck.table("Classes and their shares")[1:]] == [
        [name, f"{share:.1%}"] for name, share in zip(TASK.class_names, TASK.class_frequencies or (), strict=True)
    ]
    (run,) = store.ids(deck.foot("The chosen architecture").removeprefix("Run "))
    params, tags = store.runs[run].data.params, store.runs[run].data.tags
    assert (params["loss.name"], params["augment.name"], params["seed"]) == ("TverskyLoss", "Strong", "1")
    assert f"Parameters: {int(tags['parameters']):,}." in deck.words("The chosen architecture")
    for title in ("What a network is shown", "The chosen architecture", "Best, median and worst case", "Learning"):
        assert [shape.name for shape in deck.pages[title].shapes].count("picture") == 1


def test_production_is_what_store_and_register_know(deck: Deck, store: StoreAgain) -> None:
    rows = {row[0]: row[1:] for row in deck.table("Production")[1:]}
    text, short = rows["exported"]
    (run,) = store.ids(short)
    assert store.runs[run].data.metrics["export_onnx_float32_dice"] == pytest.approx(0.7512)
    assert text == "onnx_float32: Dice 0.751, −0.0012 against the trained model"
    assert rows["promotion gate"][0].startswith("VALIDATED: ")
    assert rows["registered"] == ["cells version 1, champion", short]
    assert store.client.get_model_version_by_alias("cells", "champion").run_id == run
    assert rows["served"][0].startswith("not measured")
    assert deck.foot("Production") == f"Run {short}", "a run is named once, whatever became of it"


def test_thirty_slides_at_most_none_overflows_and_each_picture_has_words(deck: Deck) -> None:
    assert 20 <= len(deck.presentation.slides) <= 30
    assert len(deck.pages) == len(deck.presentation.slides)  # no title twice
    letters = helvetica(), dejavu()
    for page in deck.presentation.slides:
        for width in letters:
            assert not overflowing(page, width)
    pictures = list(deck.pictures())
    assert len(pictures) == 6
    for shape in pictures:
        assert len(shape._element.nvPicPr.cNvPr.get("descr")) > 20
        assert len(shape.image.blob) <= 200_000


def test_writing_again_changes_no_byte(folder: Path, deck: Deck, tmp_path: Path) -> None:
    first = (folder / "experiments" / "cells" / "slides.pptx").read_bytes()
    assert report(folder, out=tmp_path / "again").read_bytes() == first
    assert report(folder).read_bytes() == first
