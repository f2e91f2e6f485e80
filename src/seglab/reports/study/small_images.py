"""Pictures small enough to be kept in a repository."""

from __future__ import annotations

import io
from dataclasses import replace
from itertools import product

from PIL import Image

from seglab.reports.document import PageSection, Picture

LIMIT = 150_000
_SCALES, _QUALITIES = (1.0, 0.75, 0.5, 0.35, 0.25, 0.1), (88, 75, 60)


def small(content: bytes) -> bytes:
    """The PNG as it is when it has at most `LIMIT` bytes, else the best JPEG of it that has."""
    if len(content) <= LIMIT:
        return content
    encoded = content
    image = Image.open(io.BytesIO(content)).convert("RGB")
    for scale, quality in product(_SCALES, _QUALITIES):
        shape = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
        buffer = io.BytesIO()
        resized = image if scale == 1 else image.resize(shape, Image.Resampling.LANCZOS)
        resized.save(buffer, "JPEG", quality=quality, optimize=True)
        encoded = buffer.getvalue()
        if len(encoded) <= LIMIT:
            break
    return encoded


def with_small_pictures(section: PageSection) -> PageSection:
    """The section with pictures for a repository."""
    return replace(section, pictures=[Picture(p.name, small(p.png), p.caption) for p in section.pictures])
