"""Training on several resolutions, against sums made by hand; freezing."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import ops

from seglab.models.network import Network, supervision_weights
from seglab.models.unet import unet
from seglab.task import Task

TASK = Task(rank=2, channels=1, class_names=("background", "a", "b"))


@pytest.fixture(autouse=True)
def _seeded():
    keras.utils.set_random_seed(1)


@keras.saving.register_keras_serializable(package="test")
class Recorder(keras.losses.Loss):
    """Mean of the squared first logit less the truth; remembers what it was given."""

    def __init__(self):
        super().__init__(name="recorder")
        self.seen: list[tuple] = []

    def call(self, y_true, y_pred):
        self.seen.append((y_true, y_pred))
        return ops.square(y_pred[..., 0] - ops.cast(y_true, "float32"))


class Labels(keras.metrics.Metric):
    """Counts the labels that it was shown."""

    def __init__(self):
        super().__init__(name="labels")
        self.count = self.add_weight(shape=(), initializer="zeros")

    def update_state(self, y_true, y_pred, sample_weight=None):
        assert y_pred.shape[1:] == (8, 8, 3)
        self.count.assign_add(ops.cast(ops.size(y_true), "float32"))

    def result(self):
        return ops.convert_to_tensor(self.count)


def supervised(**options) -> Network:
    return unet(TASK, (8, 8), depth=3, width=2, deep_supervision=True, **options)


def batch(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(2, 8, 8, 1)).astype("float32"), rng.integers(0, 3, (2, 8, 8)).astype("int32")


def test_weights_halve_and_sum_to_one():
    assert supervision_weights(1) == [1.0]
    np.testing.assert_allclose(supervision_weights(3), [4 / 7, 2 / 7, 1 / 7])


def test_loss_is_the_weighted_mean_over_the_outputs():
    model = supervised()
    loss = Recorder()
    model.compile(loss=loss, run_eagerly=True)
    x, y = batch()
    y[0, :4] = 255
    predictions = model(x, training=False)
    assert [p.shape[1] for p in predictions] == [8, 4, 2]
    found = float(model.compute_loss(x, y, predictions))

    # The cell i of a grid coarser by 2 covers rows 2i and 2i + 1, its centre is the edge between them: the later one is
    # taken. By 4: rows 4i .. 4i + 3, the row 4i + 2.
    truths = [y, y[:, 1::2, 1::2], y[:, 2::4, 2::4]]
    for (seen, _), truth in zip(loss.seen, truths, strict=True):
        np.testing.assert_array_equal(ops.convert_to_numpy(seen), truth)
        assert set(np.unique(seen)) <= {0, 1, 2, 255}
    parts = [
        np.mean((ops.convert_to_numpy(p)[..., 0] - truth) ** 2.0) for p, truth in zip(predictions, truths, strict=True)
    ]
    assert found == pytest.approx((4 * parts[0] + 2 * parts[1] + parts[2]) / 7, rel=1e-5)


def test_truth_is_sampled_as_nearest_neighbour_resizing_does():
    model = supervised()
    loss = Recorder()
    model.compile(loss=loss, run_eagerly=True)
    x, y = batch()
    model.compute_loss(x, y, model(x))
    for seen, _ in loss.seen:
        side = seen.shape[1]
        resized = ops.image.resize(y[..., None].astype("float32"), (side, side), interpolation="nearest")
        np.testing.assert_array_equal(ops.convert_to_numpy(seen), ops.convert_to_numpy(resized)[..., 0])


def test_weight_decay_counts_once():
    model = supervised()
    model.get_layer("bottleneck_1_conv").kernel_regularizer = keras.regularizers.L2(0.1)
    model.get_layer("bottleneck_1_conv").kernel.regularizer = keras.regularizers.L2(0.1)
    x, y = batch()
    model.compile(loss=Recorder(), run_eagerly=True)
    predictions = model(x)
    total = float(model.compute_loss(x, y, predictions))
    penalty = 0.1 * float(np.sum(ops.convert_to_numpy(model.get_layer("bottleneck_1_conv").kernel) ** 2))
    model.get_layer("bottleneck_1_conv").kernel.regularizer = None
    assert total - float(model.compute_loss(x, y, predictions)) == pytest.approx(penalty, rel=1e-3)


def test_fit_and_evaluate_with_a_list_of_outputs():
    model = supervised()
    model.compile(keras.optimizers.SGD(0.1), loss=Recorder(), metrics=[Labels()])
    x, y = batch()
    history = model.fit(x, y, batch_size=2, epochs=8, validation_data=(x, y), verbose=0).history
    assert set(history) == {"loss", "labels", "val_loss", "val_labels"}
    assert history["labels"] == [128] * 8
    assert np.isfinite(history["val_loss"]).all()
    assert history["loss"][-1] < 0.9 * history["loss"][0]


def test_one_output_trains_as_any_keras_model():
    x, y = batch()
    model = unet(TASK, (8, 8), depth=1, width=2)
    model.compile(loss=Recorder(), metrics=[Labels()], run_eagerly=True)
    prediction = ops.convert_to_numpy(model(x))
    assert float(model.compute_loss(x, y, model(x))) == pytest.approx(
        np.mean((prediction[..., 0] - y) ** 2.0), rel=1e-5
    )


def frozen_in_part() -> Network:
    model = unet(TASK, (8, 8), depth=1, width=2)
    names = tuple(layer.name for layer in model.layers if layer.name.startswith("encoder"))
    return Network(model.inputs[0], model.outputs[0], name="part", freeze_epochs=3, encoder_layers=names)


@pytest.mark.skipif(keras.backend.backend() == "jax", reason="Keras's JAX trainer wants one optimizer per frozen set")
def test_freezing_holds_weights_and_batch_statistics():
    model = frozen_in_part()
    x, y = batch()
    optimizer = keras.optimizers.Adam(0.1)
    optimizer.build(model.trainable_variables)

    def step(frozen: bool) -> set[str]:
        model.freeze_encoder(frozen)
        model.compile(optimizer, loss=Recorder(), run_eagerly=True)
        before = {w.path: ops.convert_to_numpy(w) for w in model.weights}
        model.train_on_batch(x, y)
        return {w.path for w in model.weights if (ops.convert_to_numpy(w) != before[w.path]).any()}

    changed = step(frozen=True)
    assert changed
    assert not any(path.startswith("encoder") for path in changed)
    assert step(frozen=False) == {w.path for w in model.weights}


def test_what_to_freeze_survives_saving(tmp_path):
    model = frozen_in_part()
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded.freeze_epochs == 3
    assert loaded.encoder_layers == model.encoder_layers
    loaded.freeze_encoder(True)
    assert not any(w.path.startswith("encoder") for w in loaded.trainable_variables)


def test_moving_statistics_follow_within_tens_of_steps():
    """Without weights that move, inference equals training after 60 steps: 0.9^60 = 0.002 of the start is left."""
    model = unet(TASK, (8, 8), depth=1, width=2)
    x, _ = batch()
    for _ in range(60):
        model(x, training=True)
    training, inference = (ops.convert_to_numpy(model(x, training=flag)) for flag in (True, False))
    np.testing.assert_allclose(inference, training, atol=0.05 * training.std())
