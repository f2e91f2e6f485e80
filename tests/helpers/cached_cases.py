"""Shared by the tests of the cache: cases that count how often they are read, and processes that build one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from seglab.data.cache.case_cache import Cache
from seglab.data.digest import remembered
from seglab.data.preprocessing.case_preprocessing import CasePreprocessing
from seglab.data.sources.image_folder import ImageFolder

RESIZE = CasePreprocessing((8, 12), "resize", None)


PATCH = CasePreprocessing((), "patch", None)


def write_images(root: Path, count: int = 4, size: tuple[int, int] = (20, 30)) -> Path:
    for folder in ("images", "masks"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    for n in range(count):
        rng = np.random.default_rng(n)
        cv2.imwrite(str(root / "images" / f"case{n}.png"), rng.integers(0, 256, (*size, 3), dtype=np.uint8))
        cv2.imwrite(str(root / "masks" / f"case{n}.png"), rng.integers(0, 2, size, dtype=np.uint8))
    return root


class Counting(ImageFolder):
    reads = 0

    def read(self, case):
        Counting.reads += 1
        return super().read(case)


@pytest.fixture
def root(tmp_path):
    Counting.reads = 0
    return write_images(tmp_path / "data")


def collect(root, cache, preparation=RESIZE, gigabytes=1.0, reader=Counting, **settings):
    source = reader(root=str(root))
    with remembered(cache):
        digest = source.digest()
    return Cache(source, digest, preparation, cache, gigabytes, **settings).collect(source.cases)


def same(one, other, cases):
    for case in cases:
        for a, b in zip(one.read(case), other.read(case), strict=True):
            assert a.dtype == b.dtype
            assert np.array_equal(a, b)
        for class_id in range(2):
            assert np.array_equal(one.places(case, class_id), other.places(case, class_id))
    assert dict(one.outlines) == dict(other.outlines)


def cached_files(cache, ending):
    return sorted(cache.glob(f"*/*.{ending}"))


BUILD = """
import sys
from pathlib import Path
from seglab.data.cache.case_cache import Cache
from seglab.data.digest import remembered
from seglab.data.preprocessing.case_preprocessing import CasePreprocessing
sys.path.insert(0, sys.argv[5])
from worker_tasks import SlowFolder
folder = Path(sys.argv[2])
source = SlowFolder(sys.argv[1], float(sys.argv[3]))
with remembered(folder):
    digest = source.digest()
cache = Cache(source, digest, CasePreprocessing((8, 12), "resize", None), folder, 1.0, processes=int(sys.argv[4]))
facts, arrays = cache.collect(source.cases)
print(sum(int(arrays.read(i)[0].sum()) for i in facts), flush=True)
"""


def build_command(root, cache, delay=0.0, processes=1):
    words = (root, cache, delay, processes, Path(__file__).parents[1] / "helpers")
    return [sys.executable, "-c", BUILD, *map(str, words)]


def builder(*args):
    return subprocess.Popen(build_command(*args), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
