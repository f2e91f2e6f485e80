"""The most memory that a process has held is its own, whatever process started it."""

from __future__ import annotations

import subprocess
import sys

import numpy as np

from seglab.runtime.memory import peak_bytes


def test_the_peak_is_of_the_process_and_not_of_the_one_that_started_it() -> None:
    held = np.ones(300 << 20, np.uint8)
    assert peak_bytes() > held.nbytes
    code = "from seglab.runtime.memory import peak_bytes; print(peak_bytes())"
    small = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert 5 << 20 < int(small.stdout) < 200 << 20
