"""The cache with several processes, a full disk, and little room."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from cached_cases import PATCH, Counting, build_command, builder, cached_files, collect, root, same, write_images
from mounts import needs_mounts, read_only, small, within

from seglab.data.cache.case_cache import CASES_A_PROCESS
from seglab.data.sources.image_folder import ImageFolder
from seglab.errors import DataError

__all__ = ["root"]


def children_of(process):
    return [int(pid) for pid in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()]


@pytest.mark.parametrize(("processes", "count"), [(1, 4), (2, 2 * CASES_A_PROCESS)])
def test_two_builders_at_once(tmp_path, processes, count):
    root, cache = write_images(tmp_path / "data", count), tmp_path / "cache"
    both = [builder(root, cache, 0.4 / count, processes) for _ in range(2)]
    answers = [process.communicate(timeout=60) for process in both]
    assert [process.returncode for process in both] == [0, 0], answers
    assert len({output for output, _ in answers}) == 1
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
    output, errors = after.communicate(timeout=60)
    assert after.returncode == 0, errors
    _, alone = collect(root, tmp_path / "other")
    assert output.split() == [str(sum(int(alone.read(f"case{n}")[0].sum()) for n in range(count)))]
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
def test_a_full_disk_is_reported_and_leaves_no_rest(tmp_path):
    root, cache = write_images(tmp_path / "data", 6, (64, 64)), tmp_path / "cache"
    big = root / "images" / "case3.png"
    cv2.imwrite(str(big), np.zeros((64, 64, 3), np.uint8))
    cache.mkdir()
    mount = f"{small(cache, '200k')} && head -c 190000 /dev/zero > '{cache}/filler'"
    left = f"echo temporary files: $(find '{cache}' -name '*.tmp' | wc -l)"
    code, output = within(mount, build_command(root, cache), after=left)
    assert code != 0
    assert "no room for the cache of decoded cases" in output
    assert str(cache.resolve()) in output
    assert "bytes free" in output
    assert "bytes for the next file" in output
    assert "data.cache_dir" in output
    assert "data.cache_gb" in output
    assert "temporary files: 0\n" in output


@needs_mounts
def test_a_folder_that_cannot_be_written_is_reported(tmp_path):
    root, cache = write_images(tmp_path / "data"), tmp_path / "cache"
    cache.mkdir()
    code, output = within(read_only(cache), build_command(root, cache))
    assert code != 0
    assert "a cache folder that cannot be written" in output
    assert "Read-only file system" in output
    assert "data.cache_dir" in output


@needs_mounts
def test_a_read_only_cache_that_holds_everything_is_used(tmp_path):
    root, cache = write_images(tmp_path / "data"), tmp_path / "cache"
    wanted, _ = builder(root, cache).communicate(timeout=60)
    before = {path: path.stat().st_mtime_ns for path in cache.rglob("*")}
    assert within(read_only(cache), build_command(root, cache)) == (0, wanted)
    assert {path: path.stat().st_mtime_ns for path in cache.rglob("*")} == before


def test_a_cache_folder_that_is_a_file_is_reported(root, tmp_path):
    (tmp_path / "cache").write_text("")
    with pytest.raises(DataError, match=r"(?s)cannot be written.*remedy:.*data\.cache_dir"):
        collect(root, tmp_path / "cache")


def entry_bytes(cache):
    return sum(file.stat().st_size for file in cache.glob("*/*.*") if file.parent.name != "used")


def test_others_make_room_and_the_least_recently_used_go_first(tmp_path):
    cache, lines = tmp_path / "cache", []
    roots = [
        write_images(tmp_path / name, 4, size) for name, size in (("a", (60, 60)), ("b", (70, 70)), ("c", (80, 80)))
    ]
    sizes = []
    for one in roots[:2]:
        collect(one, cache, PATCH)
        sizes.append(entry_bytes(cache) - sum(sizes))
    for facts in cache.glob("*/*.facts.json"):  # all long ago
        for file in facts.parent.glob(f"{facts.name.split('.')[0]}.*"):
            os.utime(file, (1, 1))
    reads = Counting.reads
    collect(roots[0], cache, PATCH)  # a is used once more: b is what goes
    assert Counting.reads == reads
    limit = (sum(sizes) + 4 * 80 * 80 * 12 - sizes[1] // 2) / 1e9
    collect(roots[2], cache, PATCH, limit, say=lines.append)
    assert any("nobody is using" in text for text in lines)
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
