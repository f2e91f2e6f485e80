"""Samples for a promptable network: views of objects, each with a prompt that was simulated for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from seglab.data.loading.sampler import Item, Sampler
from seglab.data.preprocessing.geometry import resize_image
from seglab.data.prompts.channels import PROMPT_CHANNELS
from seglab.data.prompts.objects import SceneObject
from seglab.data.prompts.prompted_cases import chosen, drawn_view, object_mask
from seglab.data.prompts.simulation import simulated_prompt
from seglab.data.randomness import generator


class PromptSampler(Sampler):
    """A `Sampler` whose samples are views of objects, with the channels of a prompt behind those of the image.

    Training takes `patches_per_case` samples of each case that holds an object: of a class that is drawn among the
    case's, then of an object of it. The sample is augmented, and the prompt is simulated for the object as it then
    lies. Validation takes the same objects, views and prompts in every epoch.

    Args:
        arrays, cases, task, preprocessing, card: as for `Sampler`.
        objects: of each case, by its id.
        settings: the other settings of `Sampler`.
    """

    def __init__(self, *given: Any, objects: Mapping[str, Sequence[SceneObject]], seed: int, **settings: Any):
        self.objects, self.seed = objects, seed
        super().__init__(*given, seed=seed, **settings)
        self.image_channels = self.task.channels - PROMPT_CHANNELS

    def _items_of(self, case: str) -> list[Item]:
        if not self.objects[case]:
            return []
        if self.training:
            return super()._items_of(case)
        return [Item(case, number) for number in chosen(self.objects[case], self.seed, case)]

    def draw(self, epoch: int, item: Item, image: np.ndarray, mask: np.ndarray) -> None:
        """As `Sampler.draw`, into an image `(*size, C + 4)`."""
        super().draw(epoch, item, image[..., : self.image_channels], mask)
        image[..., self.image_channels :] = simulated_prompt(
            mask, generator(self.seed, "prompt", epoch, item.case, item.draw)
        )

    def _pasted(self, item: Item, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Another sample, in which nothing is the object."""
        image, mask = super()._pasted(item, rng)
        mask[mask == 1] = 0
        return image, mask

    def _cut(self, item: Item, rng: np.random.Generator, image: np.ndarray, mask: np.ndarray) -> None:
        whole_image, whole_mask = self.arrays.read(item.case)
        objects = self.objects[item.case]
        if self.training:
            classes = sorted({one.class_id for one in objects})
            class_id = classes[rng.integers(len(classes))]
            those = [one for one in objects if one.class_id == class_id]
            one = those[rng.integers(len(those))]
        else:
            one, rng = objects[item.draw], generator(self.seed, "view", item.case, item.draw)
        view = drawn_view(one, whole_mask.shape, self.size, rng)
        seen = resize_image(whole_image[view.box], self.size)
        self._normalization(seen, self.arrays.outlines[item.case].intensity, image)
        mask[...] = object_mask(one, view, whole_mask, self.size, self.task.ignore_label)
