"""Embeddings on disk, so that an image that was looked at once is ready at once: by whichever process, until there are
too many.

    <folder>/<digest>.npz    digest: of image, model and weights

A file is whole or not there, and carries the digest of its arrays: one that was damaged is made anew. Those that were
not used for longest go first. Nothing is removed but what is named as this names its own.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import zipfile
import zlib
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from seglab.interactive.prompt import Prompt
from seglab.interactive.prompt_models import Candidates, Embedding, PromptModel
from seglab.runtime.atomic_files import write_bytes

_NAME = re.compile(r"[0-9a-f]{64}\.npz(\.[0-9a-f]{8}\.part)?")
_SUM, _SHAPE = "sha256", "shape"
_DAMAGED = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error)


class KeptEmbeddings:
    """A `PromptModel` that remembers the embeddings of another.

    Args:
        model: that makes them.
        folder: made when the first is kept.
        most_bytes: of all files together; the newest stays whatever its size.
    """

    def __init__(self, model: PromptModel, folder: Path, most_bytes: int = 2 * 2**30):
        self._model, self._folder, self._most = model, folder, most_bytes
        self.name, self.digest, self.rank, self.device = model.name, model.digest, model.rank, model.device

    def embed(self, image: npt.NDArray[Any]) -> Embedding:
        """From the disk where it is there and whole, else by the model. A disk that is full or not to be written to
        only costs time."""
        file = self._folder / f"{self._key(image)}.npz"
        found = _read(file)
        if found is not None:
            with suppress(OSError):
                os.utime(file)
            return found
        made = self._model.embed(image)
        with suppress(OSError):
            self._folder.mkdir(parents=True, exist_ok=True)
            write_bytes(file, _packed(made))
            self._make_room(file)
        return made

    def candidates(self, embedding: Embedding, prompt: Prompt) -> Candidates:
        """As the model."""
        return self._model.candidates(embedding, prompt)

    def _key(self, image: npt.NDArray[Any]) -> str:
        total = hashlib.sha256(repr((self.name, self.digest, image.dtype.str, image.shape)).encode())
        total.update(np.ascontiguousarray(image).data)
        return total.hexdigest()

    def _make_room(self, newest: Path) -> None:
        there = []
        for path in self._folder.iterdir():
            if _NAME.fullmatch(path.name) and path != newest:
                with suppress(FileNotFoundError):  # another process was faster
                    status = path.stat()
                    there.append((status.st_mtime, status.st_size, path))
        held = newest.stat().st_size + sum(size for _, size, _ in there)
        for _, size, path in sorted(there):
            if held <= self._most:
                return
            path.unlink(missing_ok=True)
            held -= size


def _sum(arrays: dict[str, npt.NDArray[Any]]) -> str:
    total = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        total.update(repr((name, array.dtype.str, array.shape)).encode())
        total.update(array.data)
    return total.hexdigest()


def _packed(embedding: Embedding) -> bytes:
    arrays: dict[str, Any] = {f"array_{name}": array for name, array in embedding.arrays.items()}
    arrays[_SHAPE] = np.asarray(embedding.shape, np.int64)
    written = io.BytesIO()
    arrays[_SUM] = np.frombuffer(bytes.fromhex(_sum(arrays)), np.uint8)
    np.savez(written, **arrays)
    return written.getvalue()


def _read(file: Path) -> Embedding | None:
    """None of what is not there or not whole."""
    try:
        with np.load(file, allow_pickle=False) as kept:
            arrays = {name: kept[name] for name in kept.files if name != _SUM}
            if bytes(kept[_SUM]).hex() != _sum(arrays):
                return None
    except _DAMAGED:
        return None
    shape = tuple(int(length) for length in arrays.pop(_SHAPE))
    return Embedding(shape, {name.removeprefix("array_"): array for name, array in arrays.items()})
