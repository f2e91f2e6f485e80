"""A process whose memory is limited learns from batches that it does not hold, with the losses of one that is not.

    python tests/training/test_memory_limit.py <folder> true|false <MiB>

trains with `trainer.fit_memory` as said in so much memory beside what is taken before the first step.
"""

from __future__ import annotations

import os
import re
import resource
import subprocess
import sys
from pathlib import Path

import pytest

IMAGES, SIDE, MIB = 32, 192, 1100
ENVIRONMENT = {"MALLOC_ARENA_MAX": "1"}  # else each thread takes 64 MiB of addresses, which is what is limited


def main(folder: Path, fit_memory: bool, mib: int) -> None:
    import keras
    import numpy as np
    import psutil
    import toys

    from seglab.run_record import Tag
    from seglab.training.fit import train

    class Batch:
        epoch = 0

        def __len__(self) -> int:
            return 1

        def __getitem__(self, step: int) -> tuple[np.ndarray, np.ndarray]:
            y = np.zeros((IMAGES, SIDE, SIDE), "int32")
            y[:, 20:60, 20:60] = 1
            return y[..., None].astype("float32"), y

        def case_ids(self, step: int) -> list[str]:
            return [str(image) for image in range(IMAGES)]

    keras.utils.set_random_seed(1)
    image = keras.Input((SIDE, SIDE, 1))
    x = image
    for _ in range(8):
        x = keras.layers.Conv2D(16, 3, padding="same", activation="relu")(x)
    model = keras.Model(image, keras.layers.Conv2D(1, 1)(x))
    model(np.zeros((1, SIDE, SIDE, 1), "float32"))  # threads and libraries are there
    limit = psutil.Process().memory_info().vms + mib * 2**20
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    settings = toys.trainer(2, monitor="train_loss", fit_memory=fit_memory)
    optimizer = keras.optimizers.Adam(0.01)
    history = train(
        model,
        toys.CrossEntropy(),
        optimizer,
        [],
        Batch(),
        None,
        settings,
        folder,
        lambda *_: None,
        tag=lambda tags: print("part", tags[Tag.BATCH_PART]),
    )
    print("losses", *(epoch["train_loss"] for epoch in history.epochs))


def trained(folder: Path, fit_memory: str, mib: int = MIB) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, __file__, str(folder), fit_memory, str(mib)]
    return subprocess.run(words, capture_output=True, text=True, timeout=900, check=False, env=os.environ | ENVIRONMENT)


def losses(output: str) -> list[float]:
    return [float(word) for word in output.rpartition("losses ")[2].split()]


@pytest.mark.slow
@pytest.mark.skipif(os.environ.get("KERAS_BACKEND") == "jax", reason="JAX compiles a step for each part: minutes")
def test_what_memory_does_not_hold_is_learned_in_parts(tmp_path: Path) -> None:
    done = trained(tmp_path / "small", "true")
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]
    part = int(re.search(r"part (\d+)", done.stdout)[1])  # type: ignore[index]
    assert part in (1, 2, 4, 8, 16)
    assert f"each batch is computed in parts of {part} images" in done.stdout
    assert trained(tmp_path / "broken", "false").returncode != 0, "the whole batch ends the process"
    whole = trained(tmp_path / "large", "true", 2**14)
    assert "part" not in whole.stdout, whole.stdout + whole.stderr[-2000:]
    assert losses(done.stdout) == pytest.approx(losses(whole.stdout), rel=1e-5)


if __name__ == "__main__":
    sys.path[:0] = [str(Path(__file__).parents[2] / "src"), str(Path(__file__).parents[1] / "helpers")]
    main(Path(sys.argv[1]), sys.argv[2] == "true", int(sys.argv[3]))
