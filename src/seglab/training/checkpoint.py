"""The state of training on disk: one file for each finished epoch, whole or not there, read without unpickling."""

from __future__ import annotations

import json
import random
import shutil
import zipfile
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from seglab.errors import TrainingError
from seglab.run_record import WorkFile
from seglab.runtime.atomic_files import stream

_FORMAT = 1
_PARTS = ("model", "optimizer", "best")
# What reading a state file raises that was damaged, replaced, or is not there.
_DAMAGED = (OSError, zipfile.BadZipFile, EOFError, ValueError, KeyError, TypeError, RecursionError)


@dataclass(frozen=True)
class TrainingState:
    """Everything that the next epoch depends on.

    Attributes:
        epoch: number of finished epochs.
        model: all variables of the model in its own order, states of seed generators included.
        optimizer: all variables of the optimizer: moments, averages, accumulated gradients, loss scale, iterations.
        best: variables of the model at the best epoch, empty while there is none.
        scale: scale of the learning rate schedule, None when it has none.
        rules: states of early stopping and plateau; `part`, images computed at once, where batches are divided;
            `xla`, where steps are compiled with it.
        history: emitted metrics of each finished epoch.
        finished: True when training has come to its end and only the restoring of the best weights is left.
        streams: states of the global random streams of Python and NumPy.
    """

    epoch: int
    model: list[np.ndarray]
    optimizer: list[np.ndarray]
    best: list[np.ndarray]
    scale: float | None
    rules: dict[str, Any]
    history: list[dict[str, float]]
    finished: bool
    streams: dict[str, Any]


def save_state(path: Path, state: TrainingState) -> None:
    """Replace the state file: the old one stays until the new one is whole and on disk.

    Raises:
        TrainingError: the file cannot be written, for example on a full disk. The old file is intact.
    """
    words = {
        "format": _FORMAT,
        "epoch": state.epoch,
        "scale": state.scale,
        "rules": state.rules,
        "history": state.history,
        "finished": state.finished,
        "streams": state.streams,
        "counts": {part: len(getattr(state, part)) for part in _PARTS},
    }
    arrays = {f"{part}_{i}": array for part in _PARTS for i, array in enumerate(getattr(state, part))}
    _write(path, arrays, words)


class StateWriter:
    """Brings states to the disk beside training, one after the other: waiting for a disk holds nothing up.

    Args:
        path: of the state file.
    """

    def __init__(self, path: Path):
        self._path = path
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="state")
        self._writing: Future[None] | None = None

    def begin(self, state: TrainingState) -> None:
        """Write a state, of which nothing may change any more, once the one before is on the disk."""
        self.wait()
        self._writing = self._thread.submit(save_state, self._path, state)

    @property
    def writing(self) -> bool:
        """Whether a state is still on its way."""
        return self._writing is not None and not self._writing.done()

    def wait(self) -> None:
        """Come back when the state is on the disk; raises what `save_state` raised."""
        writing, self._writing = self._writing, None
        if writing is not None:
            writing.result()

    def close(self) -> None:
        """End the thread, after the state that it is writing."""
        self._thread.shutdown()


def load_state(path: Path) -> TrainingState:
    """Read a state file.

    Raises:
        TrainingError: there is none, or it is no state file.
    """
    try:
        arrays, words = _read(path)
        if words.get("format") == _FORMAT:
            parts = {part: [arrays[f"{part}_{i}"] for i in range(words["counts"][part])] for part in _PARTS}
            return TrainingState(
                **parts,
                epoch=words["epoch"],
                scale=words["scale"],
                rules=words["rules"],
                history=words["history"],
                finished=words["finished"],
                streams=words["streams"],
            )
    except FileNotFoundError as error:
        raise TrainingError(
            "no stored state of training",
            code="state-missing",
            where=str(path),
            expected="the file that training writes after each epoch",
            remedy="resume on the machine and in the checkout where the run began, or start a new run",
        ) from error
    except _DAMAGED as error:
        raise TrainingError(
            "a file that is no state of training",
            code="state-damaged",
            where=str(path),
            found=str(error),
            expected="the file that training writes after each epoch",
            remedy="restore the file from a copy, or start a new run",
        ) from error
    raise TrainingError(
        "a state of training in an unknown format",
        code="unknown-state-format",
        where=str(path),
        found=words.get("format"),
        expected=str(_FORMAT),
        remedy="resume with the version of seglab that wrote it",
    )


def finished_epochs(path: Path) -> tuple[int, bool]:
    """How many epochs a state file holds, and whether training had come to its end; (0, False) when there is none."""
    try:
        words = _read(path, words_alone=True)[1]
        return int(words["epoch"]), bool(words["finished"])
    except _DAMAGED:
        return 0, False


def discard_state(directory: Path) -> None:
    """Remove the state of a run that is finished and logged."""
    (directory / WorkFile.STATE).unlink(missing_ok=True)


def values(variables: Sequence[Any]) -> list[np.ndarray]:
    """The values of Keras variables now; later changes of the variables do not reach them."""
    # TensorFlow shares its memory with these arrays, and takes new memory for a variable whose old one is shared.
    return [np.asarray(keras.ops.convert_to_numpy(variable)) for variable in variables]


def assign(variables: Sequence[Any], arrays: Sequence[np.ndarray], what: str) -> None:
    """Give variables the stored values.

    Raises:
        TrainingError: number, shape or dtype of the variables differ from what is stored.
    """
    if len(variables) != len(arrays):
        raise TrainingError(
            f"a stored state of another {what}",
            code="state-mismatch",
            where=what,
            found=f"{len(arrays)} variables on disk",
            expected=f"{len(variables)}, as this {what} has",
            remedy="resume with the code and the settings that the run began with",
        )
    for variable, array in zip(variables, arrays, strict=True):
        if tuple(variable.shape) != array.shape or variable.dtype != array.dtype.name:
            raise TrainingError(
                f"a stored state of another {what}",
                code="state-mismatch",
                where=variable.path,
                found=f"{array.dtype.name} {array.shape} on disk",
                expected=f"{variable.dtype} {tuple(variable.shape)}",
                remedy="resume with the code and the settings that the run began with",
            )
    for variable, array in zip(variables, arrays, strict=True):
        variable.assign(array)


def random_streams() -> dict[str, Any]:
    """States of the global streams of Python and NumPy, ready for JSON."""
    version, words, gauss = random.getstate()
    kind, keys, position, has_gauss, cached = np.random.get_state()  # noqa: NPY002 - the global stream is what is saved
    return {
        "python": [version, list(words), gauss],
        "numpy": [kind, [int(key) for key in keys], int(position), int(has_gauss), float(cached)],
    }


def restore_streams(streams: dict[str, Any]) -> None:
    """Put the global streams back to where they were."""
    version, words, gauss = streams["python"]
    random.setstate((version, tuple(words), gauss))
    kind, keys, position, has_gauss, cached = streams["numpy"]
    state = (kind, np.array(keys, "uint32"), position, has_gauss, cached)
    np.random.set_state(state)  # noqa: NPY002 - the global stream is what is restored


def _write(path: Path, arrays: dict[str, np.ndarray], words: dict[str, Any]) -> None:
    """Write a state file whole and bring it to the disk."""
    text = np.frombuffer(json.dumps(words).encode(), "uint8")
    try:
        with stream(path, sole=True, durable=True) as file:
            np.savez(file, words=text, **arrays)  # type: ignore[arg-type]
    except OSError as error:
        there = next(folder for folder in path.absolute().parents if folder.exists())
        free = shutil.disk_usage(there).free / 2**20
        raise TrainingError(
            "the state of training cannot be written"
            + ("; the one of the epoch before is intact" if path.is_file() else ""),
            code="state-unwritable",
            where=str(path),
            found=f"{error.strerror or error} with {free:.0f} MiB free",
            expected=f"room for {sum(array.nbytes for array in arrays.values()) / 2**20:.0f} MiB",
            remedy="make room, then continue with: seglab train resume=<run id>"
            if path.parent.is_dir()
            else "the folder was removed; restore it from a copy, or start a new run",
        ) from error


def _read(path: Path, *, words_alone: bool = False) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """The arrays of a state file, and what it says in words; raises one of `_DAMAGED` where it is none."""
    with path.open("rb") as stream:
        if not zipfile.is_zipfile(stream):  # NumPy would advise to let it run code
            raise ValueError("no archive of arrays, or one that was cut off")
        stream.seek(0)
        with np.load(stream, allow_pickle=False) as file:
            words = json.loads(file["words"].tobytes())
            if not isinstance(words, dict):
                raise TypeError(f"{type(words).__name__} in the place of an object")
            return {} if words_alone else {name: file[name] for name in file.files if name != "words"}, words
