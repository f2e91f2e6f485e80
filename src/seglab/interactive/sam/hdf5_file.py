"""Weights as `seglab convert-sam` writes them: one HDF5 file, a plain array for each tensor, and no code."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from seglab.interactive.sam.weight_refusals import damaged, refused
from seglab.runtime.atomic_files import creating

ENDING = ".weights.h5"
_MAX_TENSORS = 5000


class Hdf5File:
    """The tensors of a converted file; each is read when it is asked for.

    Args:
        file: as `write_hdf5` made it.

    Attributes:
        shapes: of each tensor by its name.

    Raises:
        DataError: no such file, or something else than plain arrays in it.
    """

    def __init__(self, file: Path):
        import h5py

        self._file = file
        self.shapes: Mapping[str, tuple[int, ...]] = {}
        try:
            with h5py.File(file, "r") as content:
                if len(content) > _MAX_TENSORS:
                    raise refused(file, f"{len(content):,} entries")
                self.shapes = {name: self._shape(content, name) for name in content}
        except (OSError, RuntimeError, KeyError, ValueError) as error:
            raise damaged(file, str(error).splitlines()[0][:200]) from error

    def read(self, name: str) -> npt.NDArray[np.float32]:
        """The numbers of a tensor; raises DataError where they are not there."""
        import h5py

        try:
            with h5py.File(self._file, "r") as content:
                return np.asarray(content[name][()], np.float32)
        except (OSError, RuntimeError, KeyError, ValueError) as error:
            raise damaged(self._file, f"{name}: {str(error).splitlines()[0][:200]}") from error

    def _shape(self, content: object, name: str) -> tuple[int, ...]:
        """The shape of an array that lies in this file, unpacked, as long as it claims to be."""
        import h5py

        assert isinstance(content, h5py.File)
        found = content[name] if isinstance(content.get(name, getlink=True), h5py.HardLink) else None
        if not isinstance(found, h5py.Dataset) or found.shape is None or found.external or found.is_virtual:
            raise refused(self._file, f"'{name[:80]}', which is no array of this file")
        if found.dtype != np.float32 or found.chunks or found.id.get_storage_size() != found.size * 4:
            raise refused(self._file, f"'{name[:80]}', which is not plain float32 numbers as long as it claims to be")
        return tuple(found.shape)


def write_hdf5(file: Path, tensors: Iterable[tuple[str, npt.NDArray[np.float32]]], about: Mapping[str, str]) -> None:
    """Write tensors by name, and words about them.

    Raises:
        FileExistsError: there is a file already; it stays.
        OSError: no room, or no permission; nothing half-written is left.
    """
    import h5py

    with creating(file, ending=ENDING) as part, h5py.File(part, "w") as content:
        for name, array in tensors:
            content.create_dataset(name, data=array)
        content.attrs.update(about)
