"""Simulated prompts: what a user might have clicked so far, and the mask that they got for it.

The mix is SAM's (Kirillov et al. 2023, https://arxiv.org/abs/2304.02643): a first click or a box, jittered, then clicks
that correct the mask before, which the network sees too. Where a click goes is RITM's rule, see `clicks`. Both let the
network in training make the masks before; here they are the truth, bent by smooth noise that grows less with each
click. So a sample depends on (seed, epoch, case, draw) alone: any worker can make it, and a resumed run sees the same.
"""

from __future__ import annotations

import numpy as np

from seglab.data.preprocessing.geometry import resize_image
from seglab.data.prompts.channels import Corners, paint_disk, prompt_channels
from seglab.data.prompts.clicks import depth, error_click

# Share of the prompts that have a box, and of those that have nothing but it.
BOXES, BOXES_ALONE = 0.3, 0.35
# A box's corner is off by a normal with this share of its side, at most by so many pixels (SAM's numbers).
JITTER, MOST_JITTER = 0.1, 20.0
# Clicks: geometric with this chance of being the last, at most so many.
LAST_CLICK, MOST_CLICKS = 0.3, 16
# Share of the prompts with several clicks whose mask before is kept from the network.
WITHOUT_BEFORE = 0.15
# Share of the masks before that may have islands far from the object.
FAR_ISLANDS = 0.3


def simulated_prompt(mask: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The channels `(*size, 4)` of a prompt for the object of a mask.

    Args:
        mask: `(*size)`, 1 on the object, 0 on the background, any other value where there is no truth: nothing is
            clicked there.
        rng: draws everything.

    Returns:
        As `prompt_channels`. Of a mask without an object: one click on the background.
    """
    inside, outside = mask == 1, mask == 0
    if not inside.any():
        click = error_click(np.zeros_like(inside), outside, rng)
        return prompt_channels(mask.shape, [click] if click else [])
    box = _jittered_box(inside, rng) if rng.random() < BOXES else None
    if box is not None and rng.random() < BOXES_ALONE:
        return prompt_channels(mask.shape, [], box)
    count = min(int(rng.geometric(LAST_CLICK)), MOST_CLICKS)
    signed = depth(inside) - depth(~inside)
    scale = float(signed.max())
    taken, clicks = np.zeros(mask.shape, bool), []
    before: np.ndarray | None = None
    if box is not None:  # what the box alone has given is corrected
        before = _bent(signed / scale, rng.uniform(0.3, 1.0), rng)
    for number in range(count):
        now = np.zeros(mask.shape, bool) if before is None else before
        click = error_click(inside & ~now, outside & now, rng, taken)
        if click is None:
            break
        clicks.append(click)
        taken[click.place] = True
        if number + 1 < count:
            before = _bent(signed / scale, rng.uniform(0.05, 1.2) / np.sqrt(number + 1), rng)
            for made in clicks:
                paint_disk(before, made.place, bool(made.label))
    if before is not None and rng.random() < WITHOUT_BEFORE:
        before = None
    return prompt_channels(mask.shape, clicks, box, before)


def _bent(height: np.ndarray, severity: float, rng: np.random.Generator) -> np.ndarray:
    """The object of a landscape, whose sea level is raised and lowered by smooth noise of that standard deviation.

    The landscape is 1 where the object is deepest and 0 on its edge. Mostly it falls on outside, so that what is wrong
    lies around the object; of a share of the masks it goes no lower than -1, and strong noise makes islands far away.
    """
    cells = [max(round(side / rng.uniform(4.0, max(side / 2, 5.0))), 2) for side in height.shape]
    noise = resize_image(rng.standard_normal((*cells, 1), dtype=np.float32), height.shape)[..., 0]
    level = np.float32(severity * rng.uniform(-0.5, 0.5))
    floor = -1.0 if rng.random() < FAR_ISLANDS else -3.0
    bent: np.ndarray = np.maximum(height, floor) + np.float32(severity) * noise + level > 0
    return bent


def _jittered_box(inside: np.ndarray, rng: np.random.Generator) -> Corners:
    places = np.nonzero(inside)
    low = np.array([along.min() for along in places], float)
    high = np.array([along.max() + 1 for along in places], float)
    reach = np.minimum(JITTER * (high - low), MOST_JITTER)
    moved = [np.clip(rng.standard_normal(len(reach)) * reach, -MOST_JITTER, MOST_JITTER) for _ in range(2)]
    low, high = np.clip(low + moved[0], 0, inside.shape), np.clip(high + moved[1], 0, inside.shape)
    return np.minimum(low, high - 1).clip(0), np.maximum(high, low + 1)
