"""Several processes over loopback learn what one learns. Run by `make test-jax`.

With SEGLAB_PROCESSES=2 SEGLAB_PROCESS=0 SEGLAB_COORDINATOR=127.0.0.1:9911

    python tests/training/test_jax_processes.py

is one of them; it prints the losses of each step and what was counted as JSON.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import toys
from process_groups import ENVIRONMENT, ended
from test_jax_devices import STEPS, batch, steps

from hydra_plugins.seglab_sweeps import LocalLauncher
from seglab.config.run_config import load_config
from seglab.config.vocabulary import compose
from seglab.errors import ConfigError
from seglab.experiment import several_processes
from seglab.experiment.several_processes import check_together, with_own_secrets
from seglab.runtime.process_group import ProcessGroup, own_group
from seglab.tracking.store import open_store


def together(count: int, devices: int = 1) -> list[dict[str, Any]]:
    """What each of so many processes found."""
    done = ended([[__file__]] * count, devices)
    for one in done:
        assert one.returncode == 0, one.stderr[-3000:]
    lines = [line for one in done for line in one.stdout.splitlines() if line.startswith("{")]  # Gloo talks too
    return [json.loads(line) for line in lines]


def main() -> None:
    from seglab.runtime.process_group import own_group
    from seglab.runtime.process_meeting import join, leave

    group = own_group()
    if not group.alone:
        join(group)
    found = steps("auto")
    print(json.dumps(found))
    if not group.alone:
        leave()


@pytest.mark.slow
@pytest.mark.timeout(1800)  # many processes, each of which loads JAX
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


def toy_jobs(folder: Path, count: int, *options: str, dies: int = -1, at: str = "") -> list[Any]:
    """`toys.py` by so many processes, one of which may be killed."""
    words = [toys.__file__, str(folder), *options]
    return ended([[*words, *(["--die-at", at] if number == dies else [])] for number in range(count)])


def epochs_of(folder: Path, name: str) -> list[dict[str, float]]:
    with np.load(folder / f"{name}.npz") as file:
        history = json.loads(file["words"].tobytes())["history"]
    times = {"images_per_second", "epoch_seconds", "data_wait_share"}
    return [{key: value for key, value in epoch.items() if key not in times} for epoch in history]


@pytest.mark.slow
@pytest.mark.timeout(1800)  # many processes, each of which loads JAX
def test_kill_9_of_one_ends_the_others_and_the_run_goes_on_with_any_number(tmp_path: Path) -> None:
    """Dropout, batch normalisation, accumulated gradients, averaged weights, warm-up and plateau."""
    pytest.importorskip("jax")
    toys.fresh_store(tmp_path / "mlruns")
    whole = toy_jobs(tmp_path, 2, "--out", "whole")
    assert [one.returncode for one in whole] == [0, 0], whole[0].stderr[-2000:] + whole[1].stderr[-2000:]
    first, second = toy_jobs(tmp_path, 2, dies=1, at="3,2")
    cut = first.stdout.split()[1]
    assert (first.returncode, second.returncode) == (2, -signal.SIGKILL), first.stderr[-2000:]
    assert "error: another process of this run has ended, so this one ends too [process-lost]" in first.stderr
    store = open_store(None, tmp_path / "mlruns")
    assert store.run(cut).info.status == "FAILED"
    first, second = toy_jobs(tmp_path, 2, "--resume", cut, dies=0, at="5,2")
    assert (first.returncode, second.returncode) == (-signal.SIGKILL, 2), second.stderr[-2000:]
    assert "error: another process of this run has ended, so this one ends too [process-lost]" in second.stderr
    (alone,) = toy_jobs(tmp_path, 1, "--resume", cut, "--out", "alone")
    assert alone.returncode == 0, alone.stderr[-2000:]
    expected, found = epochs_of(tmp_path, "whole"), epochs_of(tmp_path, "alone")
    assert found[:3] == expected[:3], "the same bits, as far as two processes trained and kept it"
    assert len(found) == len(expected) == 6
    for one, other in zip(found[3:], expected[3:], strict=True):
        np.testing.assert_allclose([*one.values()], [*other.values()], rtol=1e-4)
    assert len(store.all_runs()) == 2, "one writer"
    steps_kept = [point.step for point in store.client.get_metric_history(cut, "val_dice")]
    assert steps_kept == [1, 2, 3, 4, 5, 6], "each once"


def test_a_process_knows_its_group_by_three_variables_or_by_srun() -> None:
    assert own_group({}) == ProcessGroup(1, 0, None)
    assert own_group({"SEGLAB_PROCESSES": "1"}).alone
    by_hand = {"SEGLAB_PROCESSES": "2", "SEGLAB_PROCESS": "1", "SEGLAB_COORDINATOR": "10.0.0.1:9911"}
    assert own_group(by_hand) == ProcessGroup(2, 1, "10.0.0.1:9911")
    assert not own_group(by_hand).first
    for place in ("node1.cluster.example:9911", "[fd00::1]:9911"):
        assert own_group({**by_hand, "SEGLAB_COORDINATOR": place}).coordinator == place
    step = {"SEGLAB_PROCESSES": "slurm", "SLURM_NTASKS": "4", "SLURM_PROCID": "3"}
    assert own_group(step) == ProcessGroup(4, 3, None)
    for changed, where in (
        ({"SEGLAB_PROCESSES": "two"}, "SEGLAB_PROCESSES"),
        ({"SEGLAB_PROCESSES": "²"}, "SEGLAB_PROCESSES"),
        ({"SEGLAB_PROCESS": ""}, "SEGLAB_PROCESS"),
        ({"SEGLAB_PROCESS": "2"}, "SEGLAB_PROCESS"),
        ({"SEGLAB_COORDINATOR": "10.0.0.1"}, "SEGLAB_COORDINATOR"),
        ({"SEGLAB_COORDINATOR": ":9911"}, "SEGLAB_COORDINATOR"),
        ({"SEGLAB_COORDINATOR": "fd00::1:9911"}, "SEGLAB_COORDINATOR"),
        ({"SEGLAB_PROCESSES": "slurm"}, "SLURM_NTASKS"),
    ):
        with pytest.raises(ConfigError) as refused:
            own_group({**by_hand, **changed})
        assert (refused.value.code, refused.value.where) == ("processes-unclear", where)


def test_what_is_secret_is_not_published_and_each_process_has_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    config = load_config(compose("train", ["backend=jax", "tracking.uri=https://me:hidden@runs.example"]))
    target = {"_target_": "toys.Squares", "name": "of-mine", "token": "hidden", "place": "s3://key:hidden@store/a"}
    first = replace(config, resolved={**config.resolved, "data": {**target, "size": [32, 32]}})
    published: dict[str, Any] = {}
    monkeypatch.setattr(several_processes, "join", lambda group: True)
    monkeypatch.setattr(several_processes, "publish", published.__setitem__)
    several_processes.lead(first, ProcessGroup(2, 0, "127.0.0.1:9911"))
    assert "hidden" not in json.dumps(published)
    assert published["config"]["tracking"]["uri"] is None
    own = {**first.resolved, "data": {**target, "token": "another", "size": [64, 64]}, "seed": 3}
    second = replace(config, resolved=own)
    taken = with_own_secrets(published["config"], own, several_processes.without_secrets(second))
    assert taken["data"] == {**target, "token": "another", "size": [32, 32]}
    assert taken["seed"] == config.seed
    assert {**taken, "data": None, "tracking": None} == {**first.resolved, "data": None, "tracking": None}


def test_a_sweep_is_started_by_one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    launcher = LocalLauncher(jobs=1)
    ready: Any = {"hydra_context": None, "task_function": None, "config": compose("train", [])}
    launcher.setup(**ready)
    for name, value in (("PROCESSES", "2"), ("PROCESS", "1"), ("COORDINATOR", "127.0.0.1:9911")):
        monkeypatch.setenv(f"SEGLAB_{name}", value)
    with pytest.raises(ConfigError, match=r"launcher\.nodes") as refused:
        launcher.setup(**ready)
    assert refused.value.code == "settings-exclude"


@pytest.mark.parametrize(("left", "code"), [(False, 2), (True, -signal.SIGABRT)])
def test_an_abort_is_laid_to_the_others_only_until_they_have_left(left: bool, code: int) -> None:
    pytest.importorskip("jax")
    program = "import os\nfrom seglab.runtime.process_end import ending_together\n"
    program += (
        "from seglab.runtime.process_group import ProcessGroup\nfrom seglab.runtime.process_meeting import leave\n"
    )
    program += f"with ending_together(ProcessGroup(2, 0, '127.0.0.1:9911')):\n    {left} and leave()\n    os.abort()"
    words = [sys.executable, "-c", program]
    done = subprocess.run(words, env=os.environ | ENVIRONMENT, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr[-2000:]
    assert ("[process-lost]" in done.stderr) != left


@pytest.mark.parametrize(
    ("words", "code", "remedy"),
    [
        ([], "devices-backend", "backend=jax"),
        (["backend=jax", "data.batch_size=6", "trainer.devices=2"], "devices-batch", "data.batch_size=8"),
        (["backend=jax", "data.batch_size=7"], "devices-batch", "data.batch_size=8"),
        (["backend=jax", "trainer.fit_memory=true"], "settings-exclude", "trainer.fit_memory=false"),
    ],
)
def test_what_several_processes_cannot_do_is_refused(
    monkeypatch: pytest.MonkeyPatch, words: list[str], code: str, remedy: str
) -> None:
    monkeypatch.setattr(several_processes, "check_backend", lambda backend: None)  # Keras is loaded with one of them
    config = load_config(compose("train", words))
    if "trainer.devices=2" not in words:
        check_together(config, ProcessGroup())  # one process can
    with pytest.raises(ConfigError) as refused:
        check_together(config, ProcessGroup(2, 0, "127.0.0.1:9911"))
    assert refused.value.code == code
    assert remedy in refused.value.remedy


if __name__ == "__main__":
    main()
