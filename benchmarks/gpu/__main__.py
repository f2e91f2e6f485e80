"""Measures all of it within eight minutes, writes each result as soon as it is there: see `scripts/gpu_check.sh`."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from benchmarks.gpu.cases import FORMATS
from benchmarks.gpu.results import README, RESULTS, gpu_table, readme_with
from benchmarks.gpu.runs import loss_curve, run_to_goal, served_latency

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
MINUTES = 8.0
# Of the time: until when each part may go on.
STEPS, TORCH, CURVES, SERVED = 0.42, 0.64, 0.8, 0.85
_DEVICE = """
import os
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
if os.environ.get("KERAS_BACKEND") == "jax":
    import jax
    print("DEVICE", *(d.device_kind for d in jax.devices() if d.platform != "cpu"))
else:
    import tensorflow as tf
    gpus = tf.config.list_physical_devices("GPU")
    print("DEVICE", *(tf.config.experimental.get_device_details(g).get("device_name", "GPU") for g in gpus))
"""


class GpuCheck:
    """The measurements in their order, each until its part of the time is over.

    Args:
        out: file of the results.
        tiny: sizes that a CPU does in seconds; needs no GPU.
        minutes: for all of it.
    """

    def __init__(self, out: Path, *, tiny: bool, minutes: float):
        self.out, self.tiny = out, tiny
        self._began, self._seconds = time.monotonic(), minutes * 60
        self.backend = os.environ.get("KERAS_BACKEND", "tensorflow")
        self.found: dict[str, Any] = {"device": device(), "backend": self.backend}
        self.found |= {"date": f"{datetime.now():%Y-%m-%d}", "matmul": {}, "steps": [], "curves": {}, "left_out": []}

    def left(self, share: float) -> float:
        """Seconds until this share of the time is over."""
        return share * self._seconds - (time.monotonic() - self._began)

    def part(self, name: str, work: Callable[[], None]) -> None:
        """Do one part; what fails is named, and the others go on."""
        print(f"… {name}", flush=True)
        try:
            work()
        except Exception as error:
            print(f"  failed: {error}", flush=True)
            self.found["left_out"].append(name)
        self.out.write_text(json.dumps(self.found, indent=1) + "\n", encoding="utf-8")

    def steps(self, name: str, python: str, script: str, share: float) -> None:
        """Take what a script measures, line by line, until its time is over."""
        words = [python, "-u", str(HERE / script), *(["--tiny"] if self.tiny else [])]
        process = subprocess.Popen(words, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        watch = threading.Timer(max(self.left(share), 0.1), process.kill)
        watch.start()
        assert process.stdout is not None
        for line in process.stdout:
            if not line.startswith("{"):
                continue
            row = json.loads(line)
            if row["kind"] == "matmul":
                self.found["matmul"][row["format"]] = row["rate"]
                continue
            self.found["steps"].append(row)
            took = f"{row['seconds'] * 1000:.2f} ms" if "seconds" in row else f"failed: {row['failed']}"
            print(f"  {row['who']:<7} {row['case']:<32} {row['format']:<15} {row['how']:<24} {took}", flush=True)
        code = process.wait()
        watch.cancel()
        if code:
            assert process.stderr is not None
            errors = process.stderr.read().strip().splitlines()
            raise RuntimeError("its time was over" if code < 0 else (errors or [f"exit code {code}"])[-1])

    def run(self, hippocampus: str | None, torch_python: str | None) -> None:
        """All parts."""
        self.part("steps of seglab and Keras", lambda: self.steps("keras", sys.executable, "keras_steps.py", STEPS))
        if torch_python:
            self.part("steps of PyTorch", lambda: self.steps("torch", torch_python, "torch_steps.py", TORCH))
        else:
            self.found["left_out"].append("steps of PyTorch")
        with tempfile.TemporaryDirectory() as folder:
            self._runs(Path(folder), hippocampus)
        self.part("table", lambda: print(f"\n{gpu_table(self.found)}\n\nkept in {self.out}"))

    def _runs(self, folder: Path, hippocampus: str | None) -> None:
        served: list[str] = []

        def curves() -> None:
            for policy in FORMATS:
                run_id, losses = loss_curve(folder, environment(), policy, self.left(CURVES), tiny=self.tiny)
                self.found["curves"][policy] = losses
                served.append(run_id)

        def latency() -> None:
            self.found["served"] = served_latency(folder, served[0], times=10 if self.tiny else 200)

        def goal() -> None:
            self.found["hippocampus"] = run_to_goal(folder, environment(), str(hippocampus), self.left(1.0))

        self.part("loss curves of three formats", curves)
        self.part("served latency", latency)
        if hippocampus:
            self.part("hippocampus", goal)
        else:
            self.found["left_out"].append("hippocampus")


def environment() -> dict[str, str]:
    """Of every process: they find seglab and its neighbours, and leave room on the GPU for one another."""
    path = [str(ROOT), str(ROOT / "src"), *filter(None, [os.environ.get("PYTHONPATH")])]
    shared = {"TF_FORCE_GPU_ALLOW_GROWTH": "true", "XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
    return {**os.environ, **shared, "PYTHONPATH": os.pathsep.join(path)}


def device() -> str:
    """The GPU that the backend uses, empty when none; looked up in a process of its own, which lets go of it."""
    done = subprocess.run(
        [sys.executable, "-c", _DEVICE], env=environment(), capture_output=True, text=True, check=False
    )
    return next((line[6:].strip() for line in done.stdout.splitlines() if line.startswith("DEVICE")), "")


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="scripts/gpu_check.sh", description=__doc__)
    parser.add_argument("--hippocampus", help="folder of MSD Task04_Hippocampus; without it that run is left out")
    parser.add_argument("--torch-python", help="a Python that has PyTorch with CUDA; without it PyTorch is left out")
    parser.add_argument("--out", type=Path, default=RESULTS, help="file of the results, which the README's table reads")
    parser.add_argument("--tiny", action="store_true", help="sizes for a CPU, to see that it works; give --out too")
    options = parser.parse_args(arguments)
    check = GpuCheck(options.out, tiny=options.tiny, minutes=MINUTES)
    if not check.found["device"] and not options.tiny:
        backend = check.backend
        library = "jax[cuda12]" if backend == "jax" else "-r requirements-gpu.txt"
        print(f"error: no GPU that {backend} uses", file=sys.stderr)
        print("  found:    the CPU alone", file=sys.stderr)
        print("  expected: a GPU of NVIDIA's, with its driver (nvidia-smi) and CUDA libraries", file=sys.stderr)
        print(f"  remedy:   pip install {library}; KERAS_BACKEND chooses tensorflow or jax", file=sys.stderr)
        return 2
    check.found["device"] = check.found["device"] or "a CPU, tiny sizes"
    check.run(options.hippocampus, options.torch_python)
    if options.out == RESULTS:
        README.write_text(readme_with(gpu_table(check.found), README.read_text(encoding="utf-8")), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
