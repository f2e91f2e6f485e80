"""Batches in parts, shared by the devices of one CPU: learned from as whole ones by one device. Run by `make test-jax`.

    python tests/training/test_jax_parts.py <folder>

prints what was found as JSON.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from process_groups import ENVIRONMENT

from seglab.config.run_config import load_config
from seglab.config.vocabulary import compose
from seglab.errors import ConfigError
from seglab.experiment import several_processes
from seglab.experiment.several_processes import check_together
from seglab.runtime.process_group import ProcessGroup


def main(folder: Path) -> None:
    from test_batch_parts import batch, compiled, fit, losses, small_memory

    from seglab.training.batch_parts import chosen_part

    found: dict[str, Any] = {"whole": losses(compiled(), None)}
    found["parts"] = losses(compiled(), 4, devices=2)  # 2 images of each device at once; of the last 5 images, 4 and 1
    tried = small_memory(pytest.MonkeyPatch(), 5)
    found["chosen"], found["tried"] = chosen_part(compiled(), batch(0), 2), tried
    small_memory(pytest.MonkeyPatch(), 2)
    found["divided"] = fit(folder, 1, settings={"fit_memory": True, "devices": 2})
    print(json.dumps(found))


def test_two_devices_learn_from_parts_what_one_learns_from_the_whole(tmp_path: Path) -> None:
    pytest.importorskip("jax")
    flags = {"XLA_FLAGS": "--xla_force_host_platform_device_count=2"}
    words = [sys.executable, __file__, str(tmp_path)]
    environment = os.environ | ENVIRONMENT | flags
    done = subprocess.run(words, capture_output=True, text=True, timeout=600, check=False, env=environment)
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout.splitlines()[-1])
    np.testing.assert_allclose(found["parts"], found["whole"], rtol=1e-5)
    assert (found["chosen"], found["tried"]) == (4, [2, 4, 8]), "a part has images for both devices"
    assert found["divided"] == [2]


def test_parts_on_several_devices_of_tensorflow_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(several_processes, "check_backend", lambda backend: None)  # Keras may be loaded with JAX
    words = ["trainer.devices=2", "trainer.fit_memory=true"]
    with pytest.raises(ConfigError) as refused:
        check_together(load_config(compose("train", words)), ProcessGroup())
    assert (refused.value.code, refused.value.where) == ("devices-backend", "trainer.devices=2")
    check_together(load_config(compose("train", [*words, "backend=jax", "data.batch_size=8"])), ProcessGroup())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
