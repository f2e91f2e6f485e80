"""Files in the folders of a data set: found by their endings, matched by their names."""

from __future__ import annotations

import os
import shlex
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from seglab.data.cases import natural_key
from seglab.data.io.ome_metadata import ZARR_ENDING
from seglab.errors import DataError, nearest


def existing_root(root: Path) -> Path:
    """`root`, which must be a folder."""
    if not root.is_dir():
        tilde = str(root).startswith("~")
        home = f"the shell leaves ~ as it is behind a word with a point: {root_as_given(os.path.expanduser(root))}"
        raise DataError(
            "data folder not found",
            code="data-folder-missing",
            where="data.root",
            found=str(root if tilde else root.resolve()),
            expected="an existing folder",
            remedy=home if tilde else "give its path: data.root=…",
        )
    return root


def check_root(target: str, arguments: Mapping[str, Any]) -> None:
    """See that the place of the data is there, before anything is loaded that would read it.

    Args:
        target: dotted path of the source's class; of a user's own class, only itself knows what a root is.
        arguments: its settings.

    Raises:
        DataError: no such folder; for a table, no such file.
    """
    root = arguments.get("root")
    if target.startswith("seglab.") and isinstance(root, str) and not Path(root).is_file():
        existing_root(Path(root))


def root_as_given(folder: Path | str) -> str:
    """`data.root` as it is written on a command line."""
    return f"data.root={shlex.quote(str(folder))}"


def files_in(
    root: Path, folder: str, key: str, endings: Sequence[str], *, what: str = "images", instead: str = ""
) -> dict[str, Path]:
    """The files in `root/folder` with one of these endings, by their name without it, in order.

    Args and errors are those of `listed`; two files of one name are refused as well.
    """
    return by_stem(listed(root, folder, key, endings, what=what, instead=instead))


def listed(
    root: Path, folder: str, key: str, endings: Sequence[str], *, what: str = "images", instead: str = ""
) -> list[Path]:
    """The files in `root/folder` with one of these endings, in order; hidden ones are left out.

    Args:
        root: `data.root`.
        folder: below it.
        key: the setting that names the folder, for messages; `data.root` for one that has to be called so.
        endings: in lower case; files may have them in upper case.
        what: the files are, for messages.
        instead: of the folder, what else would do; for messages.

    Raises:
        DataError: no such folder, no such file in it.
    """
    path = existing_root(root) / folder
    if not path.is_dir():
        there = sorted(entry.name for entry in root.iterdir() if entry.is_dir())
        expected, remedy = "one of the folders in data.root: " + ", ".join(there), f"{key}=<name of the folder>"
        if key == "data.root":  # the names of the folders are those of the set
            expected, remedy = f"{folder} in data.root", f"data.root=<the folder that holds {folder}>"
        elif not there:
            expected = "one of the folders in data.root, which holds none"
            remedy = "data.root=<folder that holds those of images and masks>"
        else:
            remedy = nearest(folder, there) or remedy
        raise DataError(
            "data folder not found",
            code="data-folder-missing",
            where=key,
            found=str(path),
            expected=instead + expected,
            remedy=remedy,
        )
    found = visible(path, endings)
    if not found:
        others = sorted(entry.name for entry in path.iterdir() if entry.is_file() and entry.name[0] != ".")
        packed = bool(others) and others[0].lower().endswith(".gz")
        raise DataError(
            f"a data folder without {what}",
            code="data-folder-incomplete",
            where=str(path),
            found="no file ending in "
            + ", ".join(endings)
            + (f"; {len(others)} other files, such as {others[0]}" if others else ""),
            expected="at least one",
            remedy="unpack the files: gzip -d <file>" if packed else f"check {key}, or convert the files",
        )
    return found


def visible(folder: Path, endings: Sequence[str]) -> list[Path]:
    """The files in a folder with one of these endings, in lower or upper case, in order, but the hidden ones (such as
    the `._x.png` of macOS)."""
    with os.scandir(folder) as entries:
        names = [
            entry.name
            for entry in entries
            if entry.name.lower().endswith(tuple(endings)) and not entry.name.startswith(".") and _is_file(entry)
        ]
    return [folder / name for name in sorted(names)]


def _is_file(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_file()
    except OSError:  # a link that leads to itself
        return False


def by_stem(files: Iterable[Path]) -> dict[str, Path]:
    """Files by their name without ending; raises `DataError` for two of one name, such as `.nii` and `.nii.gz`."""
    found: dict[str, Path] = {}
    for file in files:
        other = found.setdefault(name_of(file), file)
        if other is not file:
            raise DataError(
                "two files of one name",
                code="file-names-collide",
                where=str(file.parent),
                found=f"{other.name} and {file.name}",
                expected="one file for each name, since image and mask are matched by it",
                remedy="move one of them elsewhere, or give it a name of its own",
            )
    return found


def name_of(volume: Path) -> str:
    """Of a file `stem_of`; of a folder its name, without the ending of Zarr."""
    if not volume.is_dir():
        return stem_of(volume)
    stem = volume.name[: -len(ZARR_ENDING)] if volume.name.lower().endswith(ZARR_ENDING) else volume.name
    return (stem[: -len(".ome")] if stem.lower().endswith(".ome") else stem) or volume.name


def stem_of(path: Path | str) -> str:
    """The name without its ending (`.nii.gz` is one), the same for an é in one character (Linux, Windows) or in two
    (macOS); raises `DataError` for a name that is no UTF-8."""
    folder, name = os.path.split(path)
    if not name.isascii():
        try:
            name.encode()
        except UnicodeEncodeError as error:
            raise DataError(
                "a file name that is no text",
                code="file-name-not-text",
                where=folder or ".",
                found=ascii(name),
                expected="a name in UTF-8",
                remedy="rename the file; it becomes the id of its case",
            ) from error
        name = unicodedata.normalize("NFC", name)
    name = name[: -len(".gz")] if name.lower().endswith(".nii.gz") else name
    dot = name.rfind(".")
    return name[:dot] if 0 < dot < len(name) - 1 else name


def check_partners(images: Mapping[str, Path], masks: Mapping[str, Path]) -> None:
    """Refuse an image without a mask and a mask without an image; both are keyed by the name that must be equal."""
    for what, finding, here, there in (
        ("an image without a mask", "image-without-mask", images, masks),
        ("a mask without an image", "mask-without-image", masks, images),
    ):
        alone = sorted(set(here) - set(there), key=natural_key)
        if alone:
            folder = next(iter(there.values())).parent
            alike = {name.casefold(): file for name, file in there.items()}.get(alone[0].casefold())
            raise DataError(
                what,
                code=finding,
                finding=finding,
                where=str(here[alone[0]]),
                found=f"{len(alone)} such files" if len(alone) > 1 else f"no {alone[0]}.* in {folder}",
                expected=f"a file of the same name in {folder}",
                remedy=f"rename {alike.name}, or this file: capital and small letters are not the same"
                if alike is not None
                else "add the missing files or remove these; the names must be equal up to the ending",
            )
