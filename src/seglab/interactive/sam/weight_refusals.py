"""What to tell the user of a file of weights that cannot be used."""

from __future__ import annotations

from pathlib import Path

from seglab.errors import DataError

_FETCH = "fetch it again from where it is published, and compare its size: docs/sam.md"


def damaged(file: Path, found: str) -> DataError:
    """The file is not whole, or none of this kind at all."""
    return DataError(
        "a file of weights that cannot be read",
        code="checkpoint-damaged",
        where=str(file),
        found=found,
        expected="a .pth or .pt file of PyTorch 1.6 or later, or a .weights.h5 of seglab convert-sam",
        remedy=_FETCH,
    )


def refused(file: Path, found: str) -> DataError:
    """The file asks for more than numbers; nothing of it was run."""
    return DataError(
        "a file of weights that holds more than tensors, and that is refused",
        code="checkpoint-refused",
        where=str(file),
        found=found,
        expected="names and tensors of numbers, nothing else; no code of the file was run",
        remedy="save the model's state_dict() alone, or take the file from where its authors publish it",
    )


def of_another_model(file: Path, name: str, found: str) -> DataError:
    """The tensors of the file are not those of the model."""
    return DataError(
        "a checkpoint of another model",
        code="checkpoint-of-other-model",
        where=str(file),
        found=found,
        expected=f"the tensors of {name}, each in its shape",
        remedy="choose the model that the file belongs to: sam_vit_b, sam_vit_l, sam_vit_h or mobile_sam",
    )
