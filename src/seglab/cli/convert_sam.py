"""`seglab convert-sam`: a published checkpoint of Segment Anything as a `.weights.h5`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from seglab.cli.words import read, setting
from seglab.runtime.reproducibility import load_tensorflow
from seglab.runtime.waiting import step
from seglab.safety.shown_text import in_line

_EXAMPLES = """examples:
  seglab convert-sam checkpoint=sam_vit_b_01ec64.pth out=sam_vit_b.weights.h5
  seglab segment image=photo.jpg box=center model=sam_vit_b checkpoint=sam_vit_b.weights.h5 out=outputs/"""


@dataclass(frozen=True, kw_only=True)
class ConvertSamWords:
    """Write the weights of a published checkpoint (sam_vit_b, sam_vit_l, sam_vit_h or mobile_sam) as one HDF5 file that
    holds nothing but numbers. No code of the checkpoint is run, here or elsewhere; PyTorch is not needed."""

    checkpoint: str = setting("the .pth or .pt file, as it was published")
    out: str = setting("the file to write, ending in .weights.h5; never written over")


def read_words(words: Sequence[str]) -> ConvertSamWords:
    """What the words of the command line say."""
    return read(ConvertSamWords, words, "convert-sam", _EXAMPLES)


def run(words: Sequence[str]) -> int:
    """Convert, and say what was written."""
    settings = read_words(words)
    checkpoint, out = Path(settings.checkpoint), Path(settings.out)
    with step(f"converting {checkpoint.name}"):
        load_tensorflow()
        from seglab.interactive.sam.convert import convert

        name = convert(checkpoint, out)
    print(in_line(f"{out}: the weights of {name}; model={name} checkpoint={out}"))
    return 0
