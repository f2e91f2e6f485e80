"""The segmentation task: what goes in, which classes come out. Made by the data, told to model, loss and metrics.

A task with regions has masks of class ids as any other; what its network predicts and what is scored are unions of
classes, which may overlap (a tumour, its core), after region-based training in nnU-Net (Isensee et al., Nature Methods
2021).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from seglab.errors import ConfigError

# Distinct on white, on black and on grey images; background first.
DEFAULT_COLORS: tuple[tuple[int, int, int], ...] = (
    (0, 0, 0),
    (230, 75, 53),
    (77, 187, 213),
    (0, 160, 135),
    (60, 84, 136),
    (243, 155, 127),
    (255, 200, 60),
    (145, 209, 194),
    (126, 97, 72),
    (180, 100, 200),
    (120, 200, 80),
    (250, 120, 180),
)


@dataclass(frozen=True)
class Region:
    """A union of classes that is predicted and scored as one; it may overlap with others.

    Attributes:
        name: unique among the regions of a task.
        classes: ids of the classes that it is made of; the background (0) is none of them.
        paints: the class id, one of `classes`, that its pixels get in a mask where no later region covers them.
    """

    name: str
    classes: tuple[int, ...]
    paints: int

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Region:
        """The inverse of `dataclasses.asdict`; raises KeyError, TypeError or ValueError for what is none."""
        return cls(str(values["name"]), tuple(int(k) for k in values["classes"]), int(values["paints"]))


@dataclass(frozen=True)
class Task:
    """What is segmented.

    Attributes:
        rank: number of spatial axes, 2 or 3.
        channels: image channels C of `(H, W, C)` or `(X, Y, Z, C)`.
        class_names: one name for each class id, in order.
        class_colors: RGB in 0..255 for each class; the default palette when left empty.
        ignore_label: mask value that is never trained on and never scored.
        unscored: class ids that the mean scores leave out: the background (0), or a void class; none of them in a road
            scene, where every class counts. Every class has a score of its own all the same.
        class_frequencies: share of labelled training pixels or voxels for each class (sums to 1), when known.
        label_values: what each class id is in the mask files of the data, so that predicted masks are stored alike; of
            several values the first. Empty where the ids themselves are.
        regions: unions of classes, each predicted by a sigmoid of its own, in the order in which they are painted into
            a mask; empty where each pixel is predicted to be of one class.
    """

    rank: int
    channels: int
    class_names: tuple[str, ...]
    class_colors: tuple[tuple[int, int, int], ...] = ()
    ignore_label: int = 255
    unscored: tuple[int, ...] = (0,)
    class_frequencies: tuple[float, ...] | None = None
    label_values: tuple[int, ...] = ()
    regions: tuple[Region, ...] = ()

    def __post_init__(self) -> None:
        if self.rank not in (2, 3):
            raise ConfigError(
                "a task is 2D or 3D",
                code="task-rank",
                where="data.rank",
                found=self.rank,
                expected="2 or 3",
                remedy="data.rank=2 for images, data.rank=3 for volumes",
            )
        if len(self.class_names) < 2:
            raise ConfigError(
                "a task needs a background and at least one class",
                code="task-classes",
                where="data.class_names",
                found=list(self.class_names),
                expected="two names or more",
                remedy="for example data.class_names=[background,object]",
            )
        if not set(range(len(self.class_names))) - set(self.unscored):
            raise ConfigError(
                "no class is left for the mean scores",
                code="no-scored-class",
                where="data.unscored",
                found=[self.class_names[k] for k in self.unscored],
                expected="at least one class that counts",
                remedy=f"let one of {', '.join(self.class_names)} count: in a table of labels, one that is not ignored",
            )
        if self.regions:
            self._check_regions()
        if not self.class_colors:
            palette = tuple(DEFAULT_COLORS[i % len(DEFAULT_COLORS)] for i in range(len(self.class_names)))
            object.__setattr__(self, "class_colors", palette)

    def _check_regions(self) -> None:
        known = range(1, self.classes)
        right = all(
            one.classes and set(one.classes) <= set(known) and one.paints in one.classes for one in self.regions
        )
        painted = [one.paints for one in self.regions]
        names = [one.name for one in self.regions]
        if right and len(set(painted)) == len(painted) and len(set(names)) == len(names) and self.unscored == (0,):
            return
        raise ConfigError(
            "regions that do not fit the classes",
            code="regions-invalid",
            where="data.regions",
            found="; ".join(f"{one.name} of classes {list(one.classes)}, painted {one.paints}" for one in self.regions),
            expected=f"names and painted ids that differ, classes of 1 to {self.classes - 1}, the painted id among "
            "them, and a background, class 0, that is not scored",
            remedy="correct the regions, or leave them out",
        )

    @property
    def classes(self) -> int:
        """Number of classes K, background included."""
        return len(self.class_names)

    @property
    def scored(self) -> tuple[int, ...]:
        """Class ids that the mean scores are taken over."""
        return tuple(k for k in range(self.classes) if k not in self.unscored)

    @property
    def binary(self) -> bool:
        """True for background and one foreground class: one sigmoid channel instead of a softmax."""
        return self.classes == 2 and not self.regions

    @property
    def logit_channels(self) -> int:
        """Channels that a model returns: one for each region, else 1 for a binary task, K otherwise."""
        return 1 if self.binary else self.probability_channels

    @property
    def probability_channels(self) -> int:
        """Probabilities of a pixel: of each region, which need not sum to 1, or of each class."""
        return len(self.regions) or self.classes

    @property
    def log_channels(self) -> int:
        """Logarithms of a pixel's probabilities: of each class, or to be in each region and to be outside of each."""
        return 2 * len(self.regions) or self.classes

    @property
    def score_names(self) -> tuple[str, ...]:
        """Names of the scores: of each region, or of each class."""
        return tuple(region.name for region in self.regions) or self.class_names

    @property
    def counted(self) -> tuple[int, ...]:
        """Which of `score_names` the mean scores are taken over, by their place: every region, or `scored`."""
        return tuple(range(len(self.regions))) or self.scored

    @property
    def unions(self) -> tuple[tuple[int, ...], ...]:
        """For each of `score_names` the class ids that it is the union of."""
        return tuple(region.classes for region in self.regions) or tuple((k,) for k in range(self.classes))

    def summary(self) -> str:
        """Rank, channels, classes and regions in words."""
        found = f"{self.rank}D, {self.channels} channel(s), classes {', '.join(self.class_names)}"
        return f"{found}, regions {', '.join(map(self.region_sentence, self.regions))}" if self.regions else found

    def region_sentence(self, region: Region) -> str:
        """A region with its classes, in words."""
        return f"{region.name} ({' + '.join(self.class_names[k] for k in region.classes)})"

    def with_frequencies(self, frequencies: tuple[float, ...]) -> Task:
        """The same task with the class shares of its training split."""
        return replace(self, class_frequencies=frequencies)
