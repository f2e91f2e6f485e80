"""Memory of this machine and process: what may still be taken, and the most that has been."""

from __future__ import annotations

import resource
import sys
from pathlib import Path

import psutil

from seglab.run_record import Tag

_GROUP = Path("/sys/fs/cgroup")
_MB = 2**20


def available_bytes(group: Path = _GROUP) -> int:
    """Bytes that are free, within the limit of a container where there is one (cgroup v2)."""
    free = int(psutil.virtual_memory().available)
    try:
        limit = (group / "memory.max").read_text().strip()
        used = int((group / "memory.current").read_text())
        cached = dict(line.split() for line in (group / "memory.stat").read_text().splitlines()).get("inactive_file", 0)
    except (OSError, ValueError):
        return free
    return free if limit == "max" else min(free, int(limit) - used + int(cached))


def peak_memory() -> dict[str, int]:
    """Tags of a run: `peak_memory_mb`, and `peak_gpu_memory_mb` with a GPU that TensorFlow sees. Loads TensorFlow."""
    import tensorflow as tf

    unit = 1 if sys.platform == "darwin" else 1024  # bytes of what the system counts in
    tags = {Tag.PEAK_MEMORY_MB: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit // _MB}
    if tf.config.list_physical_devices("GPU"):
        tags[Tag.PEAK_GPU_MEMORY_MB] = tf.config.experimental.get_memory_info("GPU:0")["peak"] // _MB
    return tags
