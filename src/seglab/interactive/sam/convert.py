"""From a published checkpoint to a `.weights.h5`: the same tensors without PyTorch's container."""

from __future__ import annotations

from pathlib import Path

from seglab.errors import ConfigError
from seglab.interactive.sam.hdf5_file import ENDING, write_hdf5
from seglab.interactive.sam.sam_network import SamNetwork
from seglab.interactive.sam.sam_variants import VARIANTS
from seglab.interactive.sam.weight_refusals import of_another_model
from seglab.interactive.sam.weights import check_fit, open_tensors, slots, variant_of
from seglab.runtime.atomic_files import telling_unwritable
from seglab.runtime.file_digest import sha256_of


def convert(checkpoint: Path, out: Path) -> str:
    """Write the weights that a model needs; returns the model's name.

    Args:
        checkpoint: a published file.
        out: the file to write, whose name ends in `.weights.h5`; one that is there is never written over.

    Raises:
        SeglabError: the checkpoint cannot be used, or `out` cannot be written.
    """
    if not out.name.endswith(ENDING):
        raise ConfigError(
            "a file name with another ending",
            code="value-not-allowed",
            where="out",
            found=str(out),
            expected=f"a name that ends in {ENDING}",
            remedy=f"out={out.name.partition('.')[0] or 'sam'}{ENDING}",
        )
    if out.exists():
        raise ConfigError(
            "a file in the place of the weights",
            code="weights-place-taken",
            where=str(out),
            expected="a file that is not there yet",
            remedy="choose another name, or move what is there",
        )
    tensors = open_tensors(checkpoint)
    name = variant_of(tensors.shapes)
    if name is None:
        raise of_another_model(checkpoint, "SAM or MobileSAM", f"{len(tensors.shapes)} tensors of something else")
    wanted = slots(SamNetwork(VARIANTS[name]).variables)
    check_fit(wanted, tensors, checkpoint, name)
    about = {"model": name, "source": checkpoint.name, "source_sha256": sha256_of(checkpoint)}
    with telling_unwritable(out):
        out.parent.mkdir(parents=True, exist_ok=True)
        write_hdf5(out, ((slot.name, tensors.read(slot.name)) for slot in wanted), about)
    return name
