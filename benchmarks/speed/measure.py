"""What is measured: each function asks its workers in one run and gives ratios with their targets."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.speed.workers import ROOT, BenchWorker, Ratio, interleaved, ratio
from seglab.runtime.precision import Device, choose_policy
from seglab.runtime.reproducibility import cpu_flags

# GFLOP of a forward and backward pass of one sample (two for each multiply-add, three passes over every convolution).
GFLOP = {2: 15.9, 3: 102.0}
BATCH = {2: 8, 3: 2}
UNIT = {2: "images/s", 3: "volumes/s"}
# Targets: against stock Keras float32, against the best PyTorch variant.
TARGETS = {2: (3.2, 1.25), 3: (2.7, 1.5)}
MATMUL_SHARE = 0.5
TORCH_VARIANTS = [(n, layout) for n in ("float32", "bfloat16") for layout in ("contiguous", "channels_last")]


def auto_policy() -> str:
    """What `precision=auto` chooses on this CPU."""
    return choose_policy("auto", Device("cpu", "CPU", cpu_flags=cpu_flags())).policy


def step(rank: int, rounds: int, torch_python: str | None) -> list[Ratio]:
    """A training step of the classic U-Net: seglab against stock Keras, PyTorch and the matrix product."""
    policy = auto_policy()
    workers = {
        "seglab": BenchWorker(sys.executable, "keras_worker.py", "seglab", str(rank), policy),
        "stock": BenchWorker(sys.executable, "keras_worker.py", "stock", str(rank), "float32"),
        f"stock {policy}": BenchWorker(sys.executable, "keras_worker.py", "stock", str(rank), policy),
    }
    for number, layout in TORCH_VARIANTS if torch_python else []:
        workers[f"torch {number} {layout}"] = BenchWorker(
            str(torch_python), "torch_worker.py", str(rank), number, layout
        )
    try:
        seconds = interleaved(workers, rounds)
        matmul = [workers["seglab"].ask("matmul") for _ in range(3)]
    finally:
        for worker in workers.values():
            worker.close()
    for name, values in seconds.items():
        print(f"  {name:<32} {_rate(values, rank):7.2f} {UNIT[rank]}")
    found = [
        ratio(
            f"{rank}D step, seglab {policy} : stock Keras float32",
            seconds["stock"],
            seconds["seglab"],
            TARGETS[rank][0],
            f"{_rate(seconds['seglab'], rank):.2f} : {_rate(seconds['stock'], rank):.2f} {UNIT[rank]}",
        )
    ]
    peers = {name: values for name, values in seconds.items() if name.startswith("torch")}
    if peers:
        best = min(peers, key=lambda name: statistics.median(peers[name]))
        found.append(
            ratio(
                f"{rank}D step, seglab {policy} : {best}",
                peers[best],
                seconds["seglab"],
                TARGETS[rank][1],
                f"{_rate(seconds['seglab'], rank):.2f} : {_rate(peers[best], rank):.2f} {UNIT[rank]}",
            )
        )
    rates = [GFLOP[rank] * BATCH[rank] / s for s in seconds["seglab"]]
    product = statistics.median(matmul)
    found.append(
        ratio(
            f"{rank}D step, share of the bfloat16 matrix product",
            rates,
            [product] * len(rates),
            MATMUL_SHARE,
            f"{statistics.median(rates):.0f} : {product:.0f} GFLOP/s",
        )
    )
    return found


def _rate(seconds: Sequence[float], rank: int) -> float:
    return BATCH[rank] / statistics.median(seconds)


def fit(rounds: int) -> list[Ratio]:
    """An epoch of training, and of tracked training, against the bare steps of the same model on ready batches."""
    names = ("bare", "fit", "tracked")
    workers = {name: BenchWorker(sys.executable, "keras_worker.py", name, "2", auto_policy()) for name in names}
    try:
        seconds = interleaved(workers, rounds, warm_up=2)
    finally:
        for worker in workers.values():
            worker.close()
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    return [
        ratio(
            "epoch of synthetic2d, fit with data, state and tracking : bare steps",
            seconds["tracked"],
            seconds["bare"],
            1.06,
            f"{medians['tracked']:.2f} : {medians['bare']:.2f} s",
            at_most=True,
        ),
        ratio(
            "epoch of synthetic2d, tracked : not tracked",
            seconds["tracked"],
            seconds["fit"],
            1.01,
            f"{medians['tracked']:.2f} : {medians['fit']:.2f} s",
            at_most=True,
        ),
    ]


def start(rounds: int) -> list[Ratio]:
    """How long until the config is shown, and until the first step is done."""
    train = str(ROOT / "train.py")
    one_step = ["data.count=8", "data.split={train:1.0,val:0.0,test:0.0}", "trainer.monitor=train_dice"]
    first = [sys.executable, train, *one_step, "trainer.epochs=1", "schedule=constant", "tracking.system_metrics=false"]
    bare = (
        "import os; os.environ['TF_CPP_MIN_LOG_LEVEL']='3'\n"
        "import sys; sys.path.insert(0, sys.argv[1]); sys.argv = ['x', 'seglab', '2', sys.argv[2]]\n"
        "import io; sys.stdin = io.StringIO('go\\n'); import runpy; runpy.run_path(sys.path[0], run_name='__main__')\n"
    )
    worker = str(Path(__file__).parent / "keras_worker.py")
    with tempfile.TemporaryDirectory() as folder:
        commands: dict[str, Callable[[], float]] = {
            "hydra": lambda: _seconds([sys.executable, "-c", "import hydra"], folder),
            "config": lambda: _seconds([sys.executable, train, "--cfg", "job"], folder),
            "bare": lambda: _seconds([sys.executable, "-c", bare, worker, auto_policy()], folder),
            "first": lambda: _seconds(first, folder, until="epoch 1/1"),
        }
        seconds: dict[str, list[float]] = {name: [] for name in commands}
        for number in range(rounds + 1):
            for name, run in commands.items():
                taken = run()
                if number:
                    seconds[name].append(taken)
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    return [
        ratio(
            "python train.py --cfg job : import hydra",
            seconds["config"],
            seconds["hydra"],
            4.0,
            f"{medians['config']:.2f} : {medians['hydra']:.2f} s",
            at_most=True,
        ),
        ratio(
            "command to first step : import TensorFlow, build, trace, step",
            seconds["first"],
            seconds["bare"],
            1.3,
            f"{medians['first']:.2f} : {medians['bare']:.2f} s",
            at_most=True,
        ),
    ]


def pyramid(rounds: int) -> list[Ratio]:
    """A training step of the dilated convolutions of DeepLabv3+: seglab's against Keras's own, in one number format."""
    policy = auto_policy()
    workers = {
        name: BenchWorker(sys.executable, "keras_worker.py", f"{name}_pyramid", "2", policy)
        for name in ("seglab", "stock")
    }
    try:
        seconds = interleaved(workers, rounds)
    finally:
        for worker in workers.values():
            worker.close()
    ours, stock = (statistics.median(seconds[name]) for name in ("seglab", "stock"))
    detail = f"{ours:.2f} : {stock:.2f} s a step"
    return [ratio("dilated convolutions : Keras's own", seconds["stock"], seconds["seglab"], 1.0, detail)]


def memory(rounds: int) -> list[Ratio]:
    """Peak memory of a whole run against a bare Keras loop over the same number of images."""
    with tempfile.TemporaryDirectory() as folder:
        run = [sys.executable, str(ROOT / "train.py"), "loss=dice", "trainer.epochs=2"]
        bare = [sys.executable, "-c", _BARE_LOOP, auto_policy()]
        pairs = [(_peak_mb(run, folder), _peak_mb(bare, folder)) for _ in range(rounds)]
    above, below = [a for a, _ in pairs], [b for _, b in pairs]
    detail = f"{statistics.median(above):.0f} : {statistics.median(below):.0f} MB"
    return [ratio("peak memory, a run : a bare Keras loop", above, below, 1.15, detail, at_most=True)]


_BARE_LOOP = """
import os, sys
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import keras, numpy as np
from seglab.models.unet import unet
from seglab.losses.region import DiceLoss
from seglab.task import Task
keras.config.set_dtype_policy(sys.argv[1])
task = Task(2, 1, ("background", "object"))
model = unet(task, (128, 128))
model.compile("adam", DiceLoss(task), jit_compile=False)
x = np.random.default_rng(0).random((200, 128, 128, 1), np.float32)
y = (x[..., 0] > 0.5).astype("int32")
model.fit(x[:140], y[:140], batch_size=8, epochs=2, validation_data=(x[140:170], y[140:170]), verbose=0)
model.predict(x[170:], batch_size=1, verbose=0)
"""


def _seconds(command: Sequence[str], folder: str, until: str | None = None) -> float:
    """Wall time of a command, or until it prints a line that holds `until`."""
    began = time.perf_counter()
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert process.stdout is not None
    for line in process.stdout:
        if until is not None and until in line:
            taken = time.perf_counter() - began
            process.kill()
            process.wait()
            return taken
    if process.wait() or until is not None:
        raise RuntimeError(f"{' '.join(command)} left with code {process.returncode} before it said {until!r}")
    return time.perf_counter() - began


def _peak_mb(command: Sequence[str], folder: str) -> float:
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{' '.join(command[:4])} left with code {process.returncode}")
    return usage.ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


PARTS: dict[str, Callable[[int, str | None], list[Ratio]]] = {
    "step2d": lambda rounds, torch: step(2, rounds, torch),
    "step3d": lambda rounds, torch: step(3, rounds, torch),
    "pyramid": lambda rounds, torch: pyramid(rounds),
    "fit": lambda rounds, torch: fit(rounds),
    "start": lambda rounds, torch: start(max(rounds // 3, 3)),
    "memory": lambda rounds, torch: memory(max(rounds // 3, 1)),
}
