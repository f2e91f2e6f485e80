"""What makes a run repeatable: seeds, determinism, and a record of the code, packages and machine that ran it."""

from __future__ import annotations

import ctypes
import importlib.metadata
import os
import platform
import socket
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from seglab.gc_pause import collector_at_rest
from seglab.runtime.code_version import code_version
from seglab.safety.secrets import redacted

PACKAGES = (
    "tensorflow",
    "jax",
    "keras",
    "numpy",
    "mlflow",
    "hydra-core",
    "omegaconf",
    "albumentations",
    "nibabel",
    "opencv-python-headless",
    "scikit-image",
    "scikit-learn",
    "scipy",
    "pandas",
)
# Instruction sets that decide which kernels and which number formats are fast.
NOTABLE_CPU_FLAGS = (
    "amx_bf16",
    "amx_tile",
    "amx_int8",
    "avx512_bf16",
    "avx512_vnni",
    "avx512f",
    "avx2",
    "fma",
    "asimd",
    "bf16",
)
# Variables that change what is computed, or into how many parts a sum is split. The others are of one machine.
_COMPUTING_PREFIXES = ("TF_", "KERAS_", "OMP_", "OPENBLAS_", "MKL_", "XLA_", "JAX_", "PJRT_")
_SETTINGS_PREFIXES = (*_COMPUTING_PREFIXES, "CUDA_VISIBLE", "SLURM_JOB", "SLURM_ARRAY")
# From malloc.h.
_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4


def seed_everything(seed: int, deterministic: bool) -> None:
    """Seed Python, NumPy and the backend through Keras, and make TensorFlow choose repeatable kernels if asked.

    JAX gets its setting when it is loaded, see `seglab.experiment.backend`.

    Data order and augmentation do not depend on these global streams: they have their own, see
    `seglab.data.randomness`. Weights and the seeds of dropout layers do. Must be called before the model is built.
    """
    import keras

    keras.utils.set_random_seed(seed)
    if keras.backend.backend() != "tensorflow":
        return
    from tensorflow.python.framework import config  # the public name can switch on, and not off again

    if deterministic:
        config.enable_op_determinism()
    else:
        config.disable_op_determinism()


def keep_freed_memory() -> None:
    """Let glibc keep what is freed for the next allocation, instead of handing it back to the kernel.

    A training step allocates the same large tensors each time; by default each is mapped anew and its pages are zeroed
    by the kernel again. On other C libraries nothing happens.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        mallopt(_M_MMAP_MAX, 0)
        mallopt(_M_TRIM_THRESHOLD, -1)


def load_tensorflow() -> None:
    """Import TensorFlow without what it says at every start: before its log is set up, it heeds no log level.

    What it wrote is shown when the import fails.
    """
    keep_freed_memory()
    if "tensorflow" in sys.modules:
        return
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as output, collector_at_rest():
        os.dup2(output.fileno(), 2)
        try:
            import tensorflow as tf

            tf.config.list_physical_devices()  # looks for GPUs, and says so
        except BaseException:
            output.seek(0)
            os.write(kept, output.read())
            raise
        finally:
            os.dup2(kept, 2)
            os.close(kept)


@dataclass(frozen=True)
class Machine:
    """The machine as the operating system tells it; needs neither TensorFlow nor MLflow."""

    host: str
    system: str
    processor: str
    cores: int
    usable_cores: int
    memory_gb: float
    cpu_flags: tuple[str, ...]


@lru_cache(maxsize=1)
def cpu_flags() -> frozenset[str]:
    """Instruction sets of the first core in Linux' spelling; empty where `/proc/cpuinfo` does not exist."""
    return frozenset(_cpuinfo("flags", "Features").split())


def machine() -> Machine:
    """Describe this machine."""
    import psutil

    return Machine(
        host=socket.gethostname(),
        system=f"{platform.system()} {platform.release()} {platform.machine()}",
        processor=_cpuinfo("model name") or platform.processor() or platform.machine(),
        cores=os.cpu_count() or 1,
        usable_cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        memory_gb=round(psutil.virtual_memory().total / 2**30, 1),
        cpu_flags=tuple(flag for flag in NOTABLE_CPU_FLAGS if flag in cpu_flags()),
    )


def _cpuinfo(*names: str) -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return ""
    for line in lines:
        key, _, value = line.partition(":")
        if key.strip() in names:
            return value.strip()
    return ""


def package_versions() -> dict[str, str]:
    """Installed versions of the packages that can change a result."""
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = "absent"
    return versions


def devices() -> list[str]:
    """Names of the devices that the backend computes on, GPUs first. Loads it."""
    import keras

    if keras.backend.backend() == "jax":
        import jax

        names = [device.device_kind for device in jax.devices() if device.platform != "cpu"]
        return [*names, _cpuinfo("model name") or platform.machine()]
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    names = [tf.config.experimental.get_device_details(gpu).get("device_name", gpu.name) for gpu in gpus]
    return [*names, _cpuinfo("model name") or platform.machine()]


def threads_environment(threads: int | None) -> dict[str, str]:
    """Variables that keep a process to so many threads; none for None."""
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "PJRT_NPROC")
    return {} if threads is None else {**dict.fromkeys(names, str(threads)), "TF_NUM_INTEROP_THREADS": str(threads)}


def variables_of(record: Mapping[str, Any]) -> dict[str, str]:
    """All variables for a process that is to compute as the one did whose `environment` is given.

    Its settings stand in the place of this process's. Sums are split by the number of threads, so a process that had a
    thread for each of its cores gets as many where the cores are not.
    """
    kept = {key: value for key, value in os.environ.items() if not key.startswith(_COMPUTING_PREFIXES)}
    former = {key: value for key, value in record["settings"].items() if key.startswith(_COMPUTING_PREFIXES)}
    cores = record["machine"]["usable_cores"]
    return kept | threads_environment(None if cores == machine().usable_cores else cores) | former


def environment(root: Path) -> dict[str, Any]:
    """The full record of where and with what a run happened, ready for JSON. Loads the backend.

    Keys: `python`, `command`, `code` (commit and dirty flag; the diff is in `code_version`), `packages`, `machine`,
    `devices`, `threads` (0 where the backend chooses) and `settings` (environment variables that change what is
    computed).
    """
    code = code_version(root)
    return {
        "python": platform.python_version(),
        "command": [Path(sys.argv[0]).name, *(redacted(word) for word in sys.argv[1:])],
        "code": {"commit": code.commit, "dirty": code.dirty},
        "packages": package_versions(),
        "machine": asdict(machine()),
        "devices": devices(),
        "threads": _threads(),
        "settings": {key: os.environ[key] for key in sorted(os.environ) if key.startswith(_SETTINGS_PREFIXES)},
    }


def _threads() -> dict[str, int]:
    import keras

    if keras.backend.backend() == "jax":
        return {"within_operation": int(os.environ.get("PJRT_NPROC", 0)), "between_operations": 0}
    import tensorflow as tf

    return {
        "within_operation": tf.config.threading.get_intra_op_parallelism_threads(),
        "between_operations": tf.config.threading.get_inter_op_parallelism_threads(),
    }
