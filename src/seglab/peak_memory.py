"""The most memory that this process has held so far: its own, and the GPU's where it trains on one."""

from __future__ import annotations

import resource
import sys

_MB = 2**20


def peak_memory() -> dict[str, int]:
    """Tags of a run: `peak_memory_mb`, and `peak_gpu_memory_mb` with a GPU that TensorFlow sees. Loads TensorFlow."""
    import tensorflow as tf

    unit = 1 if sys.platform == "darwin" else 1024  # bytes of what the system counts in
    tags = {"peak_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit // _MB}
    if tf.config.list_physical_devices("GPU"):
        tags["peak_gpu_memory_mb"] = tf.config.experimental.get_memory_info("GPU:0")["peak"] // _MB
    return tags
