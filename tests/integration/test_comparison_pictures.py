"""Cases that variants disagree about: picked by hand-worked spreads, drawn from recorded bundles."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import hydra
import keras
import numpy as np
import pytest
import toys
from omegaconf import OmegaConf
from PIL import Image

from seglab.comparison.cohort_ranking import rank_variants
from seglab.comparison.cohorts import Cohort
from seglab.comparison.settings import CompareSettings
from seglab.comparison.variants import Variant
from seglab.config.run_config import load_config
from seglab.data.preprocessing.normalisation import Preprocessing
from seglab.data.splits import Split
from seglab.evaluation.scoring import score_cases
from seglab.inference.bundle import Bundle, save_bundle
from seglab.inference.predictor import Predictor
from seglab.reports.comparison import compare as comparing
from seglab.reports.comparison.compare import compare, open_runs
from seglab.reports.comparison.disagreement import SHOWN, DrawnCase, cases_figure, pick
from seglab.reports.document import PageSection
from seglab.task import Task
from seglab.tracking.tracker import Tracker
from seglab.viz.planes import planes

ROOT = Path(__file__).parents[2]
IDS = [f"case{n}" for n in range(6)]
SPLIT = Split(tuple(IDS[:2]), (IDS[2],), tuple(IDS[3:]))
SIZE = (16, 16)


def pictures(folder: Path) -> Path:
    """Squares of rising brightness: a low threshold finds all of them, a high one the bright ones."""
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True)
    for n, case_id in enumerate(IDS):
        mask = np.zeros(SIZE, np.uint8)
        mask[3:9, 3:12] = 1
        Image.fromarray(mask * np.uint8(60 + 35 * n)).save(folder / "images" / f"{case_id}.png")
        Image.fromarray(mask).save(folder / "masks" / f"{case_id}.png")
    return folder


def threshold_at(share: float) -> keras.Model:
    convolution = keras.layers.Conv2D(1, 1)
    image = keras.Input((*SIZE, 1))
    model = keras.Model(image, convolution(image))
    convolution.set_weights([np.full(convolution.kernel.shape, 20.0), np.array([-20.0 * share])])
    return model


def record(folder: Path, root: Path, name: str, share: float, seed: int) -> str:
    """A finished run with bundle, split and the scores of its test cases."""
    words = ["data=image_folder", f"data.root={root}", "data.class_names=[background,object]"]
    with hydra.initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        config = OmegaConf.to_container(hydra.compose("train", overrides=words), resolve=True)
    assert isinstance(config, dict)
    source = load_config(config).data.build()
    task = Task(rank=2, channels=1, class_names=("background", "object"))
    bundle = Bundle(task, Preprocessing("scale", 1, 255.0), SIZE, "resize", split_digest=SPLIT.digest(), config=config)
    names = {"model": {"name": name}, "loss": {"name": "L"}, "optimizer": {"name": "O"}, "data": {"name": "Squares"}}
    tags = {"config_digest": name, "data_digest": "d", "split_digest": SPLIT.digest(), "seed": str(seed)}
    with Tracker(
        toys.tracking(None), folder / "mlruns", run_name=name, params={**names, "seed": seed}, tags=tags
    ) as tracker:
        saved = save_bundle(tracker.work_dir / "bundle", threshold_at(share), bundle)
        example = np.zeros((1, *SIZE, 1), np.float32)
        tracker.log_bundle(saved, example=example, prediction=np.zeros((1, *SIZE), np.uint8))
        tracker.log_text(SPLIT.to_json(), "config/split.json")
        cases = [case for case in source.cases if case.id in SPLIT.test]
        tracker.log_table(score_cases(Predictor.load(saved), source, cases).cases, "test_cases.csv")
    return tracker.run_id


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("made")
    toys.fresh_store(folder / "mlruns")
    root = pictures(folder / "data")
    for name, share, seed in (("Low", 0.2, 0), ("High", 0.85, 0), ("High", 0.85, 1)):
        record(folder, root, name, share, seed)  # 60 + 35·n of 255: case3 is 0.65, case5 is 0.92
    return folder, root


def test_the_most_disputed_cases_are_drawn(made: tuple[Path, Path]) -> None:
    settings = CompareSettings(pictures=2)
    found = compare(settings, open_runs(settings, made[0] / "mlruns"))
    # both find case5; the high threshold misses case3 and case4
    assert list(pick(found.rankings[0], "test_dice", 3)) == ["case3", "case4"]
    assert list(pick(found.rankings[0], "test_dice", 1)) == ["case3"]
    (section,) = [section for section in found.document.sections if section.title.startswith("Pictures")]
    assert section.notes == []
    assert [picture.name for picture in section.pictures] == ["pictures"]
    assert section.pictures[0].png[:4] == b"\x89PNG"
    assert section.pictures[0].caption.startswith("Cases on which the 2 variants differ most, most disputed first:")


def test_of_one_variant_the_best_the_median_and_the_worst_case_are_drawn(made: tuple[Path, Path]) -> None:
    settings = CompareSettings(filter="params.model.name = 'High'")
    found = compare(settings, open_runs(settings, made[0] / "mlruns"))
    # the high threshold misses case3 and case4 alike
    assert pick(found.rankings[0], "test_dice", 9) == {
        "case5": "case5 (best)",
        "case3": "case3 (median)",
        "case4": "case4 (worst)",
    }
    (section,) = [section for section in found.document.sections if section.title.startswith("Pictures")]
    assert len(section.pictures) == 1
    assert section.pictures[0].caption.startswith("Cases that score best, in the middle and worst:")


def ranked(values: np.ndarray, metric: str = "test_dice"):  # type: ignore[no-untyped-def]
    """The ranking of `(variants, cases)` scores of one run each."""
    cases = [f"case{n}" for n in range(values.shape[1])]
    variants = [Variant(f"c{n}", [], {}) for n in range(len(values))]
    none = np.zeros(len(values))
    cohort = Cohort(
        "toy", variants, values[:, None], [("s", "0")], cases, np.arange(len(cases)), len(cases), none, none
    )
    return rank_variants(cohort, metric)


def test_the_worst_case_of_a_distance_is_the_greatest_and_cases_that_all_score_alike_are_not_disputed() -> None:
    alone = ranked(np.array([[3.0, 9.0, 1.0]]))
    metric = "eval_test_hd95_nonempty"
    assert pick(alone, metric, 3) == {"case2": "case2 (best)", "case0": "case0 (median)", "case1": "case1 (worst)"}
    assert pick(ranked(np.array([[0.3, 0.7, 0.5], [0.4, 0.7, 0.3]])), "test_dice", 3) == {
        "case2": "case2",
        "case0": "case0",
    }
    assert pick(ranked(np.full((2, 3), 0.5)), "test_dice", 3) == {}


def test_pictures_are_drawn_of_few_variants_and_of_many_only_when_asked_for(
    made: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[int] = []
    monkeypatch.setattr(
        comparing, "pictures_section", lambda *words: drawn.append(words[3]) or PageSection("Pictures: toy")
    )
    chosen = CompareSettings()
    store = open_runs(chosen, made[0] / "mlruns")
    assert chosen.pictures is None
    compare(chosen, store)
    assert drawn == [3]
    monkeypatch.setattr(comparing, "_DRAWN_AMONG", 1)
    found = compare(chosen, store)
    assert drawn == [3]
    assert (
        "No case is drawn: of more than 1 variants only when asked for, pictures=3." in found.document.sections[0].notes
    )
    compare(chosen.model_copy(update={"pictures": 2}), store)
    assert drawn == [3, 2]
    compare(chosen.model_copy(update={"pictures": 0}), store)
    assert drawn == [3, 2]


def test_data_that_are_gone_are_a_note(made: tuple[Path, Path], tmp_path: Path) -> None:
    folder, root = made
    shutil.move(root, tmp_path / "away")
    try:
        settings = CompareSettings(pictures=1)
        found = compare(settings, open_runs(settings, folder / "mlruns"))
    finally:
        shutil.move(tmp_path / "away", root)
    (section,) = [section for section in found.document.sections if section.title.startswith("Pictures")]
    assert section.pictures == []
    assert [note.partition(":")[0] for note in section.notes] == ["No masks of Low_L_O", "No masks of High_L_O"]


def test_columns_are_image_truth_and_a_mask_with_its_errors_each() -> None:
    task = Task(rank=2, channels=1, class_names=("background", "object"))
    truth, mask = np.zeros((8, 8), np.uint8), np.zeros((8, 8), np.uint8)
    truth[2:5, 2:5], mask[3:6, 3:6] = 1, 1
    (plane,) = planes(truth[..., None], truth, mask, (1.0, 1.0), task.ignore_label)
    missed = replace(plane, prediction=np.zeros_like(mask))
    figure = cases_figure([DrawnCase("a", [plane, missed], [0.4, 0.0])], ["A_B_C · Light", "D"], task)
    axes = figure.axes
    assert [a.get_title() for a in axes] == ["Image", "Truth", "A_B_C\nLight", "errors", "D", "errors"]
    assert [a.get_xlabel() for a in axes] == ["", "", "0.400", "", "0.000", ""]
    assert axes[0].get_ylabel() == "a"
    shown = np.asarray(axes[3].images[0].get_array())
    assert not np.allclose(shown, np.asarray(axes[5].images[0].get_array()))


def test_more_than_three_variants_have_their_errors_below_their_masks() -> None:
    task = Task(rank=2, channels=1, class_names=("background", "object"))
    truth = np.zeros((8, 8), np.uint8)
    (plane,) = planes(truth[..., None], truth, truth, (1.0, 1.0), task.ignore_label)
    labels = [f"c{n}" for n in range(SHOWN)]
    figure = cases_figure([DrawnCase(case, [plane] * SHOWN, [0.5] * SHOWN) for case in "ab"], labels, task)
    titles = [axes.get_title() for axes in figure.axes]
    assert titles == ["Image", *labels, "Truth", *["errors"] * SHOWN] + [""] * (2 * (SHOWN + 1))
    scores = [axes.get_xlabel() for axes in figure.axes]
    assert scores == (["", *["0.500"] * SHOWN] + [""] * (SHOWN + 1)) * 2
