"""What a run learns from: its split, what is fitted to the training cases, and the reasons to stop at once."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from data_cards import data_config

from seglab.data.cases import Case, Sample
from seglab.data.loading.training_data import gather
from seglab.data.splits import make_split
from seglab.errors import ConfigError, DataError
from seglab.task import Task

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


class Toy:
    """Cases of 8×9 pixels: noise around the number of the case, a quarter of the mask of class 1."""

    def __init__(self, count=10, rank=2, split=None, bad=(), files=True):
        self.name, self.split = "toy", split
        self.task = Task(rank, 1, ("background", "object"))
        self.cases = [Case(f"c{n}", (f"c{n}.png",) if files else (), None, f"c{n}") for n in range(count)]
        self.bad, self.reads = bad, []
        for case in self.cases if files else []:
            Path(case.image[0]).write_text(case.id)

    def read(self, case):
        self.reads.append(case.id)
        if case.id in self.bad:
            raise DataError("a file that cannot be read", where=case.image[0])
        number = int(case.id[1:])
        noise = np.random.default_rng(number).normal(size=(8, 9, 1))
        mask = np.zeros((8, 9), np.uint8)
        mask[:2] = 1
        return Sample((number + (noise - noise.mean()) / noise.std()).astype(np.float32), mask, (1.0, 1.0))

    def read_image(self, case):
        return Sample(self.read(case).image, None, (1.0, 1.0))

    def describe_files(self, case):
        return case.id

    def digest(self):
        return "digest of the toy"


def _config(source, monitor="val_dice", shares=(0.6, 0.2, 0.2), **card):
    given = {"size": [8, 9], "batch_size": 2, "resize_mode": "resize", "normalize": "standard", **card}
    given["split"] = dict(zip(("train", "val", "test"), shares, strict=True))
    return SimpleNamespace(
        data=SimpleNamespace(name="Toy", build=lambda: source),
        data_config=data_config(**given),
        model_config=SimpleNamespace(prompted=False),
        seed=3,
        trainer=SimpleNamespace(monitor=monitor),
        augment=SimpleNamespace(build=lambda task: None),
        loss=SimpleNamespace(target="seglab.losses.region.DiceLoss", arguments={}),
        metrics=(),
    )


def test_everything_is_fitted_to_the_training_split_alone():
    source = Toy()
    training_data = gather(_config(source))
    assert [len(training_data.cases(name)) for name in ("train", "val", "test")] == [6, 2, 2]
    numbers = [int(case.id[1:]) for case in training_data.cases("train")]
    assert training_data.preprocessing.mean == pytest.approx((np.mean(numbers),))
    assert training_data.preprocessing.std == pytest.approx((np.sqrt(np.var(numbers) + 1),))
    assert training_data.task.class_frequencies == (0.75, 0.25)
    assert training_data.digest == "digest of the toy"
    assert tuple(case.id for case in training_data.cases("val")) == training_data.split.val


def test_the_split_follows_the_seed_unless_it_has_its_own():
    cases = Toy().cases
    shares = {"train": 0.6, "val": 0.2, "test": 0.2}
    assert gather(_config(Toy())).split == make_split(cases, **shares, seed=3)
    assert gather(_config(Toy(), split_seed=0)).split == make_split(cases, **shares, seed=0)


def test_a_split_of_the_data_set_is_taken_as_it_is():
    split = {"train": ["c7", "c1"], "val": ["c2"], "test": ["c3"]}
    training_data = gather(_config(Toy(split=split)))
    assert (training_data.split.train, training_data.split.val, training_data.split.test) == (
        ("c1", "c7"),
        ("c2",),
        ("c3",),
    )


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


def test_training_and_validation_are_kept_and_test_cases_only_examined():
    source = Toy()
    training_data = gather(_config(source))
    assert sorted(source.reads) == sorted(case.id for case in source.cases)
    for case_id in (*training_data.split.train, *training_data.split.val):
        image, mask = training_data.arrays.read(case_id)
        sample = source.read(Case(case_id, ("",), None, ""))
        assert np.array_equal(image, sample.image)
        assert np.array_equal(mask, sample.mask)
    assert not set(training_data.split.test) & set(training_data.arrays.outlines)
    assert sorted(training_data.facts) == sorted(case.id for case in source.cases)
    assert [len(list(Path("cache").glob(f"*/*.{kind}.json"))) for kind in ("facts", "arrays")] == [10, 8]


def test_generated_cases_leave_no_folder_behind():
    source = Toy(files=False)
    training_data = gather(_config(source))
    assert not Path("cache").exists()
    assert len(training_data.arrays.outlines) == 8
    assert len(training_data.facts) == 10
    assert sorted(source.reads) == sorted(case.id for case in source.cases)


def test_a_second_start_reads_nothing_and_is_the_same():
    first, again = Toy(), Toy()
    one, other = gather(_config(first)), gather(_config(again))
    assert again.reads == []
    assert (one.facts, one.task, one.preprocessing, one.arrays.outlines) == (
        other.facts,
        other.task,
        other.preprocessing,
        other.arrays.outlines,
    )


def test_stratified_splits_know_the_foreground_before_the_split():
    source = Toy()
    training_data = gather(_config(source, stratify=True))
    assert sorted(source.reads) == sorted(case.id for case in source.cases)  # each once
    assert [len(training_data.cases(name)) for name in ("train", "val", "test")] == [6, 2, 2]


def test_what_the_data_check_finds_stops_the_start_or_is_carried_along():
    class Twins(Toy):
        def read(self, case):
            return super().read(Case("c0", case.image, None, "") if case.id in ("c1", "c2") else case)

    split = {"train": ["c1", "c3"], "val": ["c2"]}
    with pytest.raises(DataError, match="data check") as caught:
        gather(_config(Twins(split=split)))
    name = re.search(r"data\.allow=\[([a-z,-]+)\]", str(caught.value)).group(1)
    report = gather(_config(Twins(split=split), allow=name.split(","))).report
    assert report.allowed == tuple(sorted(name.split(",")))
    assert report.findings


@pytest.mark.parametrize("name", ["train", "val", "test"])
def test_a_bad_file_of_any_split_is_found_before_training(name):
    bad = getattr(gather(_config(Toy())).split, name)[-1]
    with pytest.raises(DataError, match="cannot be read") as caught:
        gather(_config(Toy(bad={bad}), cache_dir="other"))
    assert f"{bad}.png" in str(caught.value)


def test_a_bad_file_that_no_split_uses_is_nobodys_concern():
    split = {"train": ["c1"], "val": ["c2"], "test": []}
    gather(_config(Toy(split=split, bad={"c9"})))


@pytest.mark.parametrize(
    ("source", "config", "says"),
    [
        ({"rank": 3}, {}, ("data.rank", "found:    3D files", "expected: 2D", "set data.rank=3")),
        ({"split": {"val": ["c1"]}}, {}, ("no case to train on", "data.split")),
        (
            {"split": {"train": ["c1"]}},
            {},
            ("no case to validate on", "monitor val_dice", "trainer.monitor=train_dice"),
        ),
        ({"count": 2}, {}, ("too few groups to split", "2 cases in 2 groups", "at least 3 groups")),
        ({"split": {"train": ["c1", "x"]}}, {}, ("split train", "found:    x")),
        ({}, {"monitor": "val_dice/objekt"}, ("trainer.monitor", "background, object", "did you mean 'object'?")),
    ],
)
def test_what_cannot_be_trained_on_is_refused(source, config, says):
    with pytest.raises((DataError, ConfigError)) as caught:
        gather(_config(Toy(**source), **config))
    for words in says:
        assert words in str(caught.value)


def test_without_validation_a_training_metric_can_be_watched():
    assert gather(_config(Toy(split={"train": ["c1"]}), monitor="train_dice")).split.val == ()


def test_data_is_gathered_without_tensorflow_from_the_command_line():
    program = (
        "import sys; from hydra import compose, initialize_config_dir\n"
        "from seglab.config.run_config import load_config; from seglab.data.loading.training_data import gather\n"
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
