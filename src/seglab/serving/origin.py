"""Where the model comes from, and whether there is another by now: a folder, or what a run or the register has."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from seglab.run_record import BundleFile
from seglab.serving.errands import Errands

_REGISTERED = "models:/"
_RESOLVING = "seglab.serving.resolving"


@dataclass(frozen=True)
class Found:
    """A model that can be loaded.

    Attributes:
        folder: exported.
        run: that trained it, as far as is known.
        version: in the register, if it came from there.
    """

    folder: Path
    run: str = ""
    version: str = ""


class Origin(Protocol):
    """Where the model comes from."""

    def newer(self) -> Found | None:
        """What has not been told yet: the model at first, later another one, else None.

        Raises:
            SeglabError: there is none.
            ProcessDied: whoever looks for it has ended.
        """
        ...

    def close(self) -> None:
        """Look no more."""
        ...


@dataclass(frozen=True)
class Exporting:
    """How a model is made that is no exported folder yet.

    Attributes:
        cache: folder of exports, each made once.
        uri: the tracking store; None for the one in `mlruns/`.
        runtime: to export for.
    """

    cache: str
    uri: str | None = None
    runtime: str = "openvino"


def origin_of(word: str, exporting: Exporting) -> Origin:
    """What a word means: an exported folder, or else the folder of a bundle, a run, or a registered model."""
    path = Path(word)
    if path.is_dir() and not (path / BundleFile.CARD).is_file():
        return ExportedFolder(path)
    return TrackedModel(word, exporting)


def default_name(word: str) -> str:
    """Of the model that a word means; the same for all its versions."""
    if word.startswith(_REGISTERED):
        return word.removeprefix(_REGISTERED).partition("@")[0].partition("/")[0]
    return Path(os.path.abspath(word)).name if Path(word).exists() else word


class ExportedFolder:
    """An exported folder, which may be replaced, written anew, or be a link that comes to lead elsewhere."""

    def __init__(self, folder: Path):
        self._folder = folder
        self._seen: object = None

    def newer(self) -> Found | None:
        """See `Origin`; half a copy is told too, and again when more of it is there."""
        stamp = _stamp(self._folder)
        if stamp == self._seen:
            return None
        self._seen = stamp
        return Found(self._folder)

    def close(self) -> None:
        """Nothing is open."""


class TrackedModel:
    """A run, the folder of a bundle, or a registered model. Exported in processes of their own, since that takes MLflow
    and TensorFlow; that of a model under an alias goes on looking for another one."""

    def __init__(self, word: str, exporting: Exporting):
        self._word, self._exporting = word, exporting
        self._watched = word.startswith(_REGISTERED) and "@" in word
        self._process: Errands | None = None
        self._over = False

    def newer(self) -> Found | None:
        """See `Origin`; takes as long as an export where there is a new one."""
        if self._over:
            return None
        if self._process is None or self._process.died:
            settings = {"word": self._word, "cache": self._exporting.cache, "uri": self._exporting.uri}
            self._process = Errands(_RESOLVING, [json.dumps({**settings, "runtime": self._exporting.runtime})])
            self._process.begun()
        fields, _ = self._process.ask({"do": "look"})
        if not self._watched:
            self._over = True
            self.close()
        return Found(Path(fields["folder"]), fields["run"], fields["version"]) if fields["folder"] else None

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()


def _stamp(folder: Path) -> object:
    """What changes whenever a file of an exported folder does."""
    found = []
    for place, _, names in os.walk(folder):
        for name in names:
            file = os.path.join(place, name)
            try:
                seen = os.stat(file)
            except OSError:
                continue
            found.append((file, seen.st_ino, seen.st_size, seen.st_mtime_ns))
    return (os.path.realpath(folder), sorted(found))
