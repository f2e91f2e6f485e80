"""An image as a picture that every browser shows."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image


def preview(image: np.ndarray) -> bytes:
    """A PNG of 8 bits: of a volume the middle plane, of other numbers from the 1st to the 99th of a hundred."""
    shown = image if image.ndim == 3 else np.rot90(image[:, :, image.shape[2] // 2])
    shown = shown if shown.shape[-1] == 3 else shown[..., :1]
    if shown.dtype != np.uint8:
        low, high = np.percentile(shown, (1, 99))
        shown = np.clip((shown - low) / max(float(high - low), 1e-12) * 255, 0, 255).astype(np.uint8)
    room = io.BytesIO()
    Image.fromarray(shown if shown.shape[-1] == 3 else shown[..., 0]).save(room, "PNG", compress_level=1)
    return room.getvalue()
