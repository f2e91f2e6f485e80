"""The table of contents of a PyTorch checkpoint: a pickle, read as data.

A pickle is a program for a small stack machine, and Python's own reader runs it. Here the few instructions that
`torch.save` writes for a dictionary of tensors are carried out on plain values: a name of a function or class is a word
that is compared with a list, never imported and never called. Whatever else stands there is refused by its name.
"""

from __future__ import annotations

import pickletools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

# Storage classes of PyTorch, and the type of their numbers in NumPy's words; bfloat16 has none there.
STORAGES: Mapping[str, str] = {
    "torch.FloatStorage": "f4",
    "torch.DoubleStorage": "f8",
    "torch.HalfStorage": "f2",
    "torch.BFloat16Storage": "bfloat16",
    "torch.LongStorage": "i8",
    "torch.IntStorage": "i4",
    "torch.ShortStorage": "i2",
    "torch.CharStorage": "i1",
    "torch.ByteStorage": "u1",
    "torch.BoolStorage": "?",
}
_DICT, _TENSOR, _PARAMETER = (
    "collections.OrderedDict",
    "torch._utils._rebuild_tensor_v2",
    "torch._utils._rebuild_parameter",
)
_KNOWN = {_DICT, _TENSOR, _PARAMETER, *STORAGES}
_MAX_RANK = 8
# A storage is read as a whole: one that several tensors share is not much larger than each.
_SHARED, _SMALL = 16, 2**16


class ForbiddenPickle(ValueError):
    """What stands in the pickle that no dictionary of tensors needs, in a few words."""


@dataclass(frozen=True)
class Storage:
    """A run of numbers in the file: the name of its record, their type (a value of `STORAGES`) and how many."""

    key: str
    kind: str
    count: int


@dataclass(frozen=True)
class StoredTensor:
    """Where a tensor lies: numbers of a storage, from `offset` on, `stride` numbers apart along each axis."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]


@dataclass(frozen=True)
class _Name:
    """A function or class that the pickle names."""

    text: str


def read_tensors(pickle: bytes) -> dict[str, StoredTensor]:
    """The tensors by name, in the order of the file.

    Raises:
        ForbiddenPickle: it names something else than tensors, or is no pickle.
    """
    try:
        found = _Machine().run(pickle)
    except ForbiddenPickle:
        raise
    except (ValueError, IndexError, KeyError, TypeError, OverflowError, MemoryError) as error:
        raise ForbiddenPickle(f"a pickle that contradicts itself ({type(error).__name__})") from error
    if not isinstance(found, dict) or not found:
        raise ForbiddenPickle(f"{_kind_of(found)} in the place of names and tensors")
    for name, value in found.items():
        if not isinstance(value, StoredTensor):
            raise ForbiddenPickle(f"'{name[:80]}', which is {_kind_of(value)} and no tensor")
    return found


class _Machine:
    """The stack machine of pickles, with the instructions that a dictionary of tensors needs."""

    def __init__(self) -> None:
        self._stack: list[Any] = []
        self._marks: list[int] = []
        self._memo: dict[int, Any] = {}

    def run(self, pickle: bytes) -> Any:
        for opcode, argument, _ in pickletools.genops(pickle):
            name = opcode.name
            if name == "STOP":
                return self._stack.pop()
            if name in _CONSTANTS:
                self._stack.append(_CONSTANTS[name]())
            elif name in _LITERALS:
                self._stack.append(argument)
            elif name in _PUTS:
                self._memo[len(self._memo) if argument is None else argument] = self._stack[-1]
            elif name in ("BINGET", "LONG_BINGET"):
                self._stack.append(self._memo[int(argument or 0)])
            elif name not in ("PROTO", "FRAME"):
                step = getattr(self, f"_{name.lower()}", None)
                if step is None:
                    raise ForbiddenPickle(f"the instruction {name}")
                step(argument)
        raise ForbiddenPickle("a pickle without an end")

    def _mark(self, _: Any) -> None:
        self._marks.append(len(self._stack))

    def _since_mark(self) -> list[Any]:
        start = self._marks.pop()
        taken = self._stack[start:]
        del self._stack[start:]
        return taken

    def _tuple(self, _: Any) -> None:
        self._stack.append(tuple(self._since_mark()))

    def _last(self, count: int) -> None:
        self._stack[-count:] = [tuple(self._stack[-count:])]

    def _tuple1(self, _: Any) -> None:
        self._last(1)

    def _tuple2(self, _: Any) -> None:
        self._last(2)

    def _tuple3(self, _: Any) -> None:
        self._last(3)

    def _global(self, argument: str) -> None:
        text = argument.replace(" ", ".")
        if text not in _KNOWN:
            raise ForbiddenPickle(f"the name {text[:120]}")
        self._stack.append(_Name(text))

    def _stack_global(self, _: Any) -> None:
        name, module = self._stack.pop(), self._stack.pop()
        if not isinstance(name, str) or not isinstance(module, str):
            raise ForbiddenPickle("a name that is no text")
        self._global(f"{module} {name}")

    def _setitem(self, _: Any) -> None:
        value, key = self._stack.pop(), self._stack.pop()
        self._put(key, value)

    def _setitems(self, _: Any) -> None:
        items = self._since_mark()
        for key, value in zip(items[::2], items[1::2], strict=True):
            self._put(key, value)

    def _put(self, key: Any, value: Any) -> None:
        into = self._stack[-1]
        if not isinstance(into, dict) or not isinstance(key, str):
            raise ForbiddenPickle(f"an entry named by {_kind_of(key)}, of {_kind_of(into)}")
        into[key] = value

    def _build(self, _: Any) -> None:
        """What `state_dict()` says of versions of modules lies beside the dictionary, and is not needed."""
        self._stack.pop()
        if not isinstance(self._stack[-1], dict):
            raise ForbiddenPickle(f"a state for {_kind_of(self._stack[-1])}")

    def _binpersid(self, _: Any) -> None:
        word, kind, key, _, count = self._stack.pop()
        if word != "storage" or not isinstance(kind, _Name) or kind.text not in STORAGES:
            raise ForbiddenPickle("a reference to something that is no storage of numbers")
        if not isinstance(key, str) or not _is_count(count):
            raise ForbiddenPickle("a storage without a name or a size")
        self._stack.append(Storage(key, STORAGES[kind.text], count))

    def _reduce(self, _: Any) -> None:
        arguments, function = self._stack.pop(), self._stack.pop()
        if not isinstance(function, _Name) or not isinstance(arguments, tuple):
            raise ForbiddenPickle(f"a call of {_kind_of(function)}")
        if function.text == _DICT and not arguments:
            self._stack.append({})
        elif function.text == _TENSOR:
            self._stack.append(_tensor(*arguments[:4]))
        elif function.text == _PARAMETER and isinstance(arguments[0], StoredTensor):
            self._stack.append(arguments[0])
        else:
            raise ForbiddenPickle(f"a call of {function.text} with other arguments than a tensor has")


_CONSTANTS: Mapping[str, Any] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_TUPLE": tuple,
    "EMPTY_DICT": dict,
}
_LITERALS = {"BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "BINUNICODE", "SHORT_BINUNICODE"}
_PUTS = {"BINPUT", "LONG_BINPUT", "MEMOIZE"}


def _tensor(storage: Any, offset: Any, shape: Any, stride: Any) -> StoredTensor:
    """A tensor whose numbers all lie within its storage."""
    lengths = isinstance(shape, tuple) and isinstance(stride, tuple) and len(shape) == len(stride) <= _MAX_RANK
    if not isinstance(storage, Storage) or not lengths or not all(map(_is_count, (offset, *shape, *stride))):
        raise ForbiddenPickle("a tensor without a storage, or of an impossible shape")
    reach = offset + sum((length - 1) * step for length, step in zip(shape, stride, strict=True))
    size = 1
    for length in shape:
        size *= length
    # A stride of 0 would make of one number as many as one likes.
    if size > storage.count or (size and reach >= storage.count):
        raise ForbiddenPickle(f"a tensor {shape} that reaches beyond its storage of {storage.count} numbers")
    if storage.count > _SHARED * max(size, _SMALL):
        raise ForbiddenPickle(f"a tensor {shape} in a storage of {storage.count} numbers")
    return StoredTensor(storage, offset, shape, stride)


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value < 2**40


def _kind_of(value: Any) -> str:
    """What a value is, without its contents: those may be endless."""
    if isinstance(value, _Name):
        return f"the name {value.text}"
    return {StoredTensor: "a tensor", Storage: "a storage", type(None): "None"}.get(type(value), type(value).__name__)
