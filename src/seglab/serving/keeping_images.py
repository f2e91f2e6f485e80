"""Images that were answered, kept where that was asked for, with their masks; the oldest make room for new ones."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from seglab.monitoring.kept_images import IMAGES, PREDICTED, kept_name
from seglab.runtime.atomic_files import write_bytes

_ENDINGS = {b"\x89PNG": ".png", b"\xff\xd8\xff": ".jpg", b"II*\x00": ".tif", b"MM\x00*": ".tif", b"BM": ".bmp"}
_LEFT = 0.9  # of the room, once the oldest were taken away


class KeptImages:
    """A folder of them, filled by the process of the model. What cannot be written is not kept, and costs no answer.

    Args:
        folder: made with the first image.
        most_bytes: of all together.
    """

    def __init__(self, folder: Path, most_bytes: int):
        self._folder, self._most = folder, most_bytes
        self._bytes = sum(size for _, size, _ in self._files())

    def keep(self, digest: str, body: bytes, mask: bytes, ending: str) -> bool:
        """Keep an image and the mask that was answered.

        Args:
            digest: of the body.
            body: as it was sent; `.nii.gz` where nothing else is known of it.
            mask: a file of the values of the classes.
            ending: of that file.

        Returns:
            Whether it is there now.
        """
        kind = next((kind for start, kind in _ENDINGS.items() if body.startswith(start)), ".nii.gz")
        name = kept_name(digest)
        if len(body) + len(mask) > self._most:
            return False
        try:
            for part, content, end in ((IMAGES, body, kind), (PREDICTED, mask, ending)):
                place = self._folder / part / f"{name}{end}"
                if not place.exists():
                    self._bytes += len(content)
                place.parent.mkdir(parents=True, exist_ok=True)
                write_bytes(place, content)
            if self._bytes > self._most:
                self._make_room()
        except OSError:
            return False
        return True

    def _make_room(self) -> None:
        files = sorted(self._files())
        self._bytes = sum(size for _, size, _ in files)
        for _, size, file in files:
            if self._bytes <= _LEFT * self._most:
                return
            with suppress(FileNotFoundError):  # another process was there first
                file.unlink()
            self._bytes -= size

    def _files(self) -> list[tuple[float, int, Path]]:
        found = []
        for part in (IMAGES, PREDICTED):
            for file in (self._folder / part).glob("[0-9a-f]*"):
                with suppress(FileNotFoundError):
                    facts = file.stat()
                    found.append((facts.st_mtime, facts.st_size, file))
        return found
