"""Processor, memory, disk, network and GPU while a run goes on, sampled by MLflow's own probes."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from mlflow.system_metrics.metrics.cpu_monitor import CPUMonitor
from mlflow.system_metrics.metrics.disk_monitor import DiskMonitor
from mlflow.system_metrics.metrics.gpu_monitor import GPUMonitor
from mlflow.system_metrics.metrics.network_monitor import NetworkMonitor

from seglab.errors import TrackingError
from seglab.run_record import Metric

INTERVAL_SECONDS = 10.0


class SystemMetrics(threading.Thread):
    """Gives a sample every ten seconds, named as MLflow's pages expect (`system/cpu_utilization_percentage`).

    MLflow's own monitor asks the store with every sample and gives up for good when it does not answer.

    Args:
        emit: takes the values and the number of the sample.
        first: number of the first sample.
        interval: seconds between samples.
    """

    def __init__(
        self, emit: Callable[[dict[str, float], int], None], first: int = 0, interval: float = INTERVAL_SECONDS
    ):
        super().__init__(name="system metrics", daemon=True)
        self._emit, self._sample, self._interval = emit, first, interval
        self._probes: list[Any] = [CPUMonitor(), DiskMonitor(), NetworkMonitor(), *_gpu_probe()]
        self._over = threading.Event()

    def run(self) -> None:
        for probe in self._probes:
            probe.collect_metrics()  # the first reading is only the start of the next one's interval
            probe.clear_metrics()
        while not self._over.wait(self._interval):
            values: dict[str, float] = {}
            for probe in self._probes:
                probe.collect_metrics()
                values |= {Metric.SYSTEM + name: float(value) for name, value in probe.aggregate_metrics().items()}
                probe.clear_metrics()
            with suppress(TrackingError):  # no room: whoever trains meets that, too, and says so
                self._emit(values, self._sample)
            self._sample += 1

    def finish(self) -> None:
        self._over.set()
        self.join()


def _gpu_probe() -> list[Any]:
    """MLflow's probe of NVIDIA GPUs, which raises differently for a missing package, driver or device."""
    try:
        return [GPUMonitor()]
    except (ImportError, RuntimeError):
        return []
