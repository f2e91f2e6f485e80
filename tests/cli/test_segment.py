"""The verbs of prompts: what they write, what they refuse, and that nothing is lost."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from seglab.cli import prompt_bench, segment
from seglab.data.io.image_files import read_mask_file
from seglab.data.synthetic.road_scenes import make_scene
from seglab.errors import SeglabError


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    folder.mkdir()
    for number in range(2):
        Image.fromarray(make_scene(np.random.default_rng(number))[0]).save(folder / f"s{number}.png")
    return folder


def test_one_image(images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    words = [f"image={images}/s0.png", "box=[60,50,120,110]", "points=[[90,80,1],[61,51,0]]", f"out={out}"]
    assert segment.run(words) == 0
    assert f"\n1 mask and segments.csv in {out}" in capsys.readouterr().out
    mask = read_mask_file(out / "s0.png")
    assert mask.shape == (128, 256)
    assert set(np.unique(mask)) == {0, 255}
    assert (mask[80, 90], mask[51, 61]) == (255, 0)
    assert not mask[:50].any()
    row = next(csv.DictReader((out / "segments.csv").open()))
    assert int(row["area"]) == (mask == 255).sum()
    line = json.loads((out / "prompts.jsonl").read_text())
    assert line["size"] == [256, 128]
    assert line["points"] == [[90, 80], [61, 51]]
    assert line["box"] == [60, 50, 120, 110]
    assert (out / "s0_overlay.png").exists()
    before = (out / "s0.png").read_bytes()
    with pytest.raises(SeglabError) as caught:
        segment.run(words)
    assert caught.value.code == "mask-exists"
    assert caught.value.remedy == "overwrite=true replaces them; or choose another folder"
    assert segment.run([*words, "overwrite=true"]) == 0
    assert (out / "s0.png").read_bytes() == before


def test_sizes_in_mm_where_a_pixel_is_known(images: Path, tmp_path: Path) -> None:
    rows = []
    for name, words in (("px", []), ("mm", ["pixel_mm=0.25"])):
        assert segment.run([f"image={images}/s0.png", "box=[60,50,120,110]", f"out={tmp_path / name}", *words]) == 0
        rows.append(next(csv.DictReader((tmp_path / name / "segments.csv").open())))
    plain, row = rows
    assert "area_mm2" not in plain
    assert float(row["area_mm2"]) == pytest.approx(int(plain["area"]) / 16)
    assert float(row["perimeter_mm"]) == pytest.approx(float(plain["perimeter"]) / 4, abs=0.01)
    x0, y0, x1, y1 = (float(value) for value in row["box"].split())
    assert float(row["fill"]) == pytest.approx(int(row["area"]) / ((x1 - x0) * (y1 - y0)), abs=1e-4)


def test_a_folder_goes_on_after_an_image_that_cannot_be_used(
    images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (images / "bad.png").write_bytes(b"no image")
    Image.new("RGB", (1, 1)).save(images / "tiny.png")
    assert segment.run([f"images={images}", "box=center", f"out={tmp_path / 'out'}"]) == 1
    assert "bad.png" in capsys.readouterr().err
    rows = list(csv.DictReader((tmp_path / "out" / "segments.csv").open()))
    assert [Path(row["image"]).name for row in rows] == ["s0.png", "s1.png", "tiny.png"]


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["box=center"], "settings-exclude"),
        (["image=a.png", "images=b", "box=center"], "settings-exclude"),
        (["image={images}/s0.png"], "prompt-without-object"),
        (["image={images}/s0.png", "points=[[3,4]]"], "prompt-form"),
        (["image={images}/s0.png", "points=[[300,4,1]]"], "prompt-point-outside"),
        (["image={images}/s0.png", "points=[[3,4,7]]"], "prompt-form"),
        (["image={images}/s0.png", "box=[3,4,3,9]"], "prompt-box-size"),
        (["image={images}/s0.png", "box=[3,4,5]"], "prompt-form"),
        (["image={images}/none.png", "box=center"], "no-image"),
        (["image={images}/s0.png", "box=center", "model=grab"], "unknown-prompt-model"),
        (["image={images}/s0.png", "box=center", "checkpoint=x.pth"], "settings-exclude"),
        (["image={images}/s0.png", "box=center", "candidate=3"], "value-not-allowed"),
        (["image={images}/s0.png", "box=center", "pixel_mm=0"], "value-not-allowed"),
        (["image={images}/v.nii.gz", "points=[[3,4,1,1]]", "pixel_mm=0.5"], "settings-exclude"),
        (["image={images}/s0.png", "box=centre"], "value-not-allowed"),
    ],
)
def test_what_is_refused_leaves_nothing(images: Path, tmp_path: Path, words: list[str], code: str) -> None:
    with pytest.raises(SeglabError) as caught:
        segment.run([*(word.format(images=images) for word in words), f"out={tmp_path / 'out'}"])
    assert caught.value.code == code
    assert not (tmp_path / "out").exists()


def test_a_file_in_the_place_of_the_folder_is_reported_and_stays(images: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.write_text("mine")
    for given in ([f"image={images}/s0.png"], [f"images={images}", "overwrite=true"]):
        with pytest.raises(SeglabError) as caught:
            segment.run([*given, "box=center", f"out={out}"])
        assert (caught.value.code, caught.value.where) == ("mask-place-taken", str(out))
    assert out.read_text() == "mine"


def test_files_of_others_stay(images: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "segments.csv").write_text("mine")
    with pytest.raises(SeglabError) as caught:
        segment.run([f"images={images}", "box=center", f"out={out}", "overwrite=true"])
    assert caught.value.code == "mask-place-taken"
    assert [path.name for path in out.iterdir()] == ["segments.csv"]
    with pytest.raises(SeglabError) as caught:
        segment.run([f"images={images}", "box=center", f"out={images}"])
    assert caught.value.code == "mask-beside-images"


@pytest.mark.slow
def test_bench_prints_and_records(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    prompt_bench.run(["objects=2", "clicks=2"])
    output = capsys.readouterr().out
    assert "noc_90" in output
    assert "2 objects" in output
    assert (tmp_path / "mlruns" / "mlflow.db").exists()


def test_bench_refuses_volumes() -> None:
    with pytest.raises(SeglabError) as caught:
        prompt_bench.run(["data=synthetic3d"])
    assert caught.value.code == "value-not-allowed"
