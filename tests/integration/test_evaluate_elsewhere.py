"""Evaluation of bundles and data from elsewhere: no code is run, no file outside of the results is touched."""

from __future__ import annotations

import io
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import toys
from evaluated_runs import IDS, made, pictures, record, run_of
from PIL import Image
from rich.console import Console

from seglab.config.run_config import load_config
from seglab.data.splits import Split, split_for
from seglab.errors import ConfigError, DataError, TrackingError
from seglab.evaluation.evaluate import EvaluationRequest, evaluate
from seglab.inference.bundle import load_bundle, save_bundle
from seglab.tracking.bundles import find_bundle

__all__ = ["made"]


def test_a_bundle_without_its_run(made, tmp_path: Path) -> None:
    folder, run_id = made
    bundle = tmp_path / "bundle"
    shutil.copytree(find_bundle(run_id, directory=folder / "mlruns"), bundle)
    with pytest.raises(DataError, match="split=all") as caught:  # the recorded split is not the one of the shares
        evaluate(EvaluationRequest(bundle=str(bundle), workers=0), directory=tmp_path / "none")
    assert "run=<id>" in str(caught.value)
    metrics = evaluate(
        EvaluationRequest(bundle=str(bundle), split="all", out=str(tmp_path / "out"), workers=0, tolerance_mm=2.5),
        directory=tmp_path / "none",
        console=Console(file=io.StringIO()),
    )
    assert metrics["cases"] == 8
    assert 0 < metrics["nsd_2.5px"] <= 1
    assert "temperature" not in metrics
    assert not (tmp_path / "none").exists()


def test_two_bundles_of_one_name_do_not_share_a_folder_of_results(made, tmp_path: Path) -> None:
    folder, run_id = made
    model, bundle = load_bundle(find_bundle(run_id, directory=folder / "mlruns"))
    for name, threshold in (("a", 0.5), ("b", 0.6)):
        saved = save_bundle(tmp_path / name / "bundle", model, replace(bundle, threshold=threshold))
        request = EvaluationRequest(bundle=str(saved), split="all", workers=0)
        evaluate(request, directory=tmp_path / "mlruns", console=Console(file=io.StringIO()))
        evaluate(request, directory=tmp_path / "mlruns", console=Console(file=io.StringIO()))  # takes its own place
    places = sorted((tmp_path / "mlruns" / "evaluations").glob("*/all/scores/cases.csv"))
    assert len(places) == 2
    assert all(place.parents[2].name.startswith("bundle-") for place in places)


def test_a_bundle_from_elsewhere_runs_no_code_that_it_names(made, tmp_path: Path) -> None:
    folder, run_id = made
    model, bundle = load_bundle(find_bundle(run_id, directory=folder / "mlruns"))
    evil = {"_target_": "pathlib.Path.touch", "self": str(tmp_path / "touched")}
    saved = save_bundle(tmp_path / "bundle", model, replace(bundle, config={**bundle.config, "data": evil}))
    with pytest.raises(DataError, match="names code of its own") as caught:
        evaluate(EvaluationRequest(bundle=str(saved), split="all"), console=Console(file=io.StringIO()))
    assert "pathlib.Path.touch" in str(caught.value)
    assert not (tmp_path / "touched").exists()


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def as_table(folder: Path, names: dict[str, str]) -> Path:
    """The pictures of `folder` under other names below it, in a table with absolute paths."""
    lines = ["image,mask,split"]
    for case_id, name in names.items():
        for kind in ("images", "masks"):
            target = folder / kind / f"{name}.png"
            target.parent.mkdir(parents=True, exist_ok=True)
            (folder / kind / f"{case_id}.png").rename(target)
        lines.append(f"{folder}/images/{name}.png,{folder}/masks/{name}.png,test")
    (folder / "list.csv").write_text("\n".join(lines) + "\n")
    return folder / "list.csv"


def test_whatever_the_ids_are_nothing_outside_of_the_output_is_written(made, tmp_path: Path) -> None:
    folder, run_id = made
    bundle = find_bundle(run_id, directory=folder / "mlruns")
    root = pictures(tmp_path / "data")
    names = {case_id: f"{'A' if n % 2 else 'a'}{n // 4}/slice $x{n // 2 % 2}$" for n, case_id in enumerate(IDS)}
    table, before = as_table(root, names), contents(root)
    words = ("data=csv", f"data.root={table}", "data.class_names=[background,object]")
    request = EvaluationRequest(
        bundle=str(bundle), split="test", data=words, out=str(tmp_path / "X"), save_masks=True, workers=0
    )
    evaluate(request, console=Console(file=io.StringIO()))
    assert contents(root) == before
    assert {path.name for path in tmp_path.iterdir()} == {"data", "X"}
    scores = pd.read_csv(tmp_path / "X" / "scores" / "cases.csv")
    assert sorted(scores["id"]) == sorted(
        f"images/{name}" for name in names.values()
    )  # no place on this disk is part of a name
    for case_id, file in zip(scores["id"], scores["mask"], strict=True):
        image = np.asarray(Image.open(root / f"{case_id}.png"))
        np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "X" / "masks" / file)), image / 255 > 0.5)
    assert len({file.casefold() for file in scores["mask"]}) == 8
    evaluate(request, console=Console(file=io.StringIO()))  # what was written before is replaced


@pytest.mark.parametrize("place", ["masks", "scores", "link"])
def test_files_of_the_user_in_the_place_of_results_stop_it_before_anything_is_done(
    made, tmp_path: Path, place: str
) -> None:
    folder, run_id = made
    bundle, root = find_bundle(run_id, directory=folder / "mlruns"), pictures(tmp_path / "data")
    out = root  # whose folder `masks` holds the truth
    if place == "scores":
        out = tmp_path / "out"
        (out / "scores").mkdir(parents=True)
        (out / "scores" / "metrics.json").write_text("{}")
        (out / "scores" / "diary.txt").write_text("mine")
    elif place == "link":  # masks of this program, and inputs all the same
        out = tmp_path / "out"
        evaluate(
            EvaluationRequest(
                bundle=str(bundle), split="all", data=(f"data.root={root}",), out=str(out), save_masks=True, workers=0
            ),
            console=Console(file=io.StringIO()),
        )
        shutil.rmtree(root / "masks")
        (root / "masks").symlink_to(out / "masks")
    before = contents(tmp_path)
    request = EvaluationRequest(
        bundle=str(bundle), split="all", data=(f"data.root={root}",), out=str(out), save_masks=True, workers=0
    )
    with pytest.raises((DataError, TrackingError)) as caught:
        evaluate(request, console=Console(file=io.StringIO()))
    assert {"masks": "are read from", "scores": "diary.txt", "link": "are read from"}[place] in str(caught.value)
    assert contents(tmp_path) == before


def test_a_bundle_whose_split_can_be_made_again(made, tmp_path: Path) -> None:
    folder, run_id = made
    model, bundle = load_bundle(find_bundle(run_id, directory=folder / "mlruns"))
    config = load_config(bundle.config)
    split = split_for(config.data.build(), config.data_config, config.seed)
    saved = save_bundle(tmp_path / "bundle", model, replace(bundle, split_digest=split.digest()))
    request = EvaluationRequest(bundle=str(saved), workers=0, out=str(tmp_path / "out"))
    metrics = evaluate(request, console=Console(file=io.StringIO()))
    assert pd.read_csv(tmp_path / "out" / "scores" / "cases.csv")["id"].tolist() == list(split.test)
    assert metrics["temperature"] > 0
    older = {key: value for key, value in bundle.config["data"].items() if key != "folds"}
    saved = save_bundle(tmp_path / "older", model, replace(bundle, config={**bundle.config, "data": older}))
    with pytest.raises(DataError, match="of another version"):
        evaluate(replace(request, bundle=str(saved)), console=Console(file=io.StringIO()))


def test_a_split_without_cases_and_a_bundle_without_data(made, tmp_path: Path) -> None:
    folder, run_id = made
    model, bundle = load_bundle(find_bundle(run_id, directory=folder / "mlruns"))
    empty = Split(tuple(IDS), (), ())
    other = tmp_path / "other"
    toys.fresh_store(other / "mlruns")
    empty_id = record(other, bundle.config, bundle.task, empty)
    with pytest.raises(DataError, match="no case to score") as caught:
        evaluate(EvaluationRequest(run=empty_id), directory=other / "mlruns", console=Console(file=io.StringIO()))
    assert "train: 8, val: 0, test: 0" in str(caught.value)
    saved = save_bundle(tmp_path / "bundle", model, replace(bundle, config={}))
    with pytest.raises(DataError, match="does not know its data") as caught:
        evaluate(EvaluationRequest(bundle=str(saved)), console=Console(file=io.StringIO()))
    assert "data=<name>" in str(caught.value)


def test_other_data_have_a_name_of_their_own(made, tmp_path: Path) -> None:
    folder, run_id = made
    other = pictures(tmp_path / "other")
    words = ("data=image_folder", f"data.root={other}", "data.class_names=[background,object]")
    console = Console(file=io.StringIO())
    with pytest.raises(DataError, match="split=all"):
        evaluate(EvaluationRequest(run=run_id, data=words), directory=folder / "mlruns", console=console)
    request = EvaluationRequest(run=run_id, data=words, split="all", workers=0)
    metrics = evaluate(request, directory=folder / "mlruns", console=console)
    run = run_of(folder, run_id)
    assert run.data.metrics["eval_ImageFolder-all_dice"] == pytest.approx(metrics["dice"])
    assert (folder / "mlruns" / "evaluations" / run_id / "ImageFolder-all" / "scores" / "cases.csv").is_file()
    other_classes = replace(request, data=("data=image_folder", f"data.root={other}", "data.class_names=[a,b]"))
    with pytest.raises(DataError, match="another task"):
        evaluate(other_classes, directory=folder / "mlruns", console=console)
    with pytest.raises(ConfigError, match=r"data\.image"):
        evaluate(replace(request, data=(*words, "data.imagez=x")), directory=folder / "mlruns", console=console)


def test_the_same_data_in_another_place(made, tmp_path: Path) -> None:
    folder, run_id = made
    moved = tmp_path / "moved"
    shutil.copytree(folder / "data", moved)
    console = Console(file=io.StringIO())
    request = EvaluationRequest(run=run_id, data=(f"data.root={moved}",), workers=0)
    assert evaluate(request, directory=folder / "mlruns", console=console)["cases"] == 2
    for part in ("images", "masks"):
        (moved / part / "case7.png").unlink()
    with pytest.raises(DataError, match="case7"):
        evaluate(request, directory=folder / "mlruns", console=console)
    with pytest.raises(ConfigError, match="did you mean 'root'"):
        evaluate(EvaluationRequest(run=run_id, data=("data.roots=x",)), directory=folder / "mlruns", console=console)
