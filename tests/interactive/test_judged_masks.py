"""What became of a mask, and how many prompts it took: of each mask of a session for itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

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

    def prompt(self, points: list[list[float]], *, anew: bool = False) -> None:
        rest = {"box": None, "candidate": None, "axis": None, "index": None}
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
    for _ in range(9):
        asked.step("undo")
    asked.step("redo")
    assert asked.accept()[1] == 1


def test_masks_of_one_image_can_be_held_in_one_split(asked: Asked, tmp_path: Path) -> None:
    names = []
    for place in ([40, 70], [200, 60], [120, 90]):
        asked.prompt([place])
        names.append(asked.accept()[2])
    assert len(set(names)) == 3
    source = ImageFolder(root=str(tmp_path / "accepted"), group_pattern="^(.{8})")
    assert len(source.cases) == 3
    assert {case.group for case in source.cases} == {names[0][:8]}
