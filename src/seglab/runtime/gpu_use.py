"""A GPU that a run was given and does not compute on: how it was given, and which library is missing."""

from __future__ import annotations

import ctypes
import importlib.metadata
import importlib.util
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, NamedTuple

from seglab.errors import ConfigError
from seglab.runtime.precision import Device

_Backend = Literal["tensorflow", "jax"]

# Of CUDA, with the values that hide every GPU; then of SLURM, which sets CUDA's too unless it cannot tell them apart.
_CUDA, _NO_GPU = "CUDA_VISIBLE_DEVICES", ("", "-1", "NoDevFiles", "none", "void")
_SLURM = ("SLURM_JOB_GPUS", "SLURM_STEP_GPUS", "SLURM_GPUS_ON_NODE")
_DRIVER = "libcuda.so.1"
_JAX_PLUGINS = ("jax_cuda12_plugin", "jax_cuda13_plugin")
_LOOKS = {
    "tensorflow": "import tensorflow as tf; print(tf.config.list_physical_devices('GPU'))",
    "jax": "import jax; print(jax.devices())",
}
# TensorFlow and JAX say which library they look for in lines that nobody sees at their usual level.
_TALKATIVE = {
    "TF_CPP_MIN_LOG_LEVEL": "0",
    "TF_CPP_VMODULE": "dso_loader=1",
    "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
}
_MISSING = re.compile(r"Could not load dynamic library '([^']+)'|(\S+\.so[.\d]*): cannot open|Unable to load (\w+)\.")
_FAILURE = re.compile(r"failed call to .*|CUDA backend failed.*|RuntimeError: .*")
_LOOK_SECONDS = 120.0


class Reason(NamedTuple):
    """Why a backend uses no GPU, and what to do."""

    found: str
    remedy: str


def gpu_given(variables: Mapping[str, str] = os.environ) -> str:
    """The variable that gives this process a GPU, such as `CUDA_VISIBLE_DEVICES=0`; empty where none does."""
    if (visible := variables.get(_CUDA)) is not None:
        return "" if visible.strip() in _NO_GPU else f"{_CUDA}={visible}"
    return next((f"{name}={variables[name]}" for name in _SLURM if variables.get(name, "0") not in ("", "0")), "")


def gpu_there(devices: Path = Path("/dev"), variables: Mapping[str, str] = os.environ) -> str:
    """The file of this machine's first NVIDIA GPU; empty where there is none, or it is hidden from this process."""
    return "" if _CUDA in variables else next((str(file) for file in sorted(devices.glob("nvidia[0-9]*"))), "")


def check_gpu_used(device: Device, backend: _Backend, variables: Mapping[str, str] = os.environ) -> None:
    """See that a run computes on a GPU where it was given one. Takes some seconds when it does not.

    Args:
        device: what the backend computes on.
        backend: that is loaded.
        variables: of the environment.

    Raises:
        ConfigError: it computes on the CPU; names the library that could not be loaded.
    """
    given = gpu_given(variables)
    if device.kind == "gpu" or not given:
        return
    reason = why_unused(backend)
    raise ConfigError(
        "a GPU was asked for and is not used",
        code="gpu-not-used",
        where=given,
        found=reason.found,
        expected="a GPU that the backend computes on",
        remedy=f"{reason.remedy}; to train on the CPU: {_CUDA}= (empty)",
    )


def why_unused(backend: _Backend) -> Reason:
    """Let a process of its own look for GPUs and tell what it misses."""
    title, version = {"tensorflow": "TensorFlow", "jax": "JAX"}[backend], importlib.metadata.version(backend)
    package = f"pip install '{'tensorflow[and-cuda]' if backend == 'tensorflow' else 'jax[cuda12]'}=={version}'"
    if backend == "jax" and not any(map(importlib.util.find_spec, _JAX_PLUGINS)):
        return Reason(f"JAX computes on the CPU: no module {_JAX_PLUGINS[0]}", package)
    output = search_output(backend)
    missing = list(dict.fromkeys("".join(names) for names in _MISSING.findall(output)))
    if not missing and backend == "jax" and not _loads(_DRIVER):
        missing = [_DRIVER]  # without a driver its plug-in is passed over in silence
    if _DRIVER in missing:
        remedy = "install NVIDIA's driver, or give the container its GPUs, such as: docker run --gpus all"
        return Reason(f"{title} computes on the CPU: {_DRIVER}, NVIDIA's driver, cannot be loaded", remedy)
    if missing:
        return Reason(f"{title} computes on the CPU: {', '.join(missing)} cannot be loaded", package)
    failures = _FAILURE.findall(output)
    why = failures[-1] if failures else "it finds no GPU, and every library that it looked for"
    return Reason(f"{title} computes on the CPU: {why}", "nvidia-smi shows the GPUs and the version of the driver")


def search_output(backend: _Backend) -> str:
    """What a process says, with the devices in its last line, that loads a backend and looks for GPUs."""
    done = subprocess.run(
        [sys.executable, "-c", _LOOKS[backend]],
        env={**os.environ, **_TALKATIVE},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=_LOOK_SECONDS,
        check=False,
    )
    return done.stdout


def _loads(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True
