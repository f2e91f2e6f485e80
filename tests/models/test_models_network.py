"""Training on several resolutions, against sums made by hand; freezing."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import ops

from seglab.data.preprocessing.geometry import resize_mask
from seglab.models.network import Network, shrunk_truth, supervision_weights
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

    truths = [y, *(np.stack([resize_mask(mask, (side, side), 255) for mask in y]) for side in (4, 2))]
    for (seen, _), truth in zip(loss.seen, truths, strict=True):
        np.testing.assert_array_equal(ops.convert_to_numpy(seen), truth)
        assert set(np.unique(seen)) <= {0, 1, 2, 255}
    parts = [
        np.mean((ops.convert_to_numpy(p)[..., 0] - truth) ** 2.0) for p, truth in zip(predictions, truths, strict=True)
    ]
    assert found == pytest.approx((4 * parts[0] + 2 * parts[1] + parts[2]) / 7, rel=1e-5)


def test_coarser_truth_by_hand():
    # Cells of 2×2, one below the other. 1 has three of four pixels; 0 and 2 have two each and 2 is rarer in the mask;
    # two are ignored, which is not most of the cell; three are; 1 and 2 have one each beside two ignored, 2 is rarer.
    cells = [[1, 1, 1, 0], [0, 0, 2, 2], [255, 255, 0, 0], [255, 255, 255, 1], [255, 255, 1, 2]]
    mask = np.array([[[*cell[:2]], [*cell[2:]]] for cell in cells]).reshape(1, 10, 2)
    found = shrunk_truth(mask, (10, 2), (5, 1), 3, 255)
    assert ops.convert_to_numpy(found).ravel().tolist() == [1, 2, 0, 255, 2]


@pytest.mark.parametrize(("shape", "coarse"), [((8, 12), (4, 3)), ((6, 6), (2, 6)), ((4, 8, 6), (2, 2, 3))])
@pytest.mark.parametrize("ignore", [255, 1])
def test_coarser_truth_is_what_masks_are_shrunk_to(shape, coarse, ignore):
    """The same rule within the graph and outside of it, ties and ignored pixels included."""
    y = np.random.default_rng(3).choice([0, 1, 2, ignore], (20, *shape)).astype("uint8")
    expected = np.stack([resize_mask(mask, coarse, ignore) for mask in y])
    found = ops.convert_to_numpy(shrunk_truth(y, shape, coarse, 3, ignore))
    np.testing.assert_array_equal(found, expected)
    assert (expected == ignore).any()
    flipped = ops.convert_to_numpy(shrunk_truth(y[:, ::-1], shape, coarse, 3, ignore))
    np.testing.assert_array_equal(flipped[:, ::-1], found)


def test_the_label_to_ignore_is_the_tasks():
    task = Task(rank=2, channels=1, class_names=("background", "a", "b"), ignore_label=9)
    model = unet(task, (8, 8), depth=1, width=2, deep_supervision=True)
    assert Network.from_config(model.get_config()).ignore_label == 9


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
