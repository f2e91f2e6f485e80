"""The cache: what goes in comes out, nothing stale or half-written is ever read, and it stays within its bounds."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from mounts import needs_mounts, read_only, small, within

from seglab.data.cache import case_cache as caching
from seglab.data.cache.case_cache import CASES_A_PROCESS, Cache
from seglab.data.cache.in_memory import store_in_memory
from seglab.data.cases import Case, Sample
from seglab.data.digest import FileDigests, digest_files, remembered
from seglab.data.preprocessing.case_fingerprint import examine
from seglab.data.preprocessing.case_preprocessing import CasePreprocessing
from seglab.data.sources.image_folder import ImageFolder
from seglab.errors import DataError
from seglab.runtime import source_files
from seglab.task import Task

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


@pytest.mark.parametrize("damage", ["record", "array", "missing", "facts"])
def test_damaged_entries_are_built_anew(root, tmp_path, damage):
    _, before = collect(root, tmp_path / "cache")
    wanted = [array.copy() for array in before.read("case1")]
    key = before._keys["case1"]
    folder = before._folder
    if damage == "record":
        (folder / f"{key}.arrays.json").write_bytes(b"{")
    elif damage == "facts":
        (folder / f"{key}.facts.json").write_bytes(b"")
    elif damage == "array":
        os.truncate(folder / f"{key}.image.npy", 200)
    else:
        (folder / f"{key}.mask.npy").unlink()
        with pytest.raises(DataError, match=r"(?s)cached case that is gone.*case1.*start again"):
            before.read("case1")
    _, after = collect(root, tmp_path / "cache")
    assert Counting.reads == 5
    assert all(np.array_equal(a, b) for a, b in zip(after.read("case1"), wanted, strict=True))


def cached_files(cache, ending):
    return sorted(cache.glob(f"*/*.{ending}"))


@pytest.mark.parametrize("damage", ["flip", "zeroed", "swapped", "facts"])
@pytest.mark.parametrize("preparation", [RESIZE, PATCH], ids=["resize", "patch"])
def test_a_file_of_the_right_size_and_other_contents_is_built_anew_alone(root, tmp_path, damage, preparation):
    cache, said = tmp_path / "cache", []
    facts, before = collect(root, cache, preparation)
    wanted = [array.copy() for array in before.read("case1")]
    key, folder = before._keys["case1"], before._folder
    mask, image = folder / f"{key}.mask.npy", folder / f"{key}.image.npy"
    if damage == "flip":
        held = bytearray(image.read_bytes())
        held[len(held) // 2] ^= 1
        image.write_bytes(held)
    elif damage == "zeroed":
        held = mask.read_bytes()
        mask.write_bytes(held[:128] + bytes(len(held) - 128))
    elif damage == "swapped":
        mask.write_bytes((folder / f"{before._keys['case2']}.mask.npy").read_bytes())
    else:
        file = folder / f"{key}.facts.json"
        file.write_bytes(file.read_bytes().replace(b"uint8", b"uint9"))
    del before
    facts_now, after = collect(root, cache, preparation, say=said.append)
    assert Counting.reads == 5
    assert all(np.array_equal(a, b) for a, b in zip(after.read("case1"), wanted, strict=True))
    assert facts_now == facts
    part = {"flip": "image", "facts": "record"}.get(damage, "mask")
    assert said[0] == f"1 of 4 cases damaged in {folder}, built anew: case1 ({part})"
    said.clear()
    collect(root, cache, preparation, say=said.append)
    assert (Counting.reads, said) == (5, [])


def test_a_mask_that_is_changed_before_it_is_read_is_not_kept_under_the_digest_of_the_former(root, tmp_path):
    """Else it would be found again as soon as somebody brings the former back."""
    cache, file = tmp_path / "cache", root / "masks" / "case1.png"
    source, former = Counting(root=str(root)), file.read_bytes()
    digest = source.digest()
    cv2.imwrite(str(file), np.ones((20, 30), np.uint8))
    with pytest.raises(DataError, match=r"changed while it was read[\s\S]*case1\.png"):
        Cache(source, digest, RESIZE, cache, 1.0).collect(source.cases)
    assert not list(cache.rglob("*.tmp"))
    file.write_bytes(former)
    same(collect(root, cache)[1], collect(root, tmp_path / "other")[1], [f"case{n}" for n in range(4)])


@pytest.mark.parametrize("kind", ["arrays", "facts"])
def test_records_of_two_cases_in_each_others_place_are_built_anew(root, tmp_path, kind):
    cache, said = tmp_path / "cache", []
    facts, before = collect(root, cache)
    wanted = [array.copy() for array in before.read("case1")]
    one, other = (before._folder / f"{before._keys[case]}.{kind}.json" for case in ("case1", "case2"))
    held = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(held)
    mask = before._folder / f"{before._keys['case1']}.mask.npy"
    mask.write_bytes(mask.read_bytes()[:-1] + b"\1")  # nobody would look: the other's record speaks of other files
    del before
    facts_now, after = collect(root, cache, say=said.append)
    assert Counting.reads == 6
    assert facts_now == facts
    assert all(np.array_equal(a, b) for a, b in zip(after.read("case1"), wanted, strict=True))
    assert said[0].endswith("built anew: case1 (record), case2 (record)")


def test_one_record_of_a_case_in_the_place_of_the_other_is_built_anew(root, tmp_path):
    facts, before = collect(root, tmp_path / "cache")
    record = before._folder / f"{before._keys['case1']}.facts.json"
    record.write_bytes(record.with_name(record.name.replace("facts", "arrays")).read_bytes())
    assert collect(root, tmp_path / "cache")[0] == facts
    assert Counting.reads == 5


def test_an_array_that_is_cut_off_while_training_runs_is_never_trained_on(root, tmp_path):
    """Of the end of a file as many bytes as before would be the mask moved by some pixels."""
    _, kept = collect(root, tmp_path / "cache")
    mask = kept._folder / f"{kept._keys['case1']}.mask.npy"
    os.truncate(mask, mask.stat().st_size - 3)
    with pytest.raises(DataError, match=r"(?s)cached case.*case1.*start again"):
        kept.read("case1")


def test_a_record_without_checksums_is_built_anew_without_a_word(root, tmp_path):
    said = []
    collect(root, tmp_path / "cache")
    for file in tmp_path.glob("cache/*/*.json"):  # as the code before wrote it
        file.write_bytes(file.read_bytes().partition(b"\n")[0])
    collect(root, tmp_path / "cache", say=said.append)
    assert Counting.reads == 8
    assert not any("damaged" in text for text in said)
    collect(root, tmp_path / "cache")
    assert Counting.reads == 8


@needs_mounts
def test_a_damaged_case_of_a_read_only_cache_is_never_trained_on(tmp_path):
    root, cache = write_images(tmp_path / "data"), tmp_path / "cache"
    builder(root, cache).communicate(timeout=60)
    mask = cached_files(cache, "mask.npy")[1]
    mask.write_bytes(bytes(mask.stat().st_size))
    code, said = within(read_only(cache), build_command(root, cache))
    assert code != 0
    assert "a cache folder that cannot be written" in said


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


def children_of(process):
    return [int(pid) for pid in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()]


@pytest.mark.parametrize(("processes", "count"), [(1, 4), (2, 2 * CASES_A_PROCESS)])
def test_two_builders_at_once(tmp_path, processes, count):
    root, cache = write_images(tmp_path / "data", count), tmp_path / "cache"
    both = [builder(root, cache, 0.4 / count, processes) for _ in range(2)]
    answers = [process.communicate(timeout=60) for process in both]
    assert [process.returncode for process in both] == [0, 0], answers
    assert len({said for said, _ in answers}) == 1
    _, alone = collect(root, tmp_path / "other")
    assert answers[0][0].split() == [str(sum(int(alone.read(f"case{n}")[0].sum()) for n in range(count)))]
    assert not list(cache.rglob("*.tmp"))


@pytest.mark.parametrize(("processes", "count"), [(1, 12), (2, 2 * CASES_A_PROCESS)])
def test_killed_while_building_leaves_nothing_half_written(tmp_path, processes, count):
    root, cache = write_images(tmp_path / "data", count), tmp_path / "cache"
    process = builder(root, cache, 0.1, processes)
    while len(list(cache.glob("*/*.arrays.json"))) < 2:
        assert process.poll() is None
        time.sleep(0.01)
    workers = children_of(process)
    assert len(workers) == (processes if processes > 1 else 0)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert len(list(cache.glob("*/*.arrays.json"))) < count
    # What a kill in the middle of writing leaves: a temporary file of the dead process.
    tag = next((cache / "used").iterdir()).name
    rest = next(cache.glob("*/*.facts.json")).with_name(f"{tag}.x.image.npy.tmp")
    rest.write_bytes(b"half")
    after = builder(root, cache, 0.0, processes)
    said, errors = after.communicate(timeout=60)
    assert after.returncode == 0, errors
    _, alone = collect(root, tmp_path / "other")
    assert said.split() == [str(sum(int(alone.read(f"case{n}")[0].sum()) for n in range(count)))]
    assert not any(Path(f"/proc/{pid}").exists() for pid in workers)
    assert not list(cache.rglob("*.tmp"))
    assert not list((cache / "used").iterdir())


def test_what_a_process_wrote_after_its_starter_was_killed_is_removed(root, tmp_path):
    """A case that is being decoded at the time of the kill is written to the end; others have cleaned up by then."""
    collect(root, tmp_path / "cache")
    folder = next((tmp_path / "cache").glob("*/*.facts.json")).parent
    (folder / "node.example.org-1-0123abcd.x.image.npy.tmp").write_bytes(b"late")
    collect(root, tmp_path / "cache")
    assert not list(folder.glob("*.tmp"))


@needs_mounts
def test_a_full_disk_is_told_and_leaves_no_rest(tmp_path):
    root, cache = write_images(tmp_path / "data", 6, (64, 64)), tmp_path / "cache"
    big = root / "images" / "case3.png"
    cv2.imwrite(str(big), np.zeros((64, 64, 3), np.uint8))
    cache.mkdir()
    mount = f"{small(cache, '200k')} && head -c 190000 /dev/zero > '{cache}/filler'"
    left = f"echo temporary files: $(find '{cache}' -name '*.tmp' | wc -l)"
    code, said = within(mount, build_command(root, cache), after=left)
    assert code != 0
    assert "no room for the cache of decoded cases" in said
    assert str(cache.resolve()) in said
    assert "bytes free" in said
    assert "bytes for the next file" in said
    assert "data.cache_dir" in said
    assert "data.cache_gb" in said
    assert "temporary files: 0\n" in said


@needs_mounts
def test_a_folder_that_cannot_be_written_is_told(tmp_path):
    root, cache = write_images(tmp_path / "data"), tmp_path / "cache"
    cache.mkdir()
    code, said = within(read_only(cache), build_command(root, cache))
    assert code != 0
    assert "a cache folder that cannot be written" in said
    assert "Read-only file system" in said
    assert "data.cache_dir" in said


@needs_mounts
def test_a_read_only_cache_that_holds_everything_is_used(tmp_path):
    root, cache = write_images(tmp_path / "data"), tmp_path / "cache"
    wanted, _ = builder(root, cache).communicate(timeout=60)
    before = {path: path.stat().st_mtime_ns for path in cache.rglob("*")}
    assert within(read_only(cache), build_command(root, cache)) == (0, wanted)
    assert {path: path.stat().st_mtime_ns for path in cache.rglob("*")} == before


def test_a_cache_folder_that_is_a_file_is_told(root, tmp_path):
    (tmp_path / "cache").write_text("")
    with pytest.raises(DataError, match=r"(?s)cannot be written.*remedy:.*data\.cache_dir"):
        collect(root, tmp_path / "cache")


def entry_bytes(cache):
    return sum(file.stat().st_size for file in cache.glob("*/*.*") if file.parent.name != "used")


def test_others_make_room_and_the_least_recently_used_go_first(tmp_path):
    cache, said = tmp_path / "cache", []
    roots = [
        write_images(tmp_path / name, 4, size) for name, size in (("a", (60, 60)), ("b", (70, 70)), ("c", (80, 80)))
    ]
    sizes = []
    for root in roots[:2]:
        collect(root, cache, PATCH)
        sizes.append(entry_bytes(cache) - sum(sizes))
    for facts in cache.glob("*/*.facts.json"):  # all long ago
        for file in facts.parent.glob(f"{facts.name.split('.')[0]}.*"):
            os.utime(file, (1, 1))
    reads = Counting.reads
    collect(roots[0], cache, PATCH)  # a is used once more: b is what goes
    assert Counting.reads == reads
    limit = (sum(sizes) + 4 * 80 * 80 * 12 - sizes[1] // 2) / 1e9
    collect(roots[2], cache, PATCH, limit, say=said.append)
    assert any("nobody is using" in text for text in said)
    assert entry_bytes(cache) <= limit * 1e9 + 4 * 4000  # records are counted when they are there
    reads = Counting.reads
    collect(roots[0], cache, PATCH)
    collect(roots[2], cache, PATCH)
    assert Counting.reads == reads
    collect(roots[1], cache, PATCH)
    assert reads < Counting.reads <= reads + 4


def test_files_of_the_user_in_the_folder_of_the_cache_stay(tmp_path):
    """The cache in the very folder of the data, full at once: nothing goes but what the cache itself has made."""
    root = write_images(tmp_path / "data", 4, (60, 60))
    for name in ("notes/thesis.tmp", "used/list.txt", "answers/mine.json", "0123456789abcdef/mine.npy"):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text("mine")
    (root / "fedcba9876543210").symlink_to(root / "images")
    theirs = {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}
    collect(root, root, PATCH)
    with pytest.raises(DataError, match="too small for this data set"):
        collect(write_images(tmp_path / "other", 4, (70, 70)), root, PATCH, 20e-6)
    assert {path: path.read_bytes() for path in theirs if path.exists()} == theirs
    assert not cached_files(root, "mask.npy")  # of the first set, which made room


def test_what_a_running_process_uses_stays_and_a_set_that_does_not_fit_is_refused(tmp_path):
    cache = tmp_path / "cache"
    one, other = write_images(tmp_path / "a", 4, (60, 60)), write_images(tmp_path / "b", 4, (70, 70))
    _, held = collect(one, cache, PATCH)
    wanted = held.read("case0")[0].copy()
    with pytest.raises(DataError, match=r"(?s)too small for this data set.*data\.cache_gb.*of 4 cases") as caught:
        collect(other, cache, PATCH, 300e-6)
    assert "remedy" in str(caught.value)
    assert np.array_equal(held.read("case0")[0], wanted)
    assert not list(cache.rglob("*.tmp"))
    del held  # now nobody needs it
    collect(other, cache, PATCH, 300e-6)


def test_several_processes_build_the_same(tmp_path):
    root = write_images(tmp_path / "data", 6)
    _, alone = collect(root, tmp_path / "one", reader=ImageFolder)
    _, together = collect(root, tmp_path / "two", reader=ImageFolder, processes=2)
    same(alone, together, [f"case{n}" for n in range(6)])


@pytest.mark.parametrize("processes", [1, 2])
def test_the_first_bad_case_in_order_is_named(tmp_path, processes):
    root = write_images(tmp_path / "data", 6)
    for n in (2, 4):
        path = root / "images" / f"case{n}.png"
        path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(DataError, match=r"case2\.png"):
        collect(root, tmp_path / "cache", reader=ImageFolder, processes=processes)
    assert not list((tmp_path / "cache").rglob("*.tmp"))


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
