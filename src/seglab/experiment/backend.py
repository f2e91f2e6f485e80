"""The library that Keras computes with: chosen by the config, before Keras is loaded, once for the whole process."""

from __future__ import annotations

import os
import sys

from seglab.config.run_config import Backend
from seglab.errors import ConfigError
from seglab.extras import check_extras
from seglab.runtime.reproducibility import keep_freed_memory, load_tensorflow

TITLES: dict[Backend, str] = {"tensorflow": "TensorFlow", "jax": "JAX"}

_VARIABLE = "KERAS_BACKEND"
_REPEATABLE_ON_GPU = "--xla_gpu_deterministic_ops=true"


def check_backend(backend: Backend) -> None:
    """See that a run can compute with it, without importing anything.

    Raises:
        ConfigError: its package is not installed, or Keras is loaded in this process with another.
    """
    if backend == "jax":
        check_extras(("jax",), "backend=jax")
    if "keras" in sys.modules and (loaded := sys.modules["keras"].backend.backend()) != backend:
        raise ConfigError(
            "another backend than the one that this process has loaded",
            code="backend-loaded",
            where=f"backend={backend}",
            found=f"Keras on {loaded}",
            expected="one backend for a whole process",
            remedy="start a new process, such as: seglab train backend=" + backend,
        )


def load_backend(backend: Backend, deterministic: bool) -> None:
    """Make Keras compute with a backend, and load that.

    Args:
        backend: as `check_backend` has found it good.
        deterministic: whether a GPU is to choose repeatable kernels; JAX must know before it looks for one.
    """
    os.environ[_VARIABLE] = backend
    if backend == "tensorflow":
        load_tensorflow()
        return
    keep_freed_memory()
    flags = os.environ.get("XLA_FLAGS", "")
    if deterministic and _REPEATABLE_ON_GPU not in flags:
        os.environ["XLA_FLAGS"] = f"{flags} {_REPEATABLE_ON_GPU}".strip()
    import jax
    from keras.src.utils.module_utils import tensorflow

    jax.devices()
    # Keras would load it to seed it, and to see that what is saved is none of it: seconds, and memory of a GPU.
    tensorflow._available = False
