"""Several processes over loopback learn what one learns. Run by `make test-jax`.

With SEGLAB_PROCESSES=2 SEGLAB_PROCESS=0 SEGLAB_COORDINATOR=127.0.0.1:9911

    python tests/training/test_jax_processes.py

is one of them; it prints the losses of each step and what was counted as JSON.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_jax_devices import STEPS, batch, steps

from seglab.config.run_config import load_config
from seglab.config.vocabulary import compose
from seglab.errors import ConfigError
from seglab.experiment.several_processes import check_together
from seglab.runtime.process_group import ProcessGroup, own_group
from seglab.runtime.several_devices import check_devices

TESTS = Path(__file__).parents[1]
PLACES = os.pathsep.join(map(str, (TESTS.parent / "src", TESTS / "helpers", TESTS / "training")))
ENVIRONMENT = {"KERAS_BACKEND": "jax", "PJRT_NPROC": "1", "PYTHONPATH": PLACES}


def free_port() -> int:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return int(server.getsockname()[1])


def together(count: int, devices: int = 1) -> list[dict[str, Any]]:
    """What each of so many processes found."""
    flags = {"XLA_FLAGS": f"--xla_force_host_platform_device_count={devices}"}
    group = {"SEGLAB_PROCESSES": str(count), "SEGLAB_COORDINATOR": f"127.0.0.1:{free_port()}"}
    started = [
        subprocess.Popen(
            [sys.executable, __file__],
            env=os.environ | ENVIRONMENT | flags | group | {"SEGLAB_PROCESS": str(number)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(count)
    ]
    told = [process.communicate(timeout=300) for process in started]
    for process, (_, error) in zip(started, told, strict=True):
        assert process.returncode == 0, error[-3000:]
    return [
        json.loads(next(line for line in out.splitlines() if line.startswith("{"))) for out, _ in told
    ]  # Gloo talks too


def main() -> None:
    from seglab.runtime.process_group import join, own_group, part

    group = own_group()
    if not group.alone:
        join(group)
    found = steps("auto")
    print(json.dumps(found))
    if not group.alone:
        part()


@pytest.mark.slow
def test_two_processes_have_the_losses_of_one() -> None:
    pytest.importorskip("jax")
    (one,) = together(1)
    counted = sum(int((batch(step)[1] != 255).sum()) for step in range(STEPS))
    for count, devices in ((2, 1), (2, 2)):
        several = together(count, devices)
        for own in several:
            assert own["on"] == count * devices
            np.testing.assert_allclose(own["losses"], one["losses"], rtol=1e-5)
            assert np.sum(own["confusion"]) == np.sum(one["confusion"]) == counted
            assert np.abs(np.subtract(own["confusion"], one["confusion"])).max() <= 2, "a pixel or two on the border"
        assert several[0] == several[1]


def test_a_process_knows_its_group_by_three_variables_or_by_srun() -> None:
    assert own_group({}) == ProcessGroup(1, 0, None)
    assert own_group({"SEGLAB_PROCESSES": "1"}).alone
    by_hand = {"SEGLAB_PROCESSES": "2", "SEGLAB_PROCESS": "1", "SEGLAB_COORDINATOR": "10.0.0.1:9911"}
    assert own_group(by_hand) == ProcessGroup(2, 1, "10.0.0.1:9911")
    assert not own_group(by_hand).first
    step = {"SEGLAB_PROCESSES": "slurm", "SLURM_NTASKS": "4", "SLURM_PROCID": "3"}
    assert own_group(step) == ProcessGroup(4, 3, None)
    for changed, where in (
        ({"SEGLAB_PROCESSES": "two"}, "SEGLAB_PROCESSES"),
        ({"SEGLAB_PROCESS": ""}, "SEGLAB_PROCESS"),
        ({"SEGLAB_PROCESS": "2"}, "SEGLAB_PROCESS"),
        ({"SEGLAB_COORDINATOR": "10.0.0.1"}, "SEGLAB_COORDINATOR"),
        ({"SEGLAB_PROCESSES": "slurm"}, "SLURM_NTASKS"),
    ):
        with pytest.raises(ConfigError) as told:
            own_group({**by_hand, **changed})
        assert (told.value.code, told.value.where) == ("processes-unclear", where)


@pytest.mark.parametrize(
    ("words", "code", "remedy"),
    [
        ([], "devices-backend", "backend=jax"),
        (["backend=jax", "data.batch_size=6", "trainer.devices=2"], "devices-batch", "data.batch_size=8"),
        (["backend=jax", "data.batch_size=7"], "devices-batch", "data.batch_size=8"),
        (["backend=jax", "trainer.fit_memory=true"], "settings-exclude", "trainer.fit_memory=false"),
    ],
)
def test_what_several_processes_cannot_do_is_refused(words: list[str], code: str, remedy: str) -> None:
    config = load_config(compose("train", words))
    if config.backend == "jax":
        check_devices(config.trainer.devices, config.data_config.batch_size, "jax")  # no matter for one process
        pytest.importorskip("jax")
    with pytest.raises(ConfigError) as told:
        check_together(config, ProcessGroup(2, 0, "127.0.0.1:9911"))
    assert told.value.code == code
    assert remedy in told.value.remedy


if __name__ == "__main__":
    main()
