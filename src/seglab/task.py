"""The segmentation task: what goes in, which classes come out. Made by the data, told to model, loss and metrics."""

from __future__ import annotations

from dataclasses import dataclass, replace

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
    """

    rank: int
    channels: int
    class_names: tuple[str, ...]
    class_colors: tuple[tuple[int, int, int], ...] = ()
    ignore_label: int = 255
    unscored: tuple[int, ...] = (0,)
    class_frequencies: tuple[float, ...] | None = None
    label_values: tuple[int, ...] = ()

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
        if not self.class_colors:
            palette = tuple(DEFAULT_COLORS[i % len(DEFAULT_COLORS)] for i in range(len(self.class_names)))
            object.__setattr__(self, "class_colors", palette)

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
        return self.classes == 2

    @property
    def logit_channels(self) -> int:
        """Channels that a model returns: 1 for a binary task, K otherwise."""
        return 1 if self.binary else self.classes

    def with_frequencies(self, frequencies: tuple[float, ...]) -> Task:
        """The same task with the class shares of its training split."""
        return replace(self, class_frequencies=frequencies)
