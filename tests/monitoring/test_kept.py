"""Images that were kept where that was asked for: bounded, joined with truth, and handed over for labelling."""

from __future__ import annotations

import hashlib
import io
import json
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image
from served import ROAD, Running, served_folder
from test_monitor import monitor
from test_pre_annotations import from_runs, painted
from test_rows import rows, scene
from volumes import IMAGE, LABEL, save
from watched_rows import answered, as_written_by, written

from seglab.data.sources.image_folder import ImageFolder
from seglab.errors import SeglabError
from seglab.monitoring.database import opened
from seglab.monitoring.kept_images import KeptImage
from seglab.monitoring.label_queue import LabelCandidate, candidates, choose, hand_over
from seglab.monitoring.truth import true_quality
from seglab.monitoring.watched import Watched
from seglab.serving.keeping_images import KeptImages


def test_what_was_kept_meets_its_truth_and_is_handed_over(tmp_path: Path) -> None:
    folder = served_folder(tmp_path / "road", ROAD, (32, 40))
    place, kept, truth = tmp_path / "rows.db", tmp_path / "kept", tmp_path / "truth"
    answers = {}
    with Running(folder, f"rows={place}", f"keep_images={kept}") as running:
        for number in range(4):
            headers = {"X-Request-ID": f"drive-{number}", "Content-Type": "image/png"}
            answers[number] = running.client.post("/predict", content=scene(seed=number), headers=headers).content
    rows(place, count=4)
    digests = [hashlib.sha256(scene(seed=number)).hexdigest()[:32] for number in range(4)]
    assert {file.name for file in (kept / "images").iterdir()} == {f"{name}.png" for name in digests}
    assert (kept / "images" / f"{digests[2]}.png").read_bytes() == scene(seed=2)
    assert (kept / "predicted" / f"{digests[2]}.png").read_bytes() == answers[2]

    (truth / "masks").mkdir(parents=True)
    (truth / "images").mkdir()
    (truth / "masks" / "drive-0.png").write_bytes(answers[0])  # by the request: all of it right
    (truth / "images" / "b.png").write_bytes(scene(seed=1))  # by the image: red taken for green, and green for red
    swapped = np.asarray(Image.open(io.BytesIO(answers[1])))
    swapped = np.where(swapped == 8, 11, np.where(swapped == 11, 8, swapped)).astype(np.uint8)
    Image.fromarray(swapped).save(truth / "masks" / "b.png")
    Image.fromarray(swapped).save(truth / "masks" / "nobody.png")
    found = true_quality(str(place), truth, kept)
    assert [(one.request, one.real) for one in found.cases] == [("drive-1", 0.0), ("drive-0", 1.0)]
    assert found.unmatched == 1
    assert found.agreement is None  # this model predicts no quality

    out = tmp_path / "to_label"
    words = [f"rows={place}", f"kept={kept}", f"page={tmp_path / 'm.html'}"]
    done = monitor(*words, f"truth={truth}", "label_next=2", "strategy=entropy", f"out={out}")
    assert done.returncode == 0, done.stderr
    assert "2 answers have a truth now, 1 masks belong to none" in done.stdout
    entropy = {row["input"][:32]: row["entropy"] for row in rows(place)}
    assert {file.stem for file in (out / "images").iterdir()} == set(sorted(entropy, key=lambda x: -entropy[x])[:2])
    coco = json.loads((out / "coco.json").read_text())
    assert {(one["width"], one["height"]) for one in coco["images"]} == {(40, 40)}
    assert [one["name"] for one in coco["categories"]] == list(ROAD.class_names)
    tasks = json.loads((out / "label_studio.json").read_text())
    assert all((out / one["data"]["image"]).is_file() for one in tasks)
    for number, task in enumerate(tasks, start=1):
        stored = np.asarray(Image.open(out / "predicted" / Path(task["data"]["image"]).name))
        assert stored.shape == (40, 40)
        regions = {one["value"]["brushlabels"][0]: one["value"]["rle"] for one in task["predictions"][0]["result"]}
        runs = {one["category_id"]: one for one in coco["annotations"] if one["image_id"] == number}
        assert set(regions) == {"red", "green"}  # of scored classes alone
        for class_id, (name, value) in {1: ("red", 8), 2: ("green", 11)}.items():
            assert np.array_equal(painted(regions[name], 40, 40), stored == value)
            assert np.array_equal(from_runs(runs[class_id]["segmentation"]), stored == value)
    (out / "masks").mkdir()
    for file in (out / "predicted").iterdir():
        (out / "masks" / file.name).write_bytes(file.read_bytes())
    assert len(ImageFolder(root=out, label_values=(7, 8, 11)).cases) == 2  # once it is labelled, a data set
    again = monitor(*words, "label_next=2", f"out={out}")
    assert again.returncode == 2  # nothing is written over
    assert "out=…" in again.stderr
    next_week = monitor(*words, "label_next=3", f"without=[{out}]", f"out={tmp_path / 'second'}")
    assert next_week.returncode == 0, next_week.stderr
    second = {file.stem for file in (tmp_path / "second" / "images").iterdir()}
    assert second == set(digests) - {file.stem for file in (out / "images").iterdir()}
    none_left = monitor(*words, "label_next=1", f"without=[{out},{tmp_path / 'second'}]", f"out={tmp_path / 'third'}")
    assert none_left.returncode == 2
    assert "0 images besides the 4 that were handed over before" in none_left.stderr
    assert "[all-handed-over]" in none_left.stderr
    wrong = monitor(*words, "label_next=1", f"without=[{tmp_path}]", f"out={tmp_path / 'third'}")
    assert wrong.returncode == 2
    assert "a folder that label_next has written" in wrong.stderr
    assert "[not-handed-over]" in wrong.stderr
    assert "keep_images" not in wrong.stderr
    assert not (tmp_path / "third").exists()


def test_truth_finds_its_image_where_names_hold_points(tmp_path: Path) -> None:
    """`day.1` and `day.2` are two names, and `drive.2` is a request; a hidden file is nobody's truth."""
    kept, truth = tmp_path / "kept", tmp_path / "truth"
    answers = []
    for folder in (kept / "images", kept / "predicted", truth / "images", truth / "masks"):
        folder.mkdir(parents=True)
    for number, name in enumerate(("day.0", "day.1", "drive.2")):
        content = f"image {number}".encode()
        answers.append(answered(number, request=f"drive.{number}", input=hashlib.sha256(content).hexdigest()))
        (kept / "images" / f"{answers[-1]['input'][:32]}.png").write_bytes(content)
        for file in (kept / "predicted" / f"{answers[-1]['input'][:32]}.png", truth / "masks" / f"{name}.png"):
            Image.fromarray(np.full((4, 4), number == 1, np.uint8)).save(file)
        (truth / "images" / f"day.{number}.png").write_bytes(content)
    (truth / "masks" / ".DS_Store").write_bytes(b"x")
    place = written(tmp_path / "rows.db", answers)
    database = opened(place, write=True)
    text = json.dumps({"class_names": ["ground", "road"], "values": [0, 1], "scored": [0, 1], "rank": 2})
    database.write([("UPDATE models SET description = :text", [{"text": text}])])
    database.close()
    found = true_quality(place, truth, kept)
    assert {(one.request, one.real) for one in found.cases} == {(f"drive.{number}", 1.0) for number in range(3)}
    assert found.unmatched == 0
    as_written_by(2, place)
    assert true_quality(place, truth, kept) == found
    assert len(candidates(place, kept, watched("ground", "road"))) == 3


def test_the_room_is_bounded_and_the_oldest_go(tmp_path: Path) -> None:
    kept = KeptImages(tmp_path, 10_000)
    for number in range(50):
        assert kept.keep(f"{number:064x}"[::-1], b"\x89PNG" + bytes(800), bytes(100), ".png")
    files = [file for file in tmp_path.rglob("*") if file.is_file()]
    assert sum(file.stat().st_size for file in files) <= 10_000
    assert (tmp_path / "images" / (f"{49:064x}"[::-1][:32] + ".png")).is_file()
    assert not kept.keep("a" * 64, bytes(20_000), b"", ".png")


def test_what_cannot_be_written_is_not_kept(tmp_path: Path) -> None:
    (tmp_path / "place").write_text("a file, and no folder")
    assert not KeptImages(tmp_path / "place", 10_000).keep("a" * 64, b"\x89PNG", b"", ".png")


def candidate(number: int, entropy: float, soft_dice: float | None, brightness: float) -> LabelCandidate:
    nothing = KeptImage(Path("a"), Path("b"))
    return LabelCandidate(f"{number}", f"r{number}", nothing, entropy, soft_dice, (brightness, 0.0))


AMONG = [
    candidate(0, 0.1, 0.9, 0.0),
    candidate(1, 0.9, 0.8, 0.1),
    candidate(2, 0.5, None, 9.0),
    candidate(3, 0.7, 0.2, 5.0),
]


@pytest.mark.parametrize(("strategy", "first"), [("entropy", ["1", "3", "2"]), ("quality", ["2", "3", "1"])])
def test_each_way_takes_what_it_says(strategy: str, first: list[str]) -> None:
    assert [one.name for one in choose(AMONG, 3, strategy)] == first  # type: ignore[arg-type]


def test_a_draw_takes_foreground_first_and_is_the_same_for_a_seed() -> None:
    assert {one.name for one in choose(AMONG, 3, "random")} == {"0", "1", "3"}
    assert choose(AMONG, 3, "random", seed=4) == choose(AMONG, 3, "random", seed=4)
    assert len({tuple(one.name for one in choose(AMONG, 3, "random", seed=seed)) for seed in range(9)}) > 1


def test_diversity_takes_both_ends_before_neighbours() -> None:
    for seed in range(5):
        chosen = {one.name for one in choose(AMONG, 3, "diverse", seed)}
        assert not {"0", "1"} <= chosen
    assert len(choose(AMONG, 9, "diverse")) == 4


def watched(*names: str) -> Watched:
    return Watched("d", "m+d", names, tuple(range(len(names))), tuple(range(1, len(names))), {}, None)


def test_names_of_hostile_classes_are_text(tmp_path: Path) -> None:
    names = ("</script>", "=1+1", '"/><Text name="x"/>')
    hand_over([], tmp_path / "out", watched(*names))
    assert json.loads((tmp_path / "out" / "coco.json").read_text())["categories"][0]["name"] == "</script>"
    labels = ElementTree.parse(tmp_path / "out" / "label_studio.xml").getroot().findall("BrushLabels/Label")
    assert [one.get("value") for one in labels] == list(names[1:])
    with pytest.raises(SeglabError):
        hand_over([], tmp_path / "out", watched("a"))


def test_volumes_are_handed_over_as_files_alone(tmp_path: Path) -> None:
    kept = KeptImage(save(tmp_path / "a.nii.gz", IMAGE), save(tmp_path / "m" / "a.nii.gz", LABEL))
    hand_over([LabelCandidate("a", "r", kept, 0.1, 0.9, (0.0,))], tmp_path / "out", watched("ground", "organ"))
    assert json.loads((tmp_path / "out" / "label_studio.json").read_text()) == []
    assert json.loads((tmp_path / "out" / "coco.json").read_text())["images"] == []
    assert (tmp_path / "out" / "predicted" / "a.nii.gz").read_bytes() == kept.mask.read_bytes()
