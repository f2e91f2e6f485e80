"""Files, folders and patterns on a command line, as the images that they mean, each with a name for its outputs."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from seglab.data.cases import natural_key
from seglab.data.io.folders import by_stem, name_of
from seglab.data.io.image_files import IMAGE_ENDINGS
from seglab.data.io.nifti_files import channels_of
from seglab.data.io.ome_metadata import ZARR_ENDING, check_local, is_zarr
from seglab.data.io.volume_files import VOLUME_ENDINGS, is_volume, series_in
from seglab.data.sources.nifti_layouts import modalities
from seglab.errors import DataError
from seglab.task import Task

# What OME-Zarr is packed into (https://ngff.openmicroscopy.org/rfc/9), and a file that has the name of a folder.
_ZARR_FILES = (ZARR_ENDING, ".zarr.zip", ".ozx")


@dataclass(frozen=True)
class Input:
    """One image.

    Attributes:
        name: of its outputs, without an ending; with folders before it where images of several folders share a name.
        parts: its file, or a file for each modality.
    """

    name: Path
    parts: tuple[Path, ...]

    @property
    def file(self) -> Path:
        """That it is named by."""
        return self.parts[0]


def endings_of(task: Task) -> tuple[str, ...]:
    """Of the files that a model of this task reads, in lower case."""
    return IMAGE_ENDINGS if task.rank == 2 else VOLUME_ENDINGS


def found_files(words: Iterable[Path | str], task: Task) -> list[Path]:
    """The files that words mean, each once.

    Args:
        words: a file, or a folder of DICOM slices or of Zarr; another folder, for the images that lie in it; a pattern
            such as `scans/*.png`, or `scans/**/*.png` for folders within folders too. Of folders and patterns, files of
            other kinds and hidden ones are left out.
        task: says which files are images.

    Raises:
        DataError: a folder or a pattern without an image, a file that is not there or of another kind.
    """
    endings, found = endings_of(task), dict[str, Path]()
    kinds = ", ".join(endings) + (", a folder of DICOM slices or of Zarr" if task.rank == 3 else "")
    for word in words:
        check_local(str(word))
        path = Path(word)
        series = task.rank == 3 and path.is_dir() and is_volume(path)
        many = (path.is_dir() and not series) or (glob.has_magic(str(word)) and not os.path.lexists(path))
        if many and path.is_dir():
            there = [entry for entry in path.iterdir() if entry.is_file()]
            there += series_in(path) if task.rank == 3 else []
        elif many:
            there = [Path(name) for name in glob.glob(str(word), recursive=True) if _readable(Path(name), task)]
        else:
            there = [path]
        images = [file for file in there if file.is_dir() or file.name.lower().endswith(endings)]
        if many:
            images = sorted(
                (file for file in images if not file.name.startswith(".")), key=lambda file: natural_key(str(file))
            )
        missing = not many and not path.exists()
        if missing or (many and not images):
            none = f"{len(there)} files, none of them an image" if there else "no file"
            raise DataError(
                "no image there",
                code="no-image",
                where=str(word),
                found=_nothing(path) if missing else none,
                expected=f"files that a {task.rank}D model reads: {kinds}",
                remedy="check the path; **/ in a pattern looks into the folders below too",
            )
        if not images:
            raise DataError(
                f"a file that a {task.rank}D model cannot read",
                code="image-format",
                where=str(path),
                found=f"a file ending in {path.suffix}" if path.suffix else "a file without an ending",
                expected=f"one of {kinds}",
                remedy="unpack it into a folder: Zarr is read from a folder, and not from a file"
                if task.rank == 3 and path.name.lower().endswith(_ZARR_FILES)
                else "convert it, or predict it with a model of its rank",
            )
        for file in images:
            found.setdefault(os.path.realpath(file), file)
    return list(found.values())


def _readable(path: Path, task: Task) -> bool:
    if path.is_file():
        return True
    return task.rank == 3 and path.is_dir() and is_volume(path) and not is_zarr(path.parent)  # a level of an image


def _nothing(path: Path) -> str:
    return f"a link to {os.readlink(path)}, which is not there" if path.is_symlink() else "no such file or folder"


def named_inputs(files: Sequence[Path], task: Task) -> list[Input]:
    """The images that files hold, named as they are; where images of different folders share a name, each by the path
    from the folder that they all lie in.

    For a model of several channels, volumes of one channel that differ in a last `_0000`, `_0001`, … are the modalities
    of one image, which is named without the number.

    Raises:
        DataError: two images of one name in one folder; a modality that an image lacks.
    """
    found: list[tuple[Path, str, tuple[Path, ...]]] = []
    of_modalities = task.rank == 3 and task.channels > 1 and _single_channel(files)
    for folder in dict.fromkeys(Path(os.path.abspath(file)).parent for file in files):
        here = [file for file in files if Path(os.path.abspath(file)).parent == folder]
        if of_modalities:
            found += [(folder, stem, parts) for stem, parts in modalities(by_stem(here)).items()]
        else:
            found += [(folder, _stem(file, endings_of(task)), (file,)) for file in here]
    stems = [stem.casefold() for _, stem, _ in found]  # some disks take A.png and a.png for one
    if len(set(stems)) < len(stems):
        top = os.path.commonpath([folder for folder, _, _ in found])
        named = [Input(Path(os.path.relpath(folder, top)) / stem, parts) for folder, stem, parts in found]
    else:
        named = [Input(Path(stem), parts) for _, stem, parts in found]
    if of_modalities:
        return named
    order = {file: number for number, file in enumerate(files)}
    return sorted(named, key=lambda one: order[one.file])


def _single_channel(files: Sequence[Path]) -> bool:
    """Of the first volume that can be read."""
    for file in files:
        try:
            return channels_of([str(file)]) == 1
        except DataError:  # told when it is predicted
            continue
    return False


def _stem(file: Path, endings: Sequence[str]) -> str:
    if file.is_dir():
        return name_of(file)
    return file.name[: -len(next(end for end in endings if file.name.lower().endswith(end)))]
