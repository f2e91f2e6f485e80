"""A folder with a pattern of the names in it, such as `masks/{id}_segmentation`: which files are meant, and which part
of their names is the id of the case."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from pathlib import Path

from seglab.data.io.folders import stem_of
from seglab.data.io.image_files import IMAGE_ENDINGS
from seglab.errors import ConfigError

ID = "{id}"


@dataclass(frozen=True)
class NamePattern:
    """`folder/before{id}after.ending`.

    Attributes:
        key: the setting that says it, for messages.
        folder: below `data.root`; empty for that folder itself.
        before, after: what stands around the id in the name of a file, its ending left aside.
        ending: in lower case, that files must have; empty for any that is read.
    """

    key: str
    folder: str
    before: str = ""
    after: str = ""
    ending: str = ""

    @classmethod
    def of(cls, text: str, key: str, root: Path) -> NamePattern:
        """What a setting says: a folder, in which a name without its ending is an id, or a folder and a pattern.

        Raises:
            ConfigError: `{id}` twice or in the name of the folder, or other words in braces.
        """
        folder, _, name = text.rpartition("/")
        if ID not in text and (not re.search(r"\{.*\}", name) or (root / text).is_dir()):
            return cls(key, text)
        if name.count(ID) != 1 or ID in folder:
            raise ConfigError(
                f"a pattern of file names without one {ID}",
                code="file-pattern-invalid",
                where=key,
                found=text,
                expected=f"a folder, or a folder and names with {ID} once: masks/{ID}_mask",
                remedy=f"put {ID}, in lower case, where the names differ from case to case, behind the last /",
            )
        before, after = unicodedata.normalize("NFC", name).split(ID)
        ending = next((end for end in IMAGE_ENDINGS if after.lower().endswith(end)), "")
        return cls(key, folder, before, after[: len(after) - len(ending)], ending)

    @property
    def is_plain(self) -> bool:
        """Whether it is a folder alone, whose every file is meant."""
        return not (self.before or self.after or self.ending)

    @property
    def strictness(self) -> tuple[int, bool]:
        """The larger, the more a name must have to fit."""
        return len(self.before) + len(self.after), bool(self.ending)

    @property
    def endings(self) -> tuple[str, ...]:
        """Those that files may have."""
        return (self.ending,) if self.ending else IMAGE_ENDINGS

    def __str__(self) -> str:
        folder = f"{self.folder.rstrip('/')}/" if self.folder not in ("", ".") else ""
        return f"{folder}{self.before}{ID}{self.after}{self.ending}"

    def id_of(self, file: Path) -> str | None:
        """The part of a file's name that stands for the id; None if the name does not fit.

        Raises:
            DataError: a name that is no text.
        """
        if not file.name.lower().endswith(self.endings):
            return None
        stem = stem_of(file)
        within = stem[len(self.before) : len(stem) - len(self.after)]
        return within if within and stem == f"{self.before}{within}{self.after}" else None
