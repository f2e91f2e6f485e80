"""What a run learns from: its split, what is fitted to the training cases, and the reasons to stop at once."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from seglab.data.cases import Case, Sample
from seglab.data.material import gather
from seglab.data.memory import SourceInMemory
from seglab.data.splits import make_split
from seglab.errors import DataError
from seglab.task import Task

ROOT = Path(__file__).parents[2]


class Toy:
    """Cases of 2×2 pixels: the image holds the number of its case, the mask one pixel of class 1."""

    def __init__(self, count=10, rank=2, split=None, bad=()):
        self.name, self.split = "toy", split
        self.task = Task(rank, 1, ("background", "object"))
        self.cases = [Case(f"c{n}", (f"c{n}.png",), None, f"c{n}") for n in range(count)]
        self.bad, self.reads = bad, []

    def read(self, case):
        self.reads.append(case.id)
        if case.id in self.bad:
            raise DataError("a file that cannot be read", where=case.image[0])
        image = np.full((2, 2, 1), int(case.id[1:]), np.float32)
        return Sample(image, np.array([[1, 0], [0, 0]], np.uint8), (1.0, 1.0))

    def read_image(self, case):
        return Sample(self.read(case).image, None, (1.0, 1.0))

    def describe_files(self, case):
        return case.id

    def digest(self):
        return "digest of the toy"


def _config(source, monitor="val_dice", shares=(0.6, 0.2, 0.2), **card):
    settings = {
        "rank": 2,
        "split": SimpleNamespace(**dict(zip(("train", "val", "test"), shares, strict=True))),
        "split_seed": None,
        "limit_cases": None,
        "validate_on_train": False,
        "normalize": "standard",
    }
    return SimpleNamespace(
        data=SimpleNamespace(build=lambda: source),
        data_card=SimpleNamespace(**{**settings, **card}),
        seed=3,
        trainer=SimpleNamespace(monitor=monitor),
    )


def test_everything_is_fitted_to_the_training_split_alone():
    source = Toy()
    material = gather(_config(source))
    assert [len(material.cases(name)) for name in ("train", "val", "test")] == [6, 2, 2]
    numbers = [int(case.id[1:]) for case in material.cases("train")]
    assert material.preprocessing.mean == pytest.approx((np.mean(numbers),))
    assert material.preprocessing.std == pytest.approx((np.std(numbers),))
    assert material.task.class_frequencies == (0.75, 0.25)
    assert material.digest == "digest of the toy"
    assert tuple(case.id for case in material.cases("val")) == material.split.val


def test_the_split_follows_the_seed_unless_it_has_its_own():
    cases = Toy().cases
    shares = {"train": 0.6, "val": 0.2, "test": 0.2}
    assert gather(_config(Toy())).split == make_split(cases, **shares, seed=3)
    assert gather(_config(Toy(), split_seed=0)).split == make_split(cases, **shares, seed=0)


def test_a_split_of_the_data_set_is_taken_as_it_is():
    split = {"train": ["c7", "c1"], "val": ["c2"], "test": ["c3"]}
    material = gather(_config(Toy(split=split)))
    assert (material.split.train, material.split.val, material.split.test) == (("c1", "c7"), ("c2",), ("c3",))


def test_limited_cases_are_the_first_of_each_split():
    whole, limited = gather(_config(Toy(30))).split, gather(_config(Toy(30), limit_cases=3)).split
    assert limited.train == whole.train[:3]
    assert (len(whole.train), len(limited.val), len(limited.test)) == (18, 3, 3)


def test_validation_on_the_training_cases_uses_the_limited_ones():
    source = Toy(30)
    split = gather(_config(source, limit_cases=4, validate_on_train=True)).split
    assert split.train == split.val == split.test
    assert len(split.train) == 4
    assert sorted(source.reads) == sorted(split.train)


def test_training_and_validation_are_held_and_test_cases_only_looked_at():
    source = Toy()
    material = gather(_config(source))
    assert sorted(source.reads) == sorted(case.id for case in source.cases)
    for case in source.cases:
        material.source.read(case)
        material.source.read(case)
    assert source.reads[10:] == [
        i for i in (case.id for case in source.cases) if i in material.split.test for _ in "ab"
    ]


@pytest.mark.parametrize("name", ["train", "val", "test"])
def test_a_bad_file_of_any_split_is_found_before_training(name):
    bad = getattr(gather(_config(Toy())).split, name)[-1]
    with pytest.raises(DataError, match="cannot be read") as caught:
        gather(_config(Toy(bad={bad})))
    assert f"{bad}.png" in str(caught.value)


def test_a_bad_file_that_no_split_uses_is_nobodys_concern():
    split = {"train": ["c1"], "val": ["c2"], "test": []}
    gather(_config(Toy(split=split, bad={"c9"})))


@pytest.mark.parametrize(
    ("source", "config", "says"),
    [
        (Toy(rank=3), {}, ("data.rank", "found:    3D files", "expected: 2D", "set data.rank=3")),
        (Toy(split={"val": ["c1"]}), {}, ("no case to train on", "data.split")),
        (
            Toy(split={"train": ["c1"]}),
            {},
            ("no case to validate on", "monitor val_dice", "trainer.monitor=train_dice"),
        ),
        (Toy(2), {}, ("too few groups to split", "2 cases in 2 groups", "at least 3 groups")),
        (Toy(split={"train": ["c1", "x"]}), {}, ("split train", "found:    x")),
    ],
)
def test_what_cannot_be_trained_on_is_refused(source, config, says):
    with pytest.raises(DataError) as caught:
        gather(_config(source, **config))
    for words in says:
        assert words in str(caught.value)


def test_without_validation_a_training_metric_can_be_watched():
    assert gather(_config(Toy(split={"train": ["c1"]}), monitor="train_dice")).split.val == ()


def test_memory_from_load_to_forget():
    source = Toy(3)
    held = SourceInMemory(source)
    first, second, third = held.cases
    held.load([first, second])
    assert held.read(first) is held.read(first)
    assert held.read_image(second).mask is None
    assert len(source.reads) == 2
    held.forget(first)
    held.forget(third)  # was never there
    assert held.read(first).image[0, 0, 0] == 0
    assert held.read(second).image[0, 0, 0] == 1
    assert held.read(third).image[0, 0, 0] == 2
    assert source.reads[2:] == ["c0", "c2"]


def test_generated_cases_need_no_check():
    source = Toy(2)
    source.cases[0] = Case("c0", (), None, "c0")
    SourceInMemory(source).check(source.cases)
    assert source.reads == ["c1"]


def test_data_is_gathered_without_tensorflow_from_the_command_line():
    program = (
        "import sys; from hydra import compose, initialize_config_dir\n"
        "from seglab.config import load_config; from seglab.data.material import gather\n"
        f"with initialize_config_dir({str(ROOT / 'conf')!r}, version_base=None):\n"
        "    cfg = compose('train', overrides=['data.count=20', 'data.size=[32,32]', 'augment=strong'])\n"
        "config = load_config(cfg)\n"
        "material = gather(config)\n"
        "config.augment.build(material.task)\n"
        "assert [len(material.cases(n)) for n in ('train', 'val', 'test')] == [14, 3, 3]\n"
        "print([name for name in ('tensorflow', 'keras', 'mlflow', 'torch') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, env={**os.environ}, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"
