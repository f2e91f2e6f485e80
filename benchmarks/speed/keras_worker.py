"""Answers with the seconds of one training step (`stock`, `seglab`, `stock_pyramid`, `seglab_pyramid`) or of one epoch
(`bare`, `fit`, `tracked`).

python keras_worker.py <variant> <rank> <policy>; prints `=> ready`, then one number for each line on standard input.
A line `matmul` is answered with the GFLOP/s of a large bfloat16 matrix product.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import keras
import numpy as np
import tensorflow as tf
from keras import layers, ops

from seglab.runtime.reproducibility import keep_freed_memory, seed_everything
from seglab.task import Task

SHAPES = {2: ((128, 128), 8, 32), 3: ((64, 64, 64), 2, 16)}  # size, batch, width of the first level


def answer(value: object) -> None:
    """The one line that the other side waits for."""
    print(f"=> {value}", flush=True)


def stock_unet(rank: int) -> keras.Model:
    """The classic U-Net of Keras's own layers: three levels, two convolutions each, batch norm, nearest upsampling."""
    size, _, width = SHAPES[rank]
    convolution, norm = getattr(layers, f"Conv{rank}D"), layers.BatchNormalization
    pool, up = getattr(layers, f"MaxPooling{rank}D"), getattr(layers, f"UpSampling{rank}D")

    def block(x: Any, filters: int) -> Any:
        for _ in range(2):
            x = layers.Activation("relu")(norm()(convolution(filters, 3, padding="same", use_bias=False)(x)))
        return x

    x = inputs = layers.Input((*size, 1))
    skips = []
    for level in range(3):
        x = block(x, width * 2**level)
        skips.append(x)
        x = pool()(x)
    x = block(x, width * 8)
    for level in reversed(range(3)):
        x = block(layers.Concatenate()([up()(x), skips[level]]), width * 2**level)
    return keras.Model(inputs, convolution(1, 1, dtype="float32")(x))


def binary_cross_entropy(y_true: Any, y_pred: Any) -> Any:
    """The same loss for every variant and framework."""
    truth = ops.cast(y_true, "float32")
    return ops.mean(ops.binary_crossentropy(truth, ops.cast(y_pred, "float32"), from_logits=True))


def pyramid_worker(variant: str, rank: int) -> None:
    """One training step of the dilated convolutions of DeepLabv3+, on the features of eight images of 256x512."""
    from seglab.models.dilation import DilatedConv2D

    kind = DilatedConv2D if variant == "seglab_pyramid" else layers.Conv2D
    inputs = layers.Input((16, 32, 2048))
    branches = [kind(256, 3, padding="same", dilation_rate=rate)(inputs) for rate in (6, 12, 18)]
    model = keras.Model(inputs, layers.Concatenate(dtype="float32")(branches))
    model.compile("adam", loss="mean_squared_error", jit_compile=False)  # as every run is
    rng = np.random.default_rng(0)
    x, y = rng.random((8, 16, 32, 2048), np.float32), rng.random((8, 16, 32, 768), np.float32)
    answer("ready")
    for _ in sys.stdin:
        start = time.perf_counter()
        model.train_on_batch(x, y)
        answer(time.perf_counter() - start)


def step_worker(variant: str, rank: int) -> None:
    """One call of `train_on_batch`, metrics and all, as `fit` would make it."""
    size, batch, width = SHAPES[rank]
    if variant == "seglab":
        from seglab.models.unet import unet

        seed_everything(0, deterministic=True)  # as every run is by default
        model = unet(Task(rank, 1, ("background", "object")), size, depth=3, width=width)
    else:
        model = stock_unet(rank)
    model.compile("adam", loss=binary_cross_entropy)
    x = np.random.default_rng(0).random((batch, *size, 1), np.float32)
    y = (x > 0.5).astype(np.float32)
    answer("ready")
    for line in sys.stdin:
        if line.strip() == "matmul":
            answer(matmul_rate())
            continue
        start = time.perf_counter()
        model.train_on_batch(x, y)
        answer(time.perf_counter() - start)


def matmul_rate(side: int = 4096, times: int = 3) -> float:
    """GFLOP/s of a square bfloat16 matrix product."""
    a = tf.cast(tf.random.normal((side, side)), tf.bfloat16)
    product = tf.function(lambda: tf.reduce_sum(tf.matmul(a, a)[0]))
    product().numpy()
    start = time.perf_counter()
    for _ in range(times):
        product().numpy()
    return 2 * side**3 * times / (time.perf_counter() - start) / 1e9


def epoch_worker(variant: str, rank: int) -> None:
    """One epoch of steps: alone (`bare`), inside of training (`fit`), with a real store (`tracked`)."""
    import hydra

    from seglab.config.run_config import load_config
    from seglab.data.loading.batches import Batches
    from seglab.data.loading.training_data import gather
    from seglab.metrics.keras_scores import SegmentationScores

    conf = Path(__file__).parents[2] / "conf"
    with hydra.initialize_config_dir(str(conf), version_base="1.3"):
        overrides = ["model=unet", "loss=dice", "trainer.monitor=train_dice", "trainer.epochs=10000"]
        overrides += ["data.count=136", "data.split={train:1.0,val:0.0,test:0.0}", "trainer.patience_epochs=null"]
        config = load_config(hydra.compose("train", overrides=overrides))
    training_data = gather(config)
    seed_everything(config.seed, config.trainer.deterministic)
    model = config.model.build(training_data.task, tuple(config.data_config.size))
    augmentation = config.augment.build(training_data.task)
    batches = Batches(training_data, "train", config.data_config, seed=0, augmentation=augmentation)
    loss, scores = config.loss.build(training_data.task), SegmentationScores(training_data.task)
    optimizer = config.optimizer.build(config.schedule.build(0.001, 10000, len(batches)))
    if variant == "bare":
        model.compile(optimizer, loss, metrics=[scores], jit_compile=False)
        made = [tuple(map(tf.constant, batches[i])) for i in range(len(batches))]
        step = tf.function(model.train_step, autograph=False)
        answer("ready")
        for _ in sys.stdin:
            start = time.perf_counter()
            for batch in made:
                logs = step(batch)
            float(logs["loss"])
            answer(time.perf_counter() - start)
        return

    from seglab.training.fit import train

    def run(work_dir: Path, record: Callable[[dict[str, float], int], None]) -> None:
        # Training rests between answers, so that it does not run beside what is measured next. An epoch is told of when
        # its state is on the disk, in the middle of the next: of two epochs the time from one telling to the other is
        # taken, for the first begins with batches that the workers made ready while it rested.
        sys.stdin.readline()
        began: float | None = None

        def emit(values: dict[str, float], epoch: int) -> None:
            nonlocal began
            record(values, epoch)
            if began is None:
                began = time.perf_counter()
                return
            answer(time.perf_counter() - began)
            began = None
            if not sys.stdin.readline():
                raise SystemExit

        train(model, loss, optimizer, [scores], batches, None, config.trainer, work_dir, emit, stream=None)

    answer("ready")
    with tempfile.TemporaryDirectory() as folder:
        if variant == "fit":
            run(Path(folder), lambda values, epoch: None)
            return
        from seglab.tracking.tracker import Tracker

        with Tracker(config.tracking, Path(folder), run_name="bench", params={}, tags={}) as tracker:
            run(tracker.work_dir, tracker.emit)


if __name__ == "__main__":
    chosen, spatial, policy = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    if not chosen.startswith("stock"):
        keep_freed_memory()
    keras.utils.set_random_seed(0)
    keras.config.set_dtype_policy(policy)
    workers = dict.fromkeys(("stock", "seglab"), step_worker)
    workers |= dict.fromkeys(("stock_pyramid", "seglab_pyramid"), pyramid_worker)
    workers.get(chosen, epoch_worker)(chosen, spatial)
