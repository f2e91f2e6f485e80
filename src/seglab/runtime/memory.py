"""Memory of this machine and process: what may still be taken, and the most that has been."""

from __future__ import annotations

import ctypes
import resource
import sys
from pathlib import Path

import psutil

from seglab.run_record import Tag

_GROUP = Path("/sys/fs/cgroup")
_MB = 2**20
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8  # of malloc.h


def available_bytes(group: Path = _GROUP) -> int:
    """Bytes that are free, within the limits of this process and of a container where there are any (cgroup v2)."""
    free = int(psutil.virtual_memory().available)
    limit_of_process, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit_of_process != resource.RLIM_INFINITY:
        free = min(free, max(limit_of_process - psutil.Process().memory_info().vms, 0))
    try:
        limit = (group / "memory.max").read_text().strip()
        used = int((group / "memory.current").read_text())
        cached = dict(line.split() for line in (group / "memory.stat").read_text().splitlines()).get("inactive_file", 0)
    except (OSError, ValueError):
        return free
    return free if limit == "max" else min(free, int(limit) - used + int(cached))


def give_back_freed_memory() -> None:
    """Let glibc hand back to the kernel what is freed, soon: for a process whose many short threads each allocate
    images. By default each thread may get a heap of its own, which keeps what its largest images took. Called before
    there are threads; on other C libraries nothing happens."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        mallopt(_M_ARENA_MAX, 2)
        mallopt(_M_MMAP_THRESHOLD, _MB)  # larger ones are mapped apart, and unmapped when they are freed
        mallopt(_M_TRIM_THRESHOLD, 8 * _MB)


def peak_bytes() -> int:
    """The most that this process has held. On Linux not by `getrusage`, which begins with what the process held that
    started this one."""
    if sys.platform == "linux":
        status = Path("/proc/self/status").read_text(encoding="utf-8")
        return int(status.split("VmHWM:")[1].split()[0]) * 1024
    unit = 1 if sys.platform == "darwin" else 1024  # bytes of what the system counts in
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def peak_memory() -> dict[str, int]:
    """Tags of a run: `peak_memory_mb`, and `peak_gpu_memory_mb` with a GPU that the backend sees. Loads that."""
    import keras

    tags = {Tag.PEAK_MEMORY_MB: peak_bytes() // _MB}
    if keras.backend.backend() == "jax":
        import jax

        if (statistics := jax.devices()[0].memory_stats()) is not None:  # a CPU keeps no account
            tags[Tag.PEAK_GPU_MEMORY_MB] = statistics["peak_bytes_in_use"] // _MB
        return tags
    import tensorflow as tf

    if tf.config.list_physical_devices("GPU"):
        tags[Tag.PEAK_GPU_MEMORY_MB] = tf.config.experimental.get_memory_info("GPU:0")["peak"] // _MB
    return tags
