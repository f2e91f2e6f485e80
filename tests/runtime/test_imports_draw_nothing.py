"""Importing a module draws no random number: else first weights depend on what a process has loaded before."""

from __future__ import annotations

import subprocess
import sys

# Of Python and of NumPy; Keras takes its seeds from the former.
SCRIPT = """
import importlib, pkgutil, random
import keras, numpy as np
import seglab.data, seglab.losses, seglab.metrics, seglab.models, seglab.training
keras.utils.set_random_seed(7)
before = random.getstate(), np.random.get_state()[1].tobytes(), np.random.get_state()[2]
count = 0
for room in (seglab.data, seglab.losses, seglab.metrics, seglab.models, seglab.training):
    for found in pkgutil.walk_packages(room.__path__, f"{room.__name__}."):
        if not found.name.endswith(("jax_steps", "shared_start")):  # need JAX
            importlib.import_module(found.name)
            count += 1
    assert (random.getstate(), np.random.get_state()[1].tobytes(), np.random.get_state()[2]) == before, room.__name__
print(count)
"""


def test_importing_draws_no_random_number() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert int(done.stdout.split()[-1]) > 100
