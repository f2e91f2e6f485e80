"""Near-duplicates are searched once: the answer is kept under its inputs, and a sample says that it is one."""

from __future__ import annotations

import numpy as np
import pytest
from lookalikes import chest

from seglab.data.cache.cache_records import record_bytes
from seglab.data.cases import Sample
from seglab.data.check import kept_results as keeping
from seglab.data.check import leaks
from seglab.data.check.kept_results import FOLDER, KeptResults
from seglab.data.check.leaks import find_similar_images
from seglab.data.preprocessing.case_fingerprint import examine
from seglab.data.splits import Split
from seglab.task import Task

COUNT = 36


@pytest.fixture(scope="module")
def facts():
    """Of images of which `c35` is `c0` mirrored, `c34` is `c1`."""
    images = [chest(np.random.default_rng(n)) for n in range(COUNT)]
    images[35], images[34] = images[0][:, ::-1], images[1][2:, 2:]
    task = Task(2, 1, ("background", "lung"))
    return {f"c{n}": examine(Sample(np.ascontiguousarray(i), None, (1.0, 1.0)), task) for n, i in enumerate(images)}


@pytest.fixture
def split():
    ids = [f"c{n}" for n in range(COUNT)]
    return Split(tuple(ids[:16]), tuple(ids[16:26]), tuple(ids[26:]))


@pytest.fixture
def compared(monkeypatch):
    """How many images were held against how many."""
    calls = []
    plain = leaks.DuplicateSearch.matches
    monkeypatch.setattr(
        leaks.DuplicateSearch,
        "matches",
        lambda self, held, known: calls.append((len(held), len(known))) or plain(self, held, known),
    )
    monkeypatch.setattr(keeping, "_WORTH_KEEPING", 0.0)
    return calls


def test_what_was_answered_is_not_asked_again(tmp_path, facts, split, compared):
    first = find_similar_images(split, facts, KeptResults(tmp_path))
    [finding] = first
    assert "2 of 10 test images look like one of train" in finding.found
    assert "c35 ~ c0 (mirrored left to right" in finding.found
    assert compared == [(10, 16), (10, 16), (10, 10)]
    compared.clear()
    assert find_similar_images(split, facts, KeptResults(tmp_path)) == first
    assert compared == []
    # Another split, another image, other code: asked anew.
    other = Split(split.train[1:], split.val, (*split.test, split.train[0]))
    find_similar_images(other, facts, KeptResults(tmp_path))
    assert len(compared) == 3
    find_similar_images(split, {**facts, "c35": facts["c34"]}, KeptResults(tmp_path))
    assert len(compared) == 6


@pytest.mark.parametrize("damage", [b"", b"{", b"x" * 300])
def test_a_damaged_answer_is_no_answer(tmp_path, facts, split, compared, damage):
    first = find_similar_images(split, facts, KeptResults(tmp_path))
    [file] = (tmp_path / FOLDER).iterdir()
    file.write_bytes(damage or file.read_bytes().replace(b"c35", b"c36"))
    assert find_similar_images(split, facts, KeptResults(tmp_path)) == first
    assert len(compared) == 6


def test_the_answer_to_another_question_is_no_answer(tmp_path, facts, split, compared):
    first = find_similar_images(split, facts, KeptResults(tmp_path))
    [file] = (tmp_path / FOLDER).iterdir()
    clean = Split(split.train[2:], split.val, split.test)
    assert find_similar_images(clean, facts, KeptResults(tmp_path)) == []
    [other] = {*(tmp_path / FOLDER).iterdir()} - {file}
    for record in (other.read_bytes(), record_bytes({}), record_bytes([1])):
        file.write_bytes(record)
        assert find_similar_images(split, facts, KeptResults(tmp_path)) == first


def test_what_is_quick_is_not_kept_and_a_folder_that_cannot_be_written_is_none(tmp_path, facts, split, compared):
    (tmp_path / "file").write_text("")
    first = find_similar_images(split, facts, KeptResults(tmp_path / "file"))
    assert find_similar_images(split, facts) == first
    keeping._WORTH_KEEPING = 60.0
    find_similar_images(split, facts, KeptResults(tmp_path / "cache"))
    assert not (tmp_path / "cache").exists()


def test_a_sample_says_that_it_is_one_and_the_whole_answer_goes_before_it(
    tmp_path, facts, split, compared, monkeypatch
):
    monkeypatch.setattr(leaks, "MOST_COMPARED", 3 * 16 * 4)
    kept = KeptResults(tmp_path)
    rows = find_similar_images(split, facts, kept, thorough=False)
    assert compared == [(4, 16), (4, 16), (4, 10)]
    alike, sampled = rows
    assert "1 of 4 test images look like one of train" in alike.found  # c35 is the last of them
    assert (sampled.name, sampled.severity) == ("near-duplicates-sampled", "note")
    assert sampled.found.startswith("8 of 20 images were compared")
    assert "92.3% of such samples" in sampled.expected
    assert "seglab check-data" in sampled.remedy
    compared.clear()
    assert find_similar_images(split, facts, kept, thorough=False) == rows
    assert compared == []
    whole = find_similar_images(split, facts, kept)
    assert len(compared) == 3
    assert find_similar_images(split, facts, kept, thorough=False) == whole
    assert len(compared) == 3
