"""Two processes of one training, of which one stands still, is told to stop, or has other code or data."""

from __future__ import annotations

import shutil
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import toys
from PIL import Image
from process_groups import TESTS, ends, started

from seglab.run_record import WorkFile
from seglab.tracking.store import open_store

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
LOST = "error: another process of this run has ended, so this one ends too [process-lost]"
# So long it takes at the most until a process whose sign of life stays away is taken for dead.
STATED_SECONDS = 90


@pytest.fixture(autouse=True)
def with_jax() -> None:
    pytest.importorskip("jax")


def toy_processes(folder: Path, dies: int, at: str) -> list[subprocess.Popen[str]]:
    toys.fresh_store(folder / "mlruns")
    words = [toys.__file__, str(folder)]
    return started([[*words, *(["--die-at", at] if number == dies else [])] for number in range(2)])


def test_a_process_that_stands_still_ends_the_others_within_the_stated_time(tmp_path: Path) -> None:
    """Both cases at once, as each takes a minute: its connections stay open, only its sign of life tells."""
    groups = []
    for stands_still in (0, 1):
        (folder := tmp_path / str(stands_still)).mkdir()
        groups.append(toy_processes(folder, stands_still, "2,1,SIGSTOP"))
    try:
        for stands_still, processes in enumerate(groups):
            since = time.monotonic()
            while stopped(processes[stands_still]) is False and processes[stands_still].poll() is None:
                assert time.monotonic() - since < 300
                time.sleep(0.2)
        since = time.monotonic()
        for stands_still, processes in enumerate(groups):
            other = processes[1 - stands_still]
            _, error = other.communicate(timeout=300)
            assert other.returncode == 2, error[-3000:]
            assert LOST in error
            assert time.monotonic() - since < STATED_SECONDS
    finally:
        for process in (one for processes in groups for one in processes):
            process.kill()
            process.communicate()


def stopped(process: subprocess.Popen[str]) -> bool:
    """Whether a process stands still, by its state in /proc."""
    try:
        return Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"
    except OSError:
        return False


@pytest.mark.parametrize(
    ("which", "sign", "code", "status"),
    [
        (0, "SIGINT", 130, "KILLED"),
        (0, "SIGTERM", 143, "KILLED"),
        (1, "SIGINT", 130, "FAILED"),
        (1, "SIGTERM", -15, "FAILED"),
    ],
)
def test_one_that_gets_a_signal_ends_the_other_with_a_sentence(
    tmp_path: Path, which: int, sign: str, code: int, status: str
) -> None:
    toys.fresh_store(tmp_path / "mlruns")
    processes = started([[toys.__file__, str(tmp_path), "--epochs", "60", "--pause", "0.2"]] * 2)
    while not [*(tmp_path / "mlruns").rglob(WorkFile.STATE)]:  # it has trained for an epoch
        assert [process.poll() for process in processes] == [None, None]
        time.sleep(0.2)
    processes[which].send_signal(signal.Signals[sign])
    done = ends(processes)
    assert done[which].returncode == code, done[which].stderr[-3000:]
    assert done[1 - which].returncode == 2, done[1 - which].stderr[-3000:]
    assert LOST in done[1 - which].stderr
    (run,) = open_store(None, tmp_path / "mlruns").all_runs()
    assert run.info.status == status


SMALL = [
    *("model=unet", "model.depth=1", "model.width=4", "loss=dice", "precision=float32", "backend=jax"),
    *("data=image_folder", "data.root=.", "data.label_values=[0,255]", "data.size=[32,32]", "data.batch_size=4"),
    *("data.split={train:0.5,val:0.25,test:0.25}", "trainer.epochs=2", "tracking.system_metrics=false"),
]


def folder_of_images(folder: Path, count: int = 12) -> None:
    rng = np.random.default_rng(1)
    for number in range(count):
        mask = np.zeros((32, 32), np.uint8)
        mask[number : number + 12, 6:20] = 255
        for name, pixels in (("masks", mask), ("images", mask // 2 + rng.integers(0, 99, mask.shape, np.uint8))):
            (folder / name).mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(folder / name / f"s{number}.png")


def trainings(folders: list[Path], *words: str, other: Sequence[str] = ()) -> list[subprocess.CompletedProcess[str]]:
    """`seglab train` in two folders; `other`: what stands behind Python in the second, in the place of the module."""
    modules = (["-m", "seglab"], [*other] or ["-m", "seglab"])
    return ends(started([[*module, "train", *SMALL, *words] for module in modules], folders=folders))


def test_one_run_by_two_processes_of_the_same_code_and_data(tmp_path: Path) -> None:
    folders = [tmp_path / "one", tmp_path / "other"]
    for folder in folders:
        folder_of_images(folder)
    first, second = trainings(folders)
    assert (first.returncode, second.returncode) == (0, 0), first.stderr[-3000:] + second.stderr[-3000:]
    (run,) = open_store(None, folders[0] / "mlruns").all_runs()
    assert run.info.status == "FINISHED"
    assert not (folders[1] / "mlruns").exists(), "the second one records nothing"

    shutil.copytree(TESTS.parent / "src", tmp_path / "src", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    with (tmp_path / "src" / "seglab" / "losses" / "compound.py").open("a") as file:
        file.write("# another line\n")
    other = f"import sys; sys.path.insert(0, {str(tmp_path / 'src')!r}); from seglab.cli.main import script; script()"
    first, second = trainings(folders, "seed=2", other=["-c", other])
    refused(first, second, "processes that do not run the same code", "found:    seglab ")

    shutil.copyfile(folders[1] / "images" / "s3.png", folders[1] / "images" / "s4.png")
    first, second = trainings(folders, "seed=2")
    refused(first, second, "processes that do not read the same data", "found:    data ")

    first, second = trainings(folders, "seed=2", "loss=dyce")
    assert (first.returncode, second.returncode) == (2, 2)
    for one in (first, second):
        assert "dyce" in one.stderr


def refused(
    first: subprocess.CompletedProcess[str], second: subprocess.CompletedProcess[str], title: str, found: str
) -> None:
    assert second.returncode == 2, second.stderr[-3000:]
    assert f"error: {title} [processes-differ]" in second.stderr
    assert found in second.stderr
    assert first.returncode == 2, first.stderr[-3000:]
    assert LOST in first.stderr


# Each process begins with random streams and weights of its own.
STREAMS = """
import random
import keras, numpy as np
from toys import CrossEntropy, net
from seglab.runtime.process_group import own_group
from seglab.runtime.process_meeting import join, leave
from seglab.training.shared_start import shared_start
group = own_group()
join(group)
model = net(seed=group.number)
model.compile("adam", CrossEntropy())
model.optimizer.build(model.trainable_variables)
before = np.random.random(), random.random()
assert shared_start(None, model) is None
print("drawn", *before, np.random.random(), random.random(), float(np.sum(model.get_weights()[0])), flush=True)
leave()
"""


def test_what_is_drawn_and_the_weights_are_the_first_ones(tmp_path: Path) -> None:
    done = ends(started([["-c", STREAMS]] * 2))
    assert [one.returncode for one in done] == [0, 0], done[0].stderr[-2000:] + done[1].stderr[-2000:]
    lines = [next(line for line in one.stdout.splitlines() if line.startswith("drawn")).split() for one in done]
    assert lines[0][1:3] != lines[1][1:3]
    assert lines[0][3:] == lines[1][3:]
