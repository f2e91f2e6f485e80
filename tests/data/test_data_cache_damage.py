"""The cache when it is damaged: nothing half-written, exchanged or cut off is ever trained on."""

from __future__ import annotations

import os

import cv2
import numpy as np
import pytest
from cached_cases import (
    PATCH,
    RESIZE,
    Counting,
    build_command,
    builder,
    cached_files,
    collect,
    root,
    same,
    write_images,
)
from mounts import needs_mounts, read_only, within

from seglab.data.cache.case_cache import Cache
from seglab.errors import DataError

__all__ = ["root"]


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


@pytest.mark.parametrize("damage", ["flip", "zeroed", "swapped", "facts"])
@pytest.mark.parametrize("preparation", [RESIZE, PATCH], ids=["resize", "patch"])
def test_a_file_of_the_right_size_and_other_contents_is_built_anew_alone(root, tmp_path, damage, preparation):
    cache, lines = tmp_path / "cache", []
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
    facts_now, after = collect(root, cache, preparation, say=lines.append)
    assert Counting.reads == 5
    assert all(np.array_equal(a, b) for a, b in zip(after.read("case1"), wanted, strict=True))
    assert facts_now == facts
    part = {"flip": "image", "facts": "record"}.get(damage, "mask")
    assert lines[0] == f"1 of 4 cases damaged in {folder}, built anew: case1 ({part})"
    lines.clear()
    collect(root, cache, preparation, say=lines.append)
    assert (Counting.reads, lines) == (5, [])


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
    cache, lines = tmp_path / "cache", []
    facts, before = collect(root, cache)
    wanted = [array.copy() for array in before.read("case1")]
    one, other = (before._folder / f"{before._keys[case]}.{kind}.json" for case in ("case1", "case2"))
    held = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(held)
    mask = before._folder / f"{before._keys['case1']}.mask.npy"
    mask.write_bytes(mask.read_bytes()[:-1] + b"\1")  # nobody would look: the other's record speaks of other files
    del before
    facts_now, after = collect(root, cache, say=lines.append)
    assert Counting.reads == 6
    assert facts_now == facts
    assert all(np.array_equal(a, b) for a, b in zip(after.read("case1"), wanted, strict=True))
    assert lines[0].endswith("built anew: case1 (record), case2 (record)")


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
    lines = []
    collect(root, tmp_path / "cache")
    for file in tmp_path.glob("cache/*/*.json"):  # as the code before wrote it
        file.write_bytes(file.read_bytes().partition(b"\n")[0])
    collect(root, tmp_path / "cache", say=lines.append)
    assert Counting.reads == 8
    assert not any("damaged" in text for text in lines)
    collect(root, tmp_path / "cache")
    assert Counting.reads == 8


@needs_mounts
def test_a_damaged_case_of_a_read_only_cache_is_never_trained_on(tmp_path):
    root, cache = write_images(tmp_path / "data"), tmp_path / "cache"
    builder(root, cache).communicate(timeout=60)
    mask = cached_files(cache, "mask.npy")[1]
    mask.write_bytes(bytes(mask.stat().st_size))
    code, output = within(read_only(cache), build_command(root, cache))
    assert code != 0
    assert "a cache folder that cannot be written" in output
