"""The cache: what goes in comes out, nothing stale or half-written is ever read, and it stays within its bounds."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from cached_cases import PATCH, Counting, collect, root, same

from seglab.data.cache import case_cache as caching
from seglab.data.cache.case_cache import Cache
from seglab.data.cache.in_memory import store_in_memory
from seglab.data.cases import Case, Sample
from seglab.data.digest import FileDigests, digest_files, remembered
from seglab.data.preprocessing.case_fingerprint import examine
from seglab.data.preprocessing.case_preprocessing import CasePreprocessing
from seglab.runtime import source_files
from seglab.task import Task

__all__ = ["root"]


class Volumes:
    """Cases of every number type that files have, in 3D with two channels, read from files that only count bytes."""

    def __init__(self, root):
        self.name, self.split, self.task = "volumes", None, Task(3, 2, ("background", "object"))
        self.cases = [Case(kind, (str(root / kind),), None, kind) for kind in ("uint8", "uint16", "float32")]
        for case in self.cases:
            Path(case.image[0]).write_bytes(case.id.encode())

    def read(self, case):
        rng = np.random.default_rng(len(case.id))
        image = (rng.random((7, 9, 5, 2)) * 200).astype(case.id)
        return Sample(image, rng.integers(0, 2, (7, 9, 5)).astype(np.uint8), (1.0, 1.0, 2.0))

    def describe_files(self, case):
        return case.id

    def digest(self):
        return "volumes"


@pytest.mark.parametrize(
    "preparation",
    [
        PATCH,
        CasePreprocessing((4, 6, 8), "resize", None),
        CasePreprocessing((8, 8, 8), "letterbox", None),
        CasePreprocessing((), "patch", (1.0, 1.0, 1.0)),
    ],
    ids=["patch", "resize", "letterbox", "spacing"],
)
def test_what_goes_in_comes_out(tmp_path, preparation):
    source = Volumes(tmp_path)
    ids = [case.id for case in source.cases]
    held_facts, held = store_in_memory(source, preparation, source.cases)
    for _ in range(2):  # built, then found
        facts, kept = Cache(source, source.digest(), preparation, tmp_path / "cache", 1.0).collect(source.cases)
        assert facts == held_facts
        same(kept, held, ids)
        same(pickle.loads(pickle.dumps(kept)), held, ids)
    if preparation.spacing is None:
        assert [kept.read(i)[0].dtype.name for i in ids] == ids
    assert facts["uint16"] == examine(source.read(source.cases[1]), source.task)
    image, _ = kept.read("uint8")
    with pytest.raises(ValueError, match="read-only"):
        image[0] = 0


def test_a_second_start_decodes_nothing(root, tmp_path):
    _, first = collect(root, tmp_path / "cache")
    assert Counting.reads == 4
    _, again = collect(root, tmp_path / "cache")
    assert Counting.reads == 4
    same(first, again, [f"case{n}" for n in range(4)])


def test_nothing_is_stale(root, tmp_path):
    cache = tmp_path / "cache"
    collect(root, cache)
    reads = Counting.reads
    path = root / "images" / "case2.png"
    before = path.stat()
    pixels = cv2.imread(str(path))
    # Other pixels, and the same size and time as before: uncompressed, so that the length does not give it away.
    for value, expected in ((7, 1), (8, 1)):
        pixels[:] = value
        cv2.imwrite(str(path), pixels, [cv2.IMWRITE_PNG_COMPRESSION, 0])
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        _, kept = collect(root, cache)
        assert Counting.reads == reads + expected  # this one alone
        reads = Counting.reads
        assert (kept.read("case2")[0] == value).all()
    collect(root, cache, CasePreprocessing((8, 16), "resize", None))
    assert Counting.reads == reads + 4
    collect(root, cache, PATCH)
    assert Counting.reads == reads + 8
    # Back to the first settings: still there.
    collect(root, cache)
    assert Counting.reads == reads + 8


def test_what_is_read_differently_is_another_entry(root, tmp_path):
    class Inverted(Counting):
        def read(self, case):
            sample = super().read(case)
            sample.mask = 1 - sample.mask
            return sample

    _, plain = collect(root, tmp_path / "cache")
    _, inverted = collect(root, tmp_path / "cache", reader=Inverted)
    assert np.array_equal(plain.read("case0")[1], 1 - inverted.read("case0")[1])


@pytest.mark.parametrize("library", ["opencv", "pillow", "tifffile", "imagecodecs", "nibabel"])
def test_another_version_of_a_decoder_builds_anew(root, tmp_path, monkeypatch, library):
    collect(root, tmp_path / "cache")
    if library == "opencv":
        monkeypatch.setattr(cv2, "__version__", "0.0")
    else:
        installed = caching.version
        monkeypatch.setattr(caching, "version", lambda name: "0.0" if name == library else installed(name))
    for _ in range(2):
        collect(root, tmp_path / "cache")
    assert Counting.reads == 8


def test_sums_are_remembered_for_files_that_did_not_change(tmp_path):
    path, memory = tmp_path / "a", tmp_path / "sums.json"
    path.write_bytes(b"one")
    sums = FileDigests(memory)
    fresh = sums.of(path)
    sums.save()
    assert not memory.exists()  # changed a moment ago: it may change again within the same tick
    stamp = path.stat()
    known = {str(path): [stamp.st_size, stamp.st_mtime_ns, stamp.st_ctime_ns, stamp.st_ino, "remembered"]}
    memory.write_text(json.dumps(known))
    assert FileDigests(memory).of(path) == "remembered"
    path.write_bytes(b"two")
    os.utime(path, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    assert FileDigests(memory).of(path) not in ("remembered", fresh)  # the inode's own time tells
    for damaged in ("{ cut o", "[1]", json.dumps({str(path): 5}), "[" * 100_000):
        memory.write_text(damaged)
        assert len(FileDigests(memory).of(path)) == 64


def test_a_file_of_the_users_own_is_left_alone(tmp_path, monkeypatch):
    own, one = tmp_path / "sums.json", tmp_path / "a"
    own.write_text('{"1+1": 2}')
    one.write_bytes(b"one")
    monkeypatch.setattr("seglab.data.digest._SETTLED_SECONDS", -1.0)
    with remembered(tmp_path):
        digest_files({"a": one}, {})
    assert own.read_text() == '{"1+1": 2}'
    assert set(json.loads((tmp_path / "seglab-file-sums.json").read_text())) == {str(one)}


@pytest.mark.parametrize(
    ("file", "another"),
    [
        ("data/sources/image_folder.py", True),  # the reader
        ("data/preprocessing/spacing.py", True),
        ("data/check/duplicates.py", False),
        ("data/sources/nifti.py", False),  # another reader
        ("losses/region.py", False),
    ],
)
def test_only_code_that_shapes_a_decoded_case_makes_it_anew(file, another, tmp_path, monkeypatch):
    copy = shutil.copytree(source_files.PACKAGE, tmp_path / "seglab", ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(source_files, "PACKAGE", copy)
    before = caching.code_digest(Counting)
    with (copy / file).open("a") as source:
        source.write("x = 1\n")
    assert (caching.code_digest(Counting) != before) == another


def test_a_reader_without_a_dotted_path_counts_with_its_script(tmp_path, monkeypatch):
    script = tmp_path / "notes.py"
    script.write_text("x = 1\n")
    monkeypatch.setitem(sys.modules, "__main__", type(sys)("__main__"))
    monkeypatch.setattr(sys.modules["__main__"], "__file__", str(script), raising=False)
    reader = type("Mine", (Counting,), {"__module__": "__main__"})
    before = caching.code_digest(reader)
    script.write_text("x = 2\n")
    assert caching.code_digest(reader) != before
