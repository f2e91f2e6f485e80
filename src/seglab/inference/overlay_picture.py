"""A mask laid over its image in the colours of its classes, with a legend: to look at, not to measure."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from seglab.safety.shown_text import shown
from seglab.task import Task

# A picture for a screen: of a larger image every second, third, … pixel.
LONGEST_SIDE = 4000
_SHARE = 0.5
_LOW, _HIGH = 0.5, 99.5
_LEGEND_WIDTH = 240
_MOST_SAMPLED = 1_000_000


def overlay(image: np.ndarray, mask: np.ndarray, task: Task) -> np.ndarray:
    """`(H', W', 3)` uint8: the image with each class but an unscored background in half its colour, a legend below.

    Of a volume it is the axial plane that holds most pixels of those classes, seen from the feet, front up. Images of
    more than 8 bits are stretched from their 0.5 to their 99.5 percentile; of other than one or three channels the
    first is shown in grey.

    Args:
        image: `(H, W, C)`, or `(X, Y, Z, C)` in RAS order.
        mask: `(H, W)` or `(X, Y, Z)` class ids.
        task: of the model, with names and colours.
    """
    drawn = [k for k in range(task.classes) if k or 0 in task.scored]
    title = ""
    if mask.ndim == 3:
        z = int(np.isin(mask, drawn).sum(axis=(0, 1)).argmax())
        image, mask = np.rot90(image[:, :, z]), np.rot90(mask[:, :, z])
        title = f"plane {z + 1} of 3rd axis"
    step = -(-max(mask.shape) // LONGEST_SIDE)
    image, mask = image[::step, ::step], mask[::step, ::step]
    picture = _grey_or_rgb(image)
    colors = np.array(task.class_colors, np.float32)
    shown_here = np.isin(mask, drawn)
    picture[shown_here] = picture[shown_here] * (1 - _SHARE) + colors[mask[shown_here]] * _SHARE
    return _with_legend(np.round(picture).astype(np.uint8), [k for k in drawn if (mask == k).any()], task, title)


def _grey_or_rgb(image: np.ndarray) -> np.ndarray:
    """`(H, W, 3)` float32 in 0..255."""
    channels = image if image.shape[-1] == 3 else image[..., :3] if image.shape[-1] == 4 else image[..., :1]
    picture = channels.astype(np.float32)
    if image.dtype != np.uint8:
        flat = picture.ravel()
        low, high = np.percentile(flat[:: -(-flat.size // _MOST_SAMPLED)], [_LOW, _HIGH])
        picture = np.clip((picture - low) / max(high - low, 1e-12), 0, 1) * 255
    return np.broadcast_to(picture, (*picture.shape[:-1], 3)).copy()


def _with_legend(picture: np.ndarray, classes: list[int], task: Task, title: str) -> np.ndarray:
    font = ImageFont.load_default(14)
    width, entry = max(picture.shape[1], _LEGEND_WIDTH), 22
    names = [shown(task.class_names[k]).replace("\n", " ") for k in classes] or ["nothing found"]
    lengths = [30 + int(font.getlength(name)) for name in names]
    places, x, row = [], 0, 0
    for length in lengths:
        if x and x + length > width:
            x, row = 0, row + 1
        places.append((x, row))
        x += length
    legend = Image.new("RGB", (width, entry * (row + 1 + bool(title)) + 4), "white")
    draw = ImageDraw.Draw(legend)
    for (x, row), name in zip(places, names, strict=True):
        draw.text((x + 24, 2 + entry * row), name, fill="black", font=font)
    for (x, row), k in zip(places, classes, strict=False):
        y = 4 + entry * row
        draw.rectangle((x + 6, y, x + 20, y + 14), fill=tuple(task.class_colors[k]), outline="black")
    if title:
        draw.text((6, legend.height - entry), title, fill="black", font=font)
    below = np.full((picture.shape[0], width, 3), 255, np.uint8)
    below[:, : picture.shape[1]] = picture
    return np.concatenate([below, np.asarray(legend)])
