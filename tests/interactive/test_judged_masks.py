"""What became of a mask, and how many prompts it took: of each mask of a session for itself."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from prompted_service import png

from seglab.data.sources.image_folder import ImageFolder
from seglab.data.synthetic.road_scenes import make_scene
from seglab.interactive.accepted import AcceptedMasks
from seglab.interactive.answering import Answering
from seglab.interactive.grabcut import GrabCut
from seglab.interactive.sessions import Sessions
from seglab.serving.limits import Limits

WORDS: dict[str, Any] = {"by": "", "note": ""}


class Asked:
    """A session on a road scene, asked as its process is."""

    def __init__(self, folder: Path):
        self._errands: Any = Answering(Sessions(GrabCut()), AcceptedMasks(folder), Limits()).errands()
        self._id = self._ask("begin", png(make_scene(np.random.default_rng(0))[0]), client="")["id"]

    def _ask(self, do: str, body: bytes = b"", **asked: Any) -> dict[str, Any]:
        return self._errands[do](asked, body, lambda: None)[0]  # type: ignore[no-any-return]

    def prompt(self, points: list[list[float]], *, box: list[float] | None = None, anew: bool = False) -> None:
        rest = {"box": box, "candidate": None, "axis": None, "index": None}
        self._ask("predict", id=self._id, points=points, labels=[1] * len(points), anew=anew, **rest)

    def step(self, way: str) -> None:
        self._ask("step", id=self._id, way=way)

    def accept(self) -> tuple[str, int, str]:
        reply = self._ask("accept", id=self._id, form="png", tolerance_px=1.0, **WORDS)
        return reply["outcome"], reply["row"]["steps"], reply["id"]

    def reject(self) -> tuple[str, int]:
        reply = self._ask("reject", id=self._id, **WORDS)
        return reply["outcome"], reply["row"]["steps"]


@pytest.fixture
def asked(tmp_path: Path) -> Asked:
    return Asked(tmp_path / "accepted")


def test_each_object_of_an_image_is_counted_for_itself(asked: Asked) -> None:
    asked.prompt([[40, 70]])
    assert asked.accept()[:2] == ("accepted", 1)
    asked.prompt([[200, 60]])  # what follows an accepted mask is about another object
    assert asked.accept()[:2] == ("accepted", 1)
    asked.prompt([[120, 90]])
    asked.prompt([[120, 90], [124, 92]])
    asked.prompt([[120, 90], [124, 92], [90, 100]])
    assert asked.accept()[:2] == ("corrected", 3)
    asked.prompt([[30, 30]])
    assert asked.reject() == ("rejected", 1)


def test_a_prompt_that_was_undone_or_left_counts_for_nothing(asked: Asked) -> None:
    asked.prompt([[40, 70]])
    asked.prompt([[40, 70], [44, 72]])
    asked.step("undo")
    assert asked.accept()[:2] == ("accepted", 1)
    asked.prompt([[200, 60]])
    asked.prompt([[200, 60], [204, 62]])
    asked.step("undo")
    asked.step("redo")
    assert asked.accept()[:2] == ("corrected", 2)
    asked.prompt([[120, 90]])
    asked.prompt([[30, 30]], anew=True)  # the one before was given up
    assert asked.accept()[:2] == ("accepted", 1)
    asked.step("undo")
    asked.step("undo")
    assert asked.accept()[:2] == ("corrected", 2)  # back at the second object, as it was


THREE: list[list[float]] = [[120, 90], [124, 92], [90, 100]]


def three_clicks(asked: Asked) -> None:
    for count in (1, 2, 3):
        asked.prompt(THREE[:count])


def test_a_stray_click_on_another_object_that_was_undone_leaves_the_count(asked: Asked) -> None:
    three_clicks(asked)
    asked.prompt([[30, 30]], anew=True)
    asked.step("undo")
    assert asked.accept()[:2] == ("corrected", 3)


def test_a_mask_that_is_corrected_after_it_was_accepted_counts_on(asked: Asked) -> None:
    three_clicks(asked)
    assert asked.accept()[:2] == ("corrected", 3)
    asked.prompt([*THREE, [126, 96]])
    assert asked.accept()[:2] == ("corrected", 4)


def test_a_box_in_the_place_of_a_click_is_about_the_same_object(asked: Asked) -> None:
    asked.prompt([[120, 90]])
    asked.prompt([], box=[100, 80, 140, 110])
    assert asked.accept()[:2] == ("corrected", 2)
    asked.prompt([], box=[20, 20, 60, 60])  # another one, as the mask was accepted
    assert asked.accept()[:2] == ("accepted", 1)


def test_masks_of_one_image_can_be_held_in_one_split(asked: Asked, tmp_path: Path) -> None:
    names = []
    for place in ([40, 70], [200, 60], [120, 90]):
        asked.prompt([place])
        names.append(asked.accept()[2])
    assert len(set(names)) == 3
    source = ImageFolder(root=str(tmp_path / "accepted"), group_pattern="^(.{8})")
    assert len(source.cases) == 3
    assert {case.group for case in source.cases} == {names[0][:8]}


def test_a_mask_that_has_a_name_of_former_versions_is_not_kept_twice(tmp_path: Path) -> None:
    accepted = AcceptedMasks(tmp_path)
    picture = np.arange(60, dtype=np.uint8).reshape(4, 5, 3)
    volume = nib.Nifti1Image(np.zeros((4, 5, 6), np.int16), np.eye(4)).to_bytes()
    flat, deep = np.eye(4, 5, dtype=bool), np.ones((4, 5, 6), bool)

    def kept() -> list[str]:
        return [accepted.add(picture, flat, {}), accepted.volumes.add_volume(volume, deep, np.eye(4), {})[0]]

    seen = repr(picture.shape).encode() + picture.tobytes()
    parts = (seen + np.packbits(flat).tobytes(), volume + np.packbits(deep).tobytes())
    former = [hashlib.sha256(part).hexdigest()[:16] for part in parts]
    for now, then in zip(kept(), former, strict=True):
        assert now != then
        for path in tmp_path.rglob(f"{now}.*"):
            path.rename(path.with_name(path.name.replace(now, then)))
    assert kept() == former
    written = [path for path in tmp_path.rglob("*") if path.is_file() and path.suffix != ".jsonl"]
    assert len(written) == 4  # an image and a mask of each
    assert {path.name.split(".")[0] for path in written} == set(former)
    assert [json.loads(line)["id"] for line in (tmp_path / "prompts.jsonl").open()][1] == former[0]
