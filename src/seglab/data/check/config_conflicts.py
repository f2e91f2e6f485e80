"""What a config intends with a data set and the data set cannot give: a score to choose by, sides to mirror."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from seglab.config.run_config import DataSettings
from seglab.data.augment import Augmentation
from seglab.data.cases import Source
from seglab.data.check.findings import Finding
from seglab.data.check.sides import named_sides
from seglab.data.preprocessing.case_fingerprint import CaseFingerprint
from seglab.data.splits import Split
from seglab.metric_names import MetricName
from seglab.task import Task


def find_intentions(
    config: DataSettings, source: Source, split: Split, facts: Mapping[str, CaseFingerprint]
) -> Iterator[Finding]:
    """Rows for what the config would do with this data in vain or to its harm.

    Args:
        config: monitor and augmentation.
        source: names the classes.
        split: which case is for what.
        facts: of every case.

    Raises:
        ConfigError: an augmentation that the data's rank does not allow.
    """
    yield from find_undefined_monitor(config.trainer.monitor, split, facts, source.task)
    yield from find_mirrored_sides(config.augment.build(source.task), source.task)


def find_undefined_monitor(
    monitor: str, split: Split, facts: Mapping[str, CaseFingerprint], task: Task
) -> Iterator[Finding]:
    """A row when no mask that the monitored score is made from holds any of its classes."""
    name, (score, a_class), _ = MetricName.parse(monitor)
    if score == "loss" or (a_class and a_class not in task.score_names):  # another class is refused before training
        return
    counted = [task.score_names.index(a_class)] if a_class else task.counted
    scored = {k for place in counted for k in task.unions[place]}
    ids = [i for i in getattr(split, name) if i in facts]
    if not ids or any(facts[i].class_pixels[k] for i in ids for k in scored):
        return
    yield Finding.of(
        "monitor-undefined",
        "trainer.monitor",
        f"{monitor}, and no mask of {name} holds {a_class or 'a scored class'}: it is undefined in every epoch",
        "a score that is defined: without one, patience never ends the run and the last epoch is kept",
        f"trainer.monitor={name}_loss; or cases with {a_class or 'such a class'} in {name}",
    )


def find_mirrored_sides(augmentation: Augmentation | None, task: Task) -> Iterator[Finding]:
    """A row when left and right are classes and the augmentation makes the one look like the other.

    Left to right is the first axis of a volume, which is read in RAS, and the second of an image.
    """
    across = 1 if task.rank == 2 else 0
    mirrored = getattr(augmentation, "mirrored", ())  # a user's own augmentation need not say
    sides = named_sides(task.score_names)
    if sides is None or across not in mirrored:
        return
    rest = [axis for axis in mirrored if axis != across]
    off = f"augment.axes=[{','.join(map(str, rest))}]" if rest else "augment.flip=0.0"
    yield Finding.of(
        "sides-mirrored",
        "augment.axes, augment.flip",
        f"mirror images along axis {across} (left to right), and classes named after sides: {sides.names}",
        "no mirror image that shows a left one under the name of left where a right one would be",
        f"{off}; or one class for both sides",
        severity=None if sides.both else "note",
    )
