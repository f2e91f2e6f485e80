"""Published checkpoints are read as data: what PyTorch writes, bit for bit, and nothing else."""

from __future__ import annotations

import os
import pickle
import struct
import subprocess
import sys
import time
import zipfile
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch_files
from torch_files import contiguous, dictionary, name, number, numbers, tensor, word, write_archive, write_torch

from seglab.errors import DataError
from seglab.interactive.sam.torch_file import TorchFile


def refusal(path: Path, read: str = "") -> DataError:
    with pytest.raises(DataError) as caught:
        _ = TorchFile(path).read(read) if read else TorchFile(path)
    return caught.value


def one(path: Path, instructions: bytes, content: bytes = bytes(24)) -> Path:
    return write_archive(path, dictionary({"a.weight": instructions}), {"0": content})


@pytest.mark.parametrize("kind", ["float32", "float64", "float16", "int64", "uint8", "bool"])
def test_numbers_of_each_kind(tmp_path: Path, kind: str) -> None:
    array = np.arange(24).reshape(2, 3, 4).astype(kind)
    file = TorchFile(write_torch(tmp_path / "a.pth", {"x.weight": array, "scalar": np.array(1, kind)}))
    assert dict(file.shapes) == {"x.weight": (2, 3, 4), "scalar": ()}
    assert file.read("x.weight").dtype == np.float32
    np.testing.assert_array_equal(file.read("x.weight"), array.astype(np.float32))
    assert file.read("scalar") == 1


def test_bfloat16_by_hand(tmp_path: Path) -> None:
    # The upper halves of 1.0 (0x3F80) and -2.5 (0xC020).
    path = one(tmp_path / "a.pth", tensor("0", "BFloat16Storage", 2, [2], [1]), bytes([0x80, 0x3F, 0x20, 0xC0]))
    assert TorchFile(path).read("a.weight").tolist() == [1.0, -2.5]


def test_transposed_and_shifted_views(tmp_path: Path) -> None:
    content = np.arange(7, dtype=np.float32).tobytes()
    path = one(tmp_path / "a.pth", tensor("0", "FloatStorage", 7, [2, 3], [1, 2], offset=1), content)
    assert TorchFile(path).read("a.weight").tolist() == [[1, 3, 5], [2, 4, 6]]


def test_a_plain_dictionary_and_what_state_dict_hangs_on_it(tmp_path: Path) -> None:
    body = word("a") + tensor("0", "FloatStorage", 1, [1], [1]) + b"s"
    metadata = b"}" + word("_metadata") + name("collections", "OrderedDict") + b")Rsb"
    for pickled in (
        b"\x80\x02}" + body + b".",
        b"\x80\x02" + name("collections", "OrderedDict") + b")R" + body + metadata + b".",
    ):
        path = write_archive(tmp_path / "a.pth", pickled, {"0": bytes(4)}, root="another name")
        assert dict(TorchFile(path).shapes) == {"a": (1,)}


class Attack:
    def __reduce__(self) -> tuple:
        return os.system, ("touch hacked",)


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
def test_a_hostile_pickle_is_named_and_never_run(
    tmp_path: Path, protocol: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = write_archive(tmp_path / "a.pth", pickle.dumps(OrderedDict(x=Attack()), protocol), {})
    error = refusal(path)
    assert error.code == "checkpoint-refused"
    assert protocol in (0, 1) or "posix.system" in str(error)
    assert not (tmp_path / "hacked").exists()


@pytest.mark.parametrize(
    ("instructions", "message"),
    [
        (name("torch.nn.modules.linear", "Linear") + b")R", "torch.nn.modules.linear.Linear"),
        (name("builtins", "eval") + b"(" + word("1") + b"tR", "builtins.eval"),
        (name("collections", "OrderedDict") + b"(" + word("1") + b"tR", "collections.OrderedDict"),
        (name("torch", "QInt8Storage"), "torch.QInt8Storage"),
        (name("torch", "FloatStorage") + b"(" + number(9) + b"tR", "torch.FloatStorage"),
        (number(3), "'a.weight', which is int"),
        (word("text"), "str"),
        (b"}", "dict"),
        (tensor("0", "FloatStorage", 6, [7], [1]), "beyond its storage"),
        (tensor("0", "FloatStorage", 6, [2, 3], [3, 2]), "beyond its storage"),
        (tensor("0", "FloatStorage", 6, [3], [1], offset=4), "beyond its storage"),
        (tensor("0", "FloatStorage", 1, [10**6, 10**3], [0, 0]), "beyond its storage"),
        (tensor("0", "FloatStorage", 2**30, [2], [1]), "in a storage of 1073741824"),
        (tensor("0", "FloatStorage", 6, [-1], [1]), "impossible shape"),
        (tensor("0", "FloatStorage", 6, [2], [-1], offset=3), "impossible shape"),
        (b"(" + word("storage") + b"tQ", "contradicts itself"),
        (
            b"(" + word("module") + name("torch", "FloatStorage") + word("0") + word("cpu") + number(1) + b"tQ",
            "no storage",
        ),
        (b"0" * 50, "the instruction POP"),
        (word("os") + word("system") + b"\x93", "os.system"),
        (b"))\x93", "no text"),
        (b"R", "a call of"),
    ],
)
def test_what_is_no_tensor_is_named(tmp_path: Path, instructions: bytes, message: str) -> None:
    error = refusal(one(tmp_path / "a.pth", instructions))
    assert error.code == "checkpoint-refused"
    assert message in str(error)


def test_a_memo_of_a_thousand_million_entries_costs_nothing(tmp_path: Path) -> None:
    """Python's own reader makes room for all numbers below the one that is named."""
    path = one(tmp_path / "a.pth", b"Nr\xff\xff\xff\x7f0")
    started = time.process_time()
    assert "POP" in str(refusal(path))
    assert time.process_time() - started < 1


def test_a_pickle_that_doubles_itself_is_refused_quickly(tmp_path: Path) -> None:
    """Each tuple holds the one before twice: 2^10000 leaves when written out."""
    nested = b")q\x01" + b"h\x01h\x01\x86q\x01" * 10_000
    started = time.process_time()
    assert "tuple" in str(refusal(one(tmp_path / "a.pth", nested)))
    assert time.process_time() - started < 5


@pytest.mark.parametrize("share", [0, 1, 4, 30, 100, 1000, 2000, -1, -5, -30])
def test_a_file_that_was_cut_off(tmp_path: Path, share: int) -> None:
    path = write_torch(tmp_path / "a.pth", {"x": np.arange(300, dtype=np.float32), "y": np.ones((3, 3), np.float32)})
    path.write_bytes(path.read_bytes()[:share])
    assert refusal(path, "x").code == "checkpoint-damaged"


def test_numbers_that_changed_on_the_way(tmp_path: Path) -> None:
    path = write_torch(tmp_path / "a.pth", {"x": np.arange(300, dtype=np.float32)})
    content = bytearray(path.read_bytes())
    content[content.find(np.arange(300, dtype=np.float32).tobytes()) + 5] ^= 1
    path.write_bytes(content)
    assert "numbers of x" in str(refusal(path, "x"))


def test_numbers_that_are_not_there(tmp_path: Path) -> None:
    instructions = tensor("0", "FloatStorage", 6, [6], [1])
    assert "nothing where 24 bytes of a.weight" in str(
        refusal(write_archive(tmp_path / "a.pth", dictionary({"a.weight": instructions}), {}), "a.weight")
    )
    assert "20 bytes where 24" in str(refusal(one(tmp_path / "b.pth", instructions, bytes(20)), "a.weight"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "empty"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n", "Git LFS"),
        (b"<!DOCTYPE html><title>404</title>", "web page"),
        (b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.", "before 1.6"),
        (b"\x89HDF\r\n\x1a\n", "HDF5"),
        (b"some words", "no archive"),
        (b"PK\3\4" + bytes(500), "without its end"),
    ],
)
def test_what_is_no_checkpoint_at_all(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "a.pth"
    path.write_bytes(content)
    error = refusal(path)
    assert (error.code, message in str(error)) == ("checkpoint-damaged", True), str(error)


def test_a_program_of_torchscript(tmp_path: Path) -> None:
    path = one(tmp_path / "a.pt", tensor("0", "FloatStorage", 6, [6], [1]))
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("archive/code/__torch__.py", "import os")
    assert "TorchScript" in str(refusal(path))


def test_a_packed_table_is_not_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "a.pth"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", bytes(900_000))
    assert "packed" in str(refusal(path))


@pytest.mark.parametrize("wide", [False, True])
def test_a_directory_that_would_fill_the_memory_is_not_read(tmp_path: Path, wide: bool) -> None:
    path = one(tmp_path / "a.pth", tensor("0", "FloatStorage", 6, [6], [1]))
    content = bytearray(path.read_bytes())
    end = content.rfind(b"PK\5\6")
    content[end + 12 : end + 16] = struct.pack("<I", 2**32 - 1 if wide else 10**8)
    if wide:
        content[end:end] = b"PK\6\6" + bytes(36) + struct.pack("<QQ", 10**12, 0) + b"PK\6\7" + bytes(16)
    path.write_bytes(content)
    assert "directory of 1" in str(refusal(path))


def test_the_reader_loads_neither_torch_nor_pickle_nor_tensorflow(tmp_path: Path) -> None:
    path = write_torch(tmp_path / "a.pth", {"x": np.ones(3, np.float32)})
    code = (
        "import sys; from pathlib import Path; from seglab.interactive.sam.torch_file import TorchFile;"
        f"TorchFile(Path({str(path)!r})).read('x'); "
        "print([module for module in ('torch', 'tensorflow', 'keras') if module in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_checkpoint_of_the_size_of_vit_b_is_read_in_two_seconds(tmp_path: Path) -> None:
    """375 MB in 314 tensors; checked against the sum that the archive has of each."""
    shapes = [(1024, 298)] * 307 + [(7,)] * 7
    arrays = {f"t{index}": np.zeros(shape, np.float32) for index, shape in enumerate(shapes)}
    path = write_torch(tmp_path / "a.pth", arrays)
    assert path.stat().st_size > 370e6
    started = time.process_time()
    file = TorchFile(path)
    for key in file.shapes:
        file.read(key)
    assert time.process_time() - started < 2
    path.unlink()


def test_the_writer_of_these_tests_makes_what_python_reads() -> None:
    """An ordinary pickle by Python's own reader, so that a refusal is not a slip of the writer."""

    class Reader(pickle.Unpickler):
        def find_class(self, module: str, attribute: str) -> object:
            return (lambda *arguments: arguments) if module != "collections" else OrderedDict

        def persistent_load(self, reference: tuple) -> tuple:
            return reference

    import io

    pickled = dictionary({"a": tensor("0", "FloatStorage", 6, [2, 3], contiguous([2, 3]))})
    read = Reader(io.BytesIO(pickled)).load()["a"]
    assert (read[0][2:], read[1:4]) == (("0", "cpu", 6), (0, (2, 3), (3, 1)))
    assert numbers([1]) == b"(" + number(1) + b"t"
    assert torch_files.STORAGES["float32"] == "FloatStorage"
