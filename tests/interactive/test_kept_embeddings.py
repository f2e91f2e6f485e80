"""Embeddings on disk: made once, bounded, whole, and shared by processes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from seglab.interactive.grabcut import GrabCut
from seglab.interactive.kept_embeddings import KeptEmbeddings
from seglab.interactive.prompt_models import Embedding


class Counting(GrabCut):
    """Counts how often it is asked."""

    asked = 0

    def embed(self, image: np.ndarray) -> Embedding:
        self.asked += 1
        return Embedding(image.shape[:2], {"tokens": image.astype(np.float32) / 7, "side": np.arange(3)})


def image(number: int) -> np.ndarray:
    return np.random.default_rng(number).integers(0, 255, (16, 20, 3), np.uint8)


def same(one: Embedding, other: Embedding) -> bool:
    return one.shape == other.shape and all((one.arrays[name] == other.arrays[name]).all() for name in other.arrays)


def test_an_image_is_embedded_once(tmp_path: Path) -> None:
    model = Counting()
    kept = KeptEmbeddings(model, tmp_path / "cache")
    first = kept.embed(image(0))
    assert same(kept.embed(image(0).copy()), first)
    assert model.asked == 1
    other = image(0)
    other[3, 4, 1] ^= 1
    assert not same(kept.embed(other), first)
    assert model.asked == 2
    newer = Counting()
    newer.digest = "other weights"  # type: ignore[misc]
    KeptEmbeddings(newer, tmp_path / "cache").embed(image(0))
    assert newer.asked == 1


@pytest.mark.parametrize("damage", ["cut", "flipped", "emptied", "foreign"])
def test_a_damaged_entry_is_made_anew(tmp_path: Path, damage: str) -> None:
    model = Counting()
    kept = KeptEmbeddings(model, tmp_path)
    first = kept.embed(image(0))
    file = next(tmp_path.iterdir())
    content = bytearray(file.read_bytes())
    if damage == "cut":
        content = content[: len(content) // 2]
    elif damage == "flipped":
        content[len(content) // 3] ^= 0xFF
    elif damage == "emptied":
        content = bytearray()
    else:
        np.savez(file, other=np.array([object()], dtype=object), allow_pickle=True)
        content = bytearray(file.read_bytes())
    file.write_bytes(content)
    assert same(kept.embed(image(0)), first)
    assert model.asked == 2
    assert same(kept.embed(image(0)), first)
    assert model.asked == 2


def test_it_is_bounded_and_the_oldest_go_first(tmp_path: Path) -> None:
    mine = tmp_path / "notes.npz"
    mine.write_bytes(b"of the user")
    model = Counting()
    kept = KeptEmbeddings(model, tmp_path, most_bytes=15_000)
    for number in range(5):
        kept.embed(image(number))
        kept.embed(image(0))  # used all the time
    files = [path for path in tmp_path.iterdir() if path != mine]
    assert sum(path.stat().st_size for path in files) <= 15_000
    assert mine.read_bytes() == b"of the user"
    asked = model.asked
    kept.embed(image(0))
    kept.embed(image(4))
    assert model.asked == asked
    kept.embed(image(1))
    assert model.asked == asked + 1


def test_a_place_that_cannot_be_written_to_only_costs_time(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    kept = KeptEmbeddings(Counting(), tmp_path / "file" / "cache")
    assert same(kept.embed(image(0)), Counting().embed(image(0)))


_USER = """
import sys, numpy as np
from pathlib import Path
from seglab.interactive.grabcut import GrabCut
from seglab.interactive.kept_embeddings import KeptEmbeddings
kept = KeptEmbeddings(GrabCut(), Path(sys.argv[1]), most_bytes=6_000)
for turn in range(60):
    image = np.full((20, 20, 3), turn % 7, np.uint8)
    assert (kept.embed(image).arrays["image"] == image).all()
"""


def test_processes_share_a_folder(tmp_path: Path) -> None:
    users = [subprocess.Popen([sys.executable, "-c", _USER, str(tmp_path)]) for _ in range(3)]
    assert [user.wait(120) for user in users] == [0, 0, 0]
    assert not [path for path in tmp_path.iterdir() if path.name.endswith(".part")]
