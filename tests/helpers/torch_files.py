"""Checkpoints as `torch.save` writes them, written without PyTorch; and such as nobody should write."""

from __future__ import annotations

import struct
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

STORAGES = {
    "float32": "FloatStorage",
    "float64": "DoubleStorage",
    "float16": "HalfStorage",
    "int64": "LongStorage",
    "uint8": "ByteStorage",
    "bool": "BoolStorage",
}


def word(text: str) -> bytes:
    return b"X" + struct.pack("<I", len(text.encode())) + text.encode()


def number(value: int) -> bytes:
    return b"J" + struct.pack("<i", value)


def name(module: str, attribute: str) -> bytes:
    return f"c{module}\n{attribute}\n".encode()


def numbers(values: Sequence[int]) -> bytes:
    return b"(" + b"".join(map(number, values)) + b"t"


def tensor(key: str, storage: str, count: int, shape: Sequence[int], stride: Sequence[int], offset: int = 0) -> bytes:
    """The instructions that make one tensor."""
    held = b"(" + word("storage") + name("torch", storage) + word(key) + word("cpu") + number(count) + b"tQ"
    hooks = name("collections", "OrderedDict") + b")R"
    call = b"(" + held + number(offset) + numbers(shape) + numbers(stride) + b"\x89" + hooks + b"t"
    return name("torch._utils", "_rebuild_tensor_v2") + call + b"R"


def dictionary(entries: Mapping[str, bytes]) -> bytes:
    """A pickle of an OrderedDict of what these instructions make."""
    items = b"".join(word(key) + value for key, value in entries.items())
    return b"\x80\x02" + name("collections", "OrderedDict") + b")R(" + items + b"u."


def contiguous(shape: Sequence[int]) -> list[int]:
    stride, step = [], 1
    for length in reversed(shape):
        stride.insert(0, step)
        step *= length
    return stride


def write_archive(path: Path, pickle: bytes, storages: Mapping[str, bytes], root: str = "archive") -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{root}/data.pkl", pickle)
        archive.writestr(f"{root}/byteorder", b"little")
        for key, content in storages.items():
            archive.writestr(f"{root}/data/{key}", content)
        archive.writestr(f"{root}/version", b"3\n")
    return path


def write_torch(path: Path, arrays: Mapping[str, np.ndarray]) -> Path:
    """A checkpoint of these arrays, each in a storage of its own."""
    entries, storages = {}, {}
    for index, (key, array) in enumerate(arrays.items()):
        shape = array.shape
        entries[key] = tensor(str(index), STORAGES[str(array.dtype)], array.size, shape, contiguous(shape))
        storages[str(index)] = array.tobytes()
    return write_archive(path, dictionary(entries), storages)
