"""A bundle's folder is written in whole or not at all."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from seglab.errors import DataError
from seglab.run_record import BundleFile
from seglab.runtime.atomic_files import sync


@contextmanager
def placing(path: Path, card: str = BundleFile.CARD) -> Iterator[Path]:
    """Gives a folder to write a bundle into, which becomes `path` in the end; a bundle that is there is replaced.

    Args:
        path: the folder to make.
        card: name of the file that each such folder has.

    Raises:
        DataError: `path` holds something that is not a bundle.
    """
    if path.exists() and not (path / card).is_file():
        raise DataError(
            "cannot write a bundle over something else",
            code="bundle-place-taken",
            where=str(path),
            expected="no such folder, or an older bundle",
            remedy="choose another folder",
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    former = partial.with_name(f"{partial.name}.former")
    try:
        yield partial
        for file in partial.rglob("*"):
            if file.is_file():
                sync(file)
        partial.chmod(0o755)
        _put_in_place(partial, path, former)
    finally:
        for leftover in (partial, former):
            shutil.rmtree(leftover, ignore_errors=True)
    sync(path.parent)


def _put_in_place(partial: Path, path: Path, former: Path) -> None:
    """Renames `partial` to `path`; what was there goes to `former`, and back if that fails."""
    replaces = path.exists()
    if replaces:
        path.rename(former)
    try:
        partial.rename(path)
    except OSError:
        if replaces:
            former.rename(path)
        raise
