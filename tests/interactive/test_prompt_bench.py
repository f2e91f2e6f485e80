"""The bench: what it counts, on a model whose answers are known; recorded as a run that compare reads."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from seglab.cli.prompt_bench import PromptBenchWords, _targets
from seglab.data.synthetic.shapes import Synthetic2D
from seglab.errors import DataError
from seglab.interactive.grabcut import GrabCut
from seglab.interactive.prompt import Prompt
from seglab.interactive.prompt_bench import BenchSettings, _data_digest, record, run_robot, summary
from seglab.interactive.prompt_models import Candidates, Embedding
from seglab.interactive.target_objects import TargetObject, built_in, objects_of


class Growing(GrabCut):
    """Answers the nth click with the first 10 n rows."""

    name = "growing"

    def candidates(self, embedding: Embedding, prompt: Prompt) -> Candidates:
        logits = np.full((3, *embedding.shape), -1, np.float32)
        logits[:, : 10 * len(prompt.points)] = 1
        return Candidates(logits, np.array([0.1, 0.9, 0.2], np.float32))


def targets() -> list[TargetObject]:
    truth = np.zeros((100, 10), bool)
    truth[:40] = True
    image = np.zeros((100, 10, 3), np.uint8)
    return [TargetObject("a", "i", "g", image, truth), TargetObject("b", "j", "g", image, ~truth)]


def test_what_is_counted() -> None:
    settings = BenchSettings("growing", "0", "by hand", clicks=6, guard=False)
    table = run_robot(Growing(), targets(), settings)
    first, second = table.to_dict("records")
    assert (first["noc_80"], first["noc_95"], first["clicks"], first["falls"]) == (4, 4, 4, 0)
    assert [first[f"iou_{k}"] for k in (1, 2, 3, 5)] == [0.25, 0.5, 0.75, 1.0]
    assert (second["noc_80"], second["reached_80"], second["clicks"]) == (6, 0, 6)
    found = summary(table, 6)
    assert found["noc_80"][0] == 5
    assert found["nof_80"][0] == 1
    assert found["noc_80"][1] >= 1
    assert found["noc_80"][2] <= 6
    assert 0 <= found["fall_share"][0] <= 1


def test_built_in_objects_are_the_same_each_time() -> None:
    one, other = list(built_in(7, 64, 0)), list(built_in(7, 64, 0))
    assert [target.id for target in one] == [target.id for target in other]
    assert len({target.id for target in one}) == 7
    assert all((a.image == b.image).all() and (a.truth == b.truth).all() for a, b in zip(one, other, strict=True))
    assert all(target.truth.sum() >= 64 and target.image.dtype == np.uint8 for target in one)
    assert {target.image.shape for target in one} == {(128, 128, 3), (128, 256, 3)}


def test_objects_of_a_data_set_are_its_components() -> None:
    source = Synthetic2D(count=5)
    found = list(objects_of(source, source.cases, 100, 30, 0))
    assert len({target.id for target in found}) == len(found) >= 5
    for target in found:
        sample = source.read(next(case for case in source.cases if case.id == target.image_id))
        assert sample.mask is not None
        assert (sample.mask[target.truth] == 1).all()
    with pytest.raises(DataError) as caught:
        list(objects_of(source, source.cases, 5, 30, 0, ["tumour"]))
    assert caught.value.code == "unknown-choice"
    with pytest.raises(DataError):
        list(objects_of(source, source.cases, 5, 10**6, 0))


def test_it_is_recorded_as_a_run_whose_objects_can_be_compared(tmp_path: Path) -> None:
    from seglab.comparison.case_tables import locate, lower_is_better, read_table
    from seglab.tracking.store import open_store

    settings = BenchSettings("growing", "0", "by hand", clicks=6, guard=False)
    table = run_robot(Growing(), targets(), settings)
    run_id = record(table, settings, None, "prompts", tmp_path)
    store = open_store(None, tmp_path)
    run = store.run(run_id)
    assert run.info.status == "FINISHED"
    assert run.data.metrics["test_noc_80"] == 5
    assert run.data.params["model.name"] == "growing"
    file = next(tmp_path.rglob(locate("test_noc_80").file))
    kept = read_table(file)
    assert kept.scores["noc_80"].tolist() == [4, 6]
    assert lower_is_better("test_noc_80")
    assert not lower_is_better("test_iou_5")


def test_other_images_are_other_data_and_another_place_is_not(tmp_path: Path) -> None:
    """`data=image_folder` had one digest, whatever lay in its folder."""
    for root, seed in (("one", 0), ("two", 0), ("other", 1)):
        source = Synthetic2D(count=3, image_size=(48, 48), seed=seed)
        for case in source.cases:
            sample = source.read(case)
            assert sample.mask is not None
            for part, values in (("images", sample.image[..., 0]), ("masks", sample.mask)):
                (tmp_path / root / part).mkdir(parents=True, exist_ok=True)
                Image.fromarray(values.astype(np.uint8)).save(tmp_path / root / part / f"{case.id}.png")

    def digests(root: str) -> tuple[str, str]:
        given = PromptBenchWords(data=("data=image_folder", f"data.root={tmp_path / root}"))
        contents = _targets(given)[1]
        return contents, _data_digest(BenchSettings("grabcut", "0", "image_folder", contents=contents))

    assert digests("one") == digests("two")
    assert digests("one")[1] != digests("other")[1]
    assert _targets(PromptBenchWords())[1] == ""
