"""Training steps of seglab's and of stock Keras's U-Net, on the backend of KERAS_BACKEND: one line of JSON for each.

python keras_steps.py [--tiny]
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
import keras
import numpy as np
from keras import ops

from benchmarks.gpu.cases import CASES, FORMATS, TINY, StepCase
from benchmarks.speed.keras_worker import SHAPES, binary_cross_entropy, stock_unet
from seglab.models.summary import forward_flops
from seglab.models.unet import unet
from seglab.task import Task

SECONDS, LEAST = 1.0, 5
# A backward pass costs twice the forward pass.
PASSES = 3


def tell(**facts: Any) -> None:
    """One measurement."""
    print(json.dumps(facts), flush=True)


def seconds_each(work: Callable[[], object], seconds: float) -> float:
    """Of one call, over so many seconds of calls; `work` waits for the device."""
    began, times = time.perf_counter(), 0
    while times < LEAST or time.perf_counter() - began < seconds:
        work()
        times += 1
    return (time.perf_counter() - began) / times


def matmul_rate(number: str, side: int, seconds: float) -> float:
    """Operations a second of a square matrix product of a number format."""
    a = ops.cast(np.random.default_rng(0).normal(size=(side, side)), number)
    times = 10

    def products() -> None:
        product = a
        for _ in range(times):
            product = ops.matmul(a, product) * (1 / side)
        np.asarray(ops.cast(product[:1, :1], "float32"))

    products()
    return 2 * side**3 * times / seconds_each(products, seconds)


def steps_of(case: StepCase, who: str, ways: tuple[bool, ...]) -> Iterator[tuple[str, keras.Model]]:
    """The model, compiled without XLA and with it, as the ways say."""
    for xla in ways:
        keras.utils.set_random_seed(0)
        if who == "seglab":
            model = unet(Task(case.rank, 1, ("background", "object")), case.size, depth=3, width=case.width)
        else:
            SHAPES[case.rank] = (case.size, case.batch, case.width)
            model = stock_unet(case.rank)
        optimizer: Any = keras.optimizers.Adam()
        if keras.config.dtype_policy().name == "mixed_float16":
            optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
        model.compile(optimizer, loss=binary_cross_entropy, jit_compile=xla)
        yield "XLA" if xla else "no XLA", model


def main(*, tiny: bool) -> None:
    """Measure all, the quickest first."""
    seconds = 0.0 if tiny else SECONDS
    for policy in FORMATS:
        number = policy.removeprefix("mixed_")
        tell(kind="matmul", format=policy, rate=matmul_rate(number, 64 if tiny else 8192, seconds))
    # JAX always compiles with XLA; without it Keras would run op by op. A CPU takes minutes to compile so.
    jax = keras.backend.backend() == "jax"
    ways = (True,) if jax else (False,) if tiny else (False, True)
    for case in TINY if tiny else CASES:
        x = np.random.default_rng(0).random((case.batch, *case.size, 1), np.float32)
        y = (x > 0.5).astype(np.float32)
        for policy in FORMATS:
            keras.config.set_dtype_policy(policy)
            for who in ("seglab", "stock"):
                for how, model in steps_of(case, who, ways):
                    try:
                        for _ in range(3):
                            model.train_on_batch(x, y)
                        took = seconds_each(lambda model=model, x=x, y=y: model.train_on_batch(x, y), seconds)
                    except Exception as error:  # out of memory, or a kernel that this device has not got
                        reason = (str(error).splitlines() or [""])[0][:200]
                        tell(kind="step", who=who, case=case.name, format=policy, how=how, failed=reason)
                        continue
                    flops = PASSES * forward_flops(model) * case.batch
                    tell(kind="step", who=who, case=case.name, format=policy, how=how, seconds=took, flops=flops)


if __name__ == "__main__":
    main(tiny="--tiny" in sys.argv)
