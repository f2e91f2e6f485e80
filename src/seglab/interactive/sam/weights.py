"""Numbers from a file into a network: each tensor of the one must be a weight of the other, by name and by shape."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from seglab.errors import DataError
from seglab.interactive.sam.hdf5_file import Hdf5File
from seglab.interactive.sam.sam_variants import VARIANTS, ViT
from seglab.interactive.sam.torch_file import TorchFile
from seglab.interactive.sam.weight_refusals import of_another_model

# The published files' word for each of Keras's.
_WORDS = {
    "kernel": "weight",
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}
# Of a classifier that MobileSAM's encoder was once trained as, and counters.
_UNUSED = re.compile(r"image_encoder\.(norm_head|head)\.(weight|bias)|.*\.num_batches_tracked")
_SHOWN = 3


class TensorFile(Protocol):
    """A file of tensors, read one by one."""

    shapes: Mapping[str, tuple[int, ...]]

    def read(self, name: str) -> npt.NDArray[np.float32]:
        """The numbers of one of them."""
        ...


@dataclass(frozen=True)
class Slot:
    """A weight of a network, and what the published files make of it.

    Attributes:
        variable: of Keras.
        name, shape: in the file.
        axes: of the file's array in the order of the variable's.
    """

    variable: Any
    name: str
    shape: tuple[int, ...]
    axes: tuple[int, ...]


def open_tensors(file: Path) -> TensorFile:
    """A file of weights, by its ending; raises DataError for one that is not there or cannot be read."""
    if not file.is_file():
        raise DataError(
            "no file of weights here",
            code="checkpoint-missing",
            where=str(file),
            found="a folder" if file.is_dir() else "nothing",
            expected="a .pth or .pt file, or a .weights.h5 of seglab convert-sam",
            remedy="check the path; it is taken from the folder that the command was started in",
        )
    return Hdf5File(file) if file.suffix == ".h5" else TorchFile(file)


def slots(variables: Sequence[Any]) -> list[Slot]:
    """Where each weight of a network lies in a published file."""
    return [_slot(variable) for variable in variables]


def check_fit(wanted: Sequence[Slot], tensors: TensorFile, file: Path, model: str) -> None:
    """See that a file holds the tensors of a model and no others, each in its shape; raises DataError."""
    names = {slot.name for slot in wanted}
    problems = [
        f"{slot.name} is {tensors.shapes[slot.name]} and not {slot.shape}"
        for slot in wanted
        if tensors.shapes.get(slot.name, slot.shape) != slot.shape
    ]
    problems += [f"{slot.name} is missing" for slot in wanted if slot.name not in tensors.shapes]
    problems += [f"{name[:80]} is none of its own" for name in tensors.shapes if name not in names and not unused(name)]
    if problems:
        more = f", and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
        other = variant_of(tensors.shapes)
        hint = f" (it looks like {other})" if other not in (None, model) else ""
        raise of_another_model(file, model, "; ".join(problems[:_SHOWN]) + more + hint)


def fill(wanted: Sequence[Slot], tensors: TensorFile, file: Path) -> str:
    """Read every weight; returns the SHA-256 of their names, shapes and numbers, whatever file they came from.

    Raises:
        DataError: numbers that are damaged, NaN or infinite.
    """
    digest = hashlib.sha256()
    for slot in wanted:
        array = tensors.read(slot.name)
        if not np.isfinite(array.sum(dtype=np.float64)):
            raise DataError(
                "weights that are not finite",
                code="model-not-finite",
                where=str(file),
                found=f"NaN or infinite numbers in {slot.name}",
                expected="finite numbers",
                remedy="take another checkpoint of this training, or the published one",
            )
        digest.update(f"{slot.name}{slot.shape}".encode())
        digest.update(array.data)
        slot.variable.assign(array.transpose(slot.axes))
    return digest.hexdigest()


def variant_of(shapes: Mapping[str, tuple[int, ...]]) -> str | None:
    """The model that a file's tensors look like, by its encoder; None for none of ours."""
    if "image_encoder.layers.0.blocks.0.conv1.c.weight" in shapes:
        return "mobile_sam"
    *_, width = shapes.get("image_encoder.pos_embed", (0,))
    for name, variant in VARIANTS.items():
        if isinstance(variant.encoder, ViT) and variant.encoder.width == width:
            return name
    return None


def unused(name: str) -> bool:
    """Whether the network has no place for a tensor of a published file."""
    return _UNUSED.fullmatch(name) is not None


def _slot(variable: Any) -> Slot:
    path, _, word = variable.path.rpartition("/")
    name = f"{path.replace('/', '.')}.{_WORDS.get(word, word)}"
    shape = tuple(variable.shape)
    axes = tuple(range(len(shape)))
    if word == "kernel" and len(shape) == 2:
        axes = (1, 0)
    elif word == "kernel":
        # Of a convolution by channel, the last axis has one entry; no other here gives a single channel.
        axes = (2, 3, 0, 1) if shape[-1] == 1 else (2, 3, 1, 0)
    stored = [0] * len(shape)
    for length, axis in zip(shape, axes, strict=True):
        stored[axis] = length
    return Slot(variable, name, tuple(stored), axes)
