"""The slides of a study: every number of a run found again in the store, what is missing said to be, nothing lost."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest
import toys
from bundled_study import TASK, record
from pptx import Presentation
from promotable import GATE
from recorded_runs import level
from slide_measure import dejavu, helvetica, overflowing
from studies import Bench

from seglab.cli.main import main
from seglab.cli.report import read_words
from seglab.errors import ConfigError
from seglab.registry.promotion import promote
from seglab.reports.study.page_record import TO_BE_WRITTEN
from seglab.reports.study.write_report import write_report
from seglab.tracking.store import open_store

STUDY = "# Which loss finds <small> cells, and what is augmentation worth?\nhydra: {}\n"
MEANS = {("DiceLoss", "NoAugmentation"): 0.6, ("DiceLoss", "Strong"): 0.64}
MEANS |= {("TverskyLoss", "NoAugmentation"): 0.7, ("TverskyLoss", "Strong"): 0.75}
CASES = np.array([0.0, 0.05, 0.1, -0.08])


class Deck:
    """Slides as they are read again."""

    def __init__(self, file: Path):
        self.presentation = Presentation(str(file))
        self.pages = {page.shapes.title.text_frame.text: page for page in self.presentation.slides}

    def table(self, title: str) -> list[list[str]]:
        (shape,) = [shape for shape in self.pages[title].shapes if shape.has_table]
        return [[cell.text_frame.text for cell in row.cells] for row in shape.table.rows]

    def words(self, title: str) -> str:
        shapes = [shape for shape in self.pages[title].shapes if shape.has_text_frame and shape.name == "text"]
        return "\n".join(shape.text_frame.text for shape in shapes)

    def foot(self, title: str) -> str:
        return "".join(shape.text_frame.text for shape in self.pages[title].shapes if shape.name == "runs")

    def notes(self, title: str) -> str:
        return self.pages[title].notes_slide.notes_text_frame.text

    def pictures(self) -> Iterator[Any]:
        yield from (shape for page in self.presentation.slides for shape in page.shapes if shape.shape_type == 13)


class StoreAgain:
    """The store as MLflow itself reads it."""

    def __init__(self, directory: Path):
        self.client = mlflow.MlflowClient(f"sqlite:///{directory / 'mlflow.db'}")
        (experiment,) = [one for one in self.client.search_experiments() if one.name != "Default"]
        self.runs = {run.info.run_id: run for run in self.client.search_runs([experiment.experiment_id])}

    def ids(self, shown: str) -> list[str]:
        """The whole ids of `a1b2c3d4, …`."""
        found = [[run for run in self.runs if run.startswith(short)] for short in shown.split(", ")]
        assert all(len(one) == 1 for one in found), shown
        return [one for (one,) in found]

    def dice(self, run: str, column: str = "dice") -> np.ndarray:
        folder = Path(mlflow.artifacts.download_artifacts(f"{self.runs[run].info.artifact_uri}/test_cases.csv"))
        return pd.read_csv(folder).sort_values("id")[column].to_numpy()

    def mean(self, shown: str, column: str = "dice") -> float:
        return float(np.mean([self.dice(run, column).mean() for run in self.ids(shown)]))

    def seconds(self, run: str) -> float:
        return sum(point.value for point in self.client.get_metric_history(run, "epoch_seconds"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study of four variants and two seeds, of which the best run is complete, exported and promoted."""
    place = tmp_path_factory.mktemp("slides")
    toys.fresh_store(place / "mlruns")
    number = 0
    for (loss, augment), mean in MEANS.items():
        for seed in (0, 1):
            number += 1
            best = (loss, augment, seed) == ("TverskyLoss", "Strong", 1)
            scores = mean + CASES + np.random.default_rng(number).normal(0, 0.01, 4)
            exported = {"export_onnx_float32_dice": 0.7512, "export_onnx_float32_dice_difference": -0.00123}
            run = record(
                place,
                loss,
                scores.tolist(),
                augment=augment,
                seed=seed,
                epoch_seconds=10.0 + number,
                tags={"parameters": str(7000 + number), "peak_memory_mb": str(900 * number)},
                metrics={"test_dice": float(scores.mean()), "val_dice": 0.5 + best / 10, **(exported if best else {})},
                pictures=("training_samples", "test_cases"),
                with_bundle=best or number == 1,
            )
    store = open_store(None, place / "mlruns")
    assert promote(store, store.run(run), "cells", GATE.model_copy(update={"allowed_findings": True})).passed
    (place / "experiments" / "cells").mkdir(parents=True)
    (place / "experiments" / "cells" / "study.yaml").write_text(STUDY)
    return place


def report(folder: Path, **options: object) -> Path:
    """Write the study with its slides; returns their file."""
    kept = {"cases": 0, "slides": True, "directory": folder / "mlruns", "studies": folder / "experiments", **options}
    files = write_report("cells", **kept)  # type: ignore[arg-type]
    (made,) = [file for file in files if file.name == "slides.pptx"]
    return made


@pytest.fixture(scope="module")
def deck(folder: Path) -> Iterator[Deck]:
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("PATH", str(folder))  # no browser: to print takes seconds
        yield Deck(report(folder))


@pytest.fixture(scope="module")
def store(folder: Path) -> StoreAgain:
    return StoreAgain(folder / "mlruns")


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
    told = re.search(r"best test_dice, (\d\.\d+) ± (\d\.\d+)", deck.words("Answer"))
    assert told is not None
    assert f"{told[1]} ± {told[2]}" == rows[0][2]
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
        told = store.ids(deck.foot(title).removeprefix("Runs "))
        assert sorted(told) == sorted(store.runs)  # each of these slides is of all of them
        assert all(run in deck.notes(title) for run in told)


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
    told, short = rows["exported"]
    (run,) = store.ids(short)
    assert store.runs[run].data.metrics["export_onnx_float32_dice"] == pytest.approx(0.7512)
    assert told == "onnx_float32: Dice 0.751, −0.0012 against the trained model"
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


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """Runs that have recorded nothing but their scores."""
    monkeypatch.setenv("PATH", str(tmp_path))
    made = Bench(tmp_path)
    for loss, mean in (("DiceLoss", 0.6), ("FocalLoss", 0.7)):
        for seed in (0, 1):
            made.run(loss, mean, seed)
    return made


def test_what_was_not_measured_is_said_to_be_so(bench: Bench) -> None:
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


def test_a_picture_that_is_damaged_is_left_out_and_said_to_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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
    told = f"training_samples.png of run {runs[0][:8]} is left out: it is damaged, or no picture."
    assert deck.words("What a network is shown") == told
    assert "test_cases.png of run" in deck.words("Best, median and worst case")
    assert told in (tmp_path / "experiments" / "cells" / "note.md").read_text().replace("\\", "")


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


def test_without_the_package_the_words_to_install_it_are_told_before_the_work(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [
        name
        for name in sys.modules
        if name.startswith(("seglab.reports.study.slides", "seglab.reports.slides", "pptx"))
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
