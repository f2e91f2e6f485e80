"""The page of parts of one's own: its examples are taken from it and run; what gives something else is refused."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from seglab.config.places import ROOT
from seglab.config.run_config import Component, load_config
from seglab.config.vocabulary import compose, options_of
from seglab.data.loading.training_data import gather
from seglab.errors import ConfigError, DataError
from seglab.experiment.component_trial import (
    prove_augmentation,
    prove_loss,
    prove_model,
    prove_optimizer,
    prove_schedule,
)
from seglab.experiment.run_parts import assemble, make_augmentation
from seglab.task import Task

PAGE = (ROOT / "docs" / "your_own.md").read_text(encoding="utf-8")
CHOSEN = ["data=discs", "model=plain_stack", "loss=squared", "optimizer=nadam", "schedule=steps", "augment=noise"]
TASK = Task(rank=2, channels=1, class_names=("background", "disc"))
SIZE = (16, 16)


@pytest.fixture
def mylab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The package of the page, as it says to write it; the command of the page is running."""
    for body in re.findall(r"```(?:python|yaml)\n(.*?)```", PAGE, re.DOTALL):
        file = tmp_path / body.splitlines()[0].lstrip("# ")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(body)
    (tmp_path / "mylab" / "__init__.py").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in [name for name in sys.modules if name.split(".")[0] == "mylab"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr("sys.argv", ["train.py", "--config-dir", "mylab/conf", *CHOSEN])
    return tmp_path


def test_every_example_of_the_page_runs(mylab: Path) -> None:
    assert "squared" in options_of("loss")
    assert " ".join(CHOSEN) in PAGE
    config = load_config(compose("train", [*CHOSEN, "loss.power=3.0", "data.count=12", "data.size=[16,16]"]))
    assert config.run_name == "PlainStack_SquaredLoss_Nadam"
    training_data = gather(config)
    parts = assemble(config, training_data, make_augmentation(config, training_data.task))
    assert isinstance(parts.optimizer, keras.optimizers.Nadam)
    assert parts.loss.power == 3.0
    assert [float(parts.schedule(step)) for step in (0, 10 * len(parts.batches["train"]))] == pytest.approx(
        [1e-3, 1e-4]
    )
    images, masks = parts.batches["train"][0]
    parts.model.compile(optimizer=parts.optimizer, loss=parts.loss)
    before = parts.model.trainable_variables[0].numpy()
    assert np.isfinite(parts.model.train_on_batch(images, masks))
    assert not np.array_equal(before, parts.model.trainable_variables[0].numpy())


def test_the_code_of_the_examples_is_short() -> None:
    for body in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL):
        lines = [line for line in body.splitlines() if line.strip() and not line.startswith(("#", "import", "from"))]
        assert len(lines) <= 18, lines[0]


class NoGradient(keras.losses.Loss):
    def call(self, y_true: Any, y_pred: Any) -> Any:
        return keras.ops.mean(keras.ops.cast(keras.ops.argmax(y_pred, -1), "float32"))


class OneEach(keras.losses.Loss):
    def call(self, y_true: Any, y_pred: Any) -> Any:
        return keras.ops.mean(y_pred, axis=(1, 2, 3))


def stack(channels: int, size: tuple[int, ...] = SIZE) -> keras.Model:
    inputs = keras.Input((*size, 1))
    return keras.Model(inputs, keras.layers.Conv2D(channels, 1)(inputs))


class NoReturn(keras.losses.Loss):
    def call(self, y_true: Any, y_pred: Any) -> Any:
        keras.ops.mean(y_pred)


OWN = Component("Mine", "mylab.mine", {})
REFUSED = [
    (lambda: prove_loss(lambda y, p: None, OWN, TASK, SIZE), "None: is its return missing"),
    (lambda: prove_loss(NoReturn(), OWN, TASK, SIZE), "None: is its return missing"),
    (lambda: prove_loss(lambda y, p: p.no_such(), OWN, TASK, SIZE), r"no_such[\s\S]*test_your_own\.py, line"),
    (lambda: prove_augmentation(lambda i: i, OWN, TASK, SIZE), "TypeError"),
    (lambda: prove_loss(3, OWN, TASK, SIZE), "a int"),
    (lambda: prove_loss(NoGradient(), OWN, TASK, SIZE), "without a gradient"),
    (lambda: prove_loss(OneEach(reduction="none"), OWN, TASK, SIZE), r"shape \(2,\)"),
    (lambda: prove_model(None, OWN, TASK, SIZE), "None: is its return missing"),
    (lambda: prove_model(stack(3), OWN, TASK, SIZE), r"to \(None, 16, 16, 3\)"),
    (lambda: prove_model(stack(1, (8, 8)), OWN, TASK, SIZE), r"from \(None, 8, 8, 1\)"),
    (lambda: prove_model(keras.Sequential([keras.layers.Conv2D(1, 1)]), OWN, TASK, SIZE), "without one known input"),
    (lambda: prove_optimizer(0.1, OWN), "a float"),  # type: ignore[arg-type]
    (lambda: prove_schedule(keras.optimizers.schedules.CosineDecay(0.1, 3), OWN), "a CosineDecay"),
    (lambda: prove_augmentation(lambda *given: None, OWN, TASK, SIZE), "None: is its return missing"),
    (lambda: prove_augmentation(lambda i, m, *_: (i[::2], m), OWN, TASK, SIZE), r"\(8, 16, 1\) and \(16, 16\)"),
    (lambda: prove_augmentation(lambda i, m, *_: (i, m / 2), OWN, TASK, SIZE), "mask of float64"),
    (lambda: prove_augmentation(lambda i, m, *_: i, OWN, TASK, SIZE), "a ndarray"),
]


@pytest.mark.parametrize(("prove", "words"), REFUSED)
def test_a_part_that_gives_something_else_is_refused(prove: Any, words: str) -> None:
    with pytest.raises(ConfigError, match=rf"gives something else[\s\S]*{words}[\s\S]*your_own\.md"):
        prove()


def test_a_part_that_gives_what_is_wanted_is_let_through() -> None:
    prove_model(stack(1), OWN, TASK, SIZE)
    prove_augmentation(lambda i, m, *_: (i, m), OWN, TASK, SIZE)


def test_a_source_that_lacks_something_or_reads_nothing(mylab: Path) -> None:
    text = (mylab / "mylab" / "sources.py").read_text()
    (mylab / "mylab" / "sources.py").write_text(text.replace("def digest", "def digested"))
    config = load_config(compose("train", [*CHOSEN, "data.count=12"]))
    with pytest.raises(ConfigError, match="a Discs without digest"):
        gather(config)
    (mylab / "mylab" / "sources.py").write_text(text.replace("return Sample(", "Sample("))
    del sys.modules["mylab.sources"]
    with pytest.raises(DataError, match=r"mylab\.sources\.Discs\.read, case disc-[\s\S]*NoneType"):
        gather(config)
