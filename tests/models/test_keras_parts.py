"""Losses and optimizers of Keras by their dotted path: refused before TensorFlow, fed what they want, trained with."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import keras
import numpy as np
import pytest

from seglab.config.keras_metrics import check_metrics
from seglab.config.run_config import load_config
from seglab.config.targets import check_given, construct, parameters_of
from seglab.config.vocabulary import compose
from seglab.data.loading.training_data import gather
from seglab.errors import ConfigError
from seglab.experiment.run_parts import assemble, make_augmentation
from seglab.losses.distribution import CrossEntropyLoss
from seglab.task import Task

MANY = Task(2, 1, ("background", "cell", "edge"))
TWO = Task(2, 1, ("background", "cell"))
RNG = np.random.default_rng(0)


def batch(task: Task, *, ignored: bool = True) -> tuple[np.ndarray, np.ndarray]:
    truth = RNG.integers(0, task.classes, (2, 6, 5)).astype("int32")
    if ignored:
        truth[0, :3] = task.ignore_label
    return truth, RNG.normal(size=(2, 6, 5, task.logit_channels)).astype("float32")


def loss_of(task: Task, name: str, **settings: Any) -> Any:
    return construct(f"keras.losses.{name}", (task,), settings)


@pytest.mark.parametrize(
    ("task", "name"),
    [
        (MANY, "CategoricalCrossentropy"),
        (MANY, "SparseCategoricalCrossentropy"),
        (TWO, "CategoricalCrossentropy"),
        (TWO, "SparseCategoricalCrossentropy"),
        (TWO, "BinaryCrossentropy"),
    ],
)
def test_cross_entropies_are_ours(task: Task, name: str) -> None:
    truth, logits = batch(task)
    ours = float(CrossEntropyLoss(task)(truth, logits))
    assert float(loss_of(task, name)(truth, logits)) == pytest.approx(ours, rel=1e-5)


def test_a_loss_that_wants_probabilities_gets_them() -> None:
    truth, logits = batch(TWO)
    known = truth != TWO.ignore_label
    foreground = 1 / (1 + np.exp(-logits[..., 0]))
    # Both classes are off by as much: the mean over them is the square of one.
    expected = ((foreground - (truth == 1)) ** 2)[known].mean()
    assert float(loss_of(TWO, "MeanSquaredError")(truth, logits)) == pytest.approx(expected, rel=1e-5)


def test_losses_of_overlap_leave_out_what_is_ignored() -> None:
    truth, logits = batch(MANY)
    known = truth != MANY.ignore_label
    chances = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    once = np.eye(3)[np.where(known, truth, 0)]
    hit, total = (once * chances)[known].sum(), once[known].sum() + chances[known].sum()
    assert float(loss_of(MANY, "Dice")(truth, logits)) == pytest.approx(1 - 2 * hit / total, rel=1e-5)
    each = [1 - 2 * (once * chances)[known][:, k].sum() / (once + chances)[known][:, k].sum() for k in range(3)]
    assert float(loss_of(MANY, "Dice", axis=[0, 1, 2])(truth, logits)) == pytest.approx(np.mean(each), rel=1e-5)


USABLE = [name for name in dir(keras.losses) if name[0].isupper() and name not in ("Loss", "CTC", "Circle")]


@pytest.mark.parametrize("task", [TWO, MANY], ids=["two", "many"])
@pytest.mark.parametrize("name", USABLE)
def test_each_loss_gives_a_number_and_ignores_what_is_ignored(task: Task, name: str) -> None:
    if task is MANY and name.startswith("Binary"):
        with pytest.raises(ConfigError, match=name.replace("Binary", "Categorical")):
            loss_of(task, name)
        return
    truth, logits = batch(task)
    loss = loss_of(task, name)
    value = float(loss(truth, logits))
    logits[0, :3] += 5
    assert np.isfinite(value)
    assert float(loss(truth, logits)) == pytest.approx(value, rel=1e-5)
    assert float(loss(np.full_like(truth, task.ignore_label), logits)) == 0


REFUSED = [
    ("loss", "keras.losses.DiceLos", [], "Dice"),
    ("loss", "keras.losses.CTC", [], "compares sequences"),
    ("loss", "keras.losses.categorical_crossentropy", [], "CategoricalCrossentropy"),
    ("loss", "keras.losses.CategoricalFocalCrossentropy", ["gama"], "'gamma'"),
    ("loss", "keras.losses.CategoricalFocalCrossentropy", ["smooth"], "loss=keras_loss loss._target_"),
    ("loss", "keras.losses.CategoricalFocalCrossentropy", ["from_logits"], "the run gives logits"),
    ("loss", "keras.losses.CategoricalFocalCrossentropy", ["axis"], "last axis"),
    ("loss", "keras.optimizers.Adam", [], "has no loss"),
    ("optimizer", "keras.losses.Dice", [], "has no optimizer"),
    ("optimizer", "keras.optimizers.Adamaks", [], "Adamax"),
    ("optimizer", "keras.optimizers.MultiOptimizer", [], "with a learning_rate"),
    ("optimizer", "keras.optimizers.LossScaleOptimizer", [], "mixed_float16"),
    ("optimizer", "keras.optimizers.Adamax", ["beta1"], "'beta_1'"),
]


@pytest.mark.parametrize(("group", "target", "settings", "words"), REFUSED)
def test_what_cannot_work_is_refused(group: str, target: str, settings: list[str], words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        check_given(target, group, settings)
    assert words in str(caught.value), str(caught.value)


def test_arguments_are_those_of_keras() -> None:
    found = parameters_of("keras.losses.CategoricalFocalCrossentropy", "loss._target_")
    assert [*found] == ["alpha", "gamma", "label_smoothing"]
    assert "axis" in parameters_of("keras.losses.Tversky", "loss._target_")
    with pytest.raises(ConfigError, match=r"optimizer\.beta_1"):
        load_config(compose("train", ["optimizer=keras_optimizer", "+optimizer.beta_1=much"]))
    with pytest.raises(ConfigError, match="Adamax of Keras refuses its arguments"):
        construct("keras.optimizers.Adamax", (0.1,), {"clipnorm": 1.0, "clipvalue": 1.0})


def test_refusals_load_no_tensorflow() -> None:
    text = (
        "import sys\n"
        "from seglab.config.run_config import load_config\n"
        "from seglab.config.vocabulary import compose\n"
        "config = load_config(compose('train', ['loss=keras_loss', 'optimizer=keras_optimizer', 'model=unet']))\n"
        "assert config.run_name == 'UNet_CategoricalFocalCrossentropy_Adamax', config.run_name\n"
        "assert 'tensorflow' not in sys.modules and 'keras' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", text], check=True, timeout=120)


@pytest.mark.parametrize(
    "words",
    [
        ["loss=keras_loss", "+loss.gamma=3.0", "optimizer=keras_optimizer", "+optimizer.beta_1=0.8"],
        ["loss=keras_loss", "loss._target_=keras.losses.Dice", "optimizer=keras_optimizer",
         "optimizer._target_=keras.optimizers.Nadam"],
    ],
)  # fmt: skip
def test_an_epoch_learns(words: list[str]) -> None:
    small = ["data.count=10", "data.size=[16,16]", "data.batch_size=4", "model.depth=1", "model.width=4"]
    config = load_config(compose("train", [*words, *small, "augment=none", "model=unet"]))
    training_data = gather(config)
    parts = assemble(config, training_data, make_augmentation(config, training_data.task))
    parts.model.compile(optimizer=parts.optimizer, loss=parts.loss)
    before = parts.model.trainable_variables[0].numpy()
    batches = parts.batches["train"]
    values = [float(parts.model.train_on_batch(*batches[step])) for _ in range(6) for step in range(len(batches))]
    assert np.isfinite(values).all()
    assert np.mean(values[-2:]) < np.mean(values[:2])
    assert not np.array_equal(before, parts.model.trainable_variables[0].numpy())


def metric_of(task: Task, kind: str, **settings: Any) -> Any:
    return check_metrics([{"_target_": f"keras.metrics.{kind}", **settings}])[0].build(task)


def test_metrics_get_what_they_want_and_ignored_pixels_do_not_count() -> None:
    """Each against what scikit-learn or a count over the labelled pixels says."""
    truth, logits = batch(MANY)
    known = truth != MANY.ignore_label
    shares = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
    predicted = logits.argmax(axis=-1)
    right = (predicted == truth)[known].mean()
    ious = [
        np.sum((predicted == k) & (truth == k)) / np.sum(((predicted == k) | (truth == k)) & known) for k in range(3)
    ]
    for name, wanted in [
        ("SparseCategoricalAccuracy", right),
        ("CategoricalAccuracy", right),
        ("MeanIoU", np.mean(ious)),
        (
            "SparseCategoricalCrossentropy",
            -np.log(np.take_along_axis(shares, np.where(known, truth, 0)[..., None], -1))[known].mean(),
        ),
    ]:
        metric = metric_of(MANY, name)
        for one in range(2):  # in two batches
            metric.update_state(truth[one : one + 1], logits[one : one + 1])
        assert float(metric.result()) == pytest.approx(float(wanted), abs=1e-5), name
        metric.reset_state()
        metric.update_state(np.full_like(truth, MANY.ignore_label), logits)
        assert not float(metric.result()) > 1e-6


def test_metrics_of_two_classes_get_the_foreground() -> None:
    truth, logits = batch(TWO)
    known = truth != TWO.ignore_label
    found, there = (logits[..., 0] > 0)[known], truth[known] == 1
    for name, wanted in [
        ("Precision", (found & there).sum() / found.sum()),
        ("Recall", (found & there).sum() / there.sum()),
        ("BinaryAccuracy", (found == there).mean()),
        ("TruePositives", (found & there).sum()),
    ]:
        metric = metric_of(TWO, name)
        metric.update_state(truth, logits)
        assert float(metric.result()) == pytest.approx(float(wanted), abs=1e-5), name
    scores = metric_of(TWO, "F1Score", name="f1").result()
    assert sorted(scores) == ["f1/background", "f1/cell"]


def test_a_metric_has_arguments_and_a_name() -> None:
    truth, logits = batch(TWO)
    metric = metric_of(TWO, "FalsePositives", thresholds=0.9, name="sure")
    metric.update_state(truth, logits)
    sure = logits[..., 0] > np.log(9)
    assert metric.name == "sure"
    assert float(metric.result()) == np.sum(sure & (truth == 0))


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        (["keras.metrics.MeanIou"], "did you mean 'MeanIoU'"),
        (["keras.losses.Dice"], "not a metric of Keras"),
        ([7], "not a metric of Keras"),
        (["keras.metrics.Mean"], "takes no truth"),
        ([{"_target_": "keras.metrics.AUC", "num_threshold": 9}], "did you mean 'num_thresholds'"),
        ([{"_target_": "keras.metrics.MeanIoU", "num_classes": 9}], "the run knows its classes"),
        (["keras.metrics.AUC", "keras.metrics.AUC"], "name that is taken"),
        ([{"_target_": "keras.metrics.AUC", "name": "dice"}], "name that is taken"),
        (["keras.metrics.PrecisionAtRecall"], "must be given"),
    ],
)
def test_metrics_that_cannot_work_are_refused(entries: list[Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        check_metrics(entries)


def test_a_binary_metric_for_more_classes_is_refused() -> None:
    with pytest.raises(ConfigError, match="more classes than two"):
        metric_of(MANY, "BinaryAccuracy")


def test_a_config_without_metrics_is_what_it_was() -> None:
    plain, measured = (load_config(compose("train", words)) for words in ([], ["metrics=[keras.metrics.MeanIoU]"]))
    assert "metrics" not in plain.resolved
    assert measured.metrics[0].name == "mean_io_u"
    assert plain.digest == measured.digest
    assert load_config(compose("train", ["metrics=[]"])).resolved == plain.resolved
