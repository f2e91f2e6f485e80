"""What travels with a model's weights, whatever file they lie in."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field, replace
from importlib.metadata import version
from typing import Any, Literal, get_args

from seglab.data.preprocessing.normalisation import Preprocessing
from seglab.data.preprocessing.spacing import Interpolation
from seglab.inference.postprocessing import Step
from seglab.inference.predicted_quality import PredictedQuality
from seglab.run_record import BundleFile, Tag
from seglab.task import Region, Task

VERSIONED = ("seglab", "keras", "tensorflow")

ResizeMode = Literal["resize", "letterbox", "pad", "patch"]


def versions_now() -> dict[str, str]:
    """Of what a bundle is saved with."""
    return {name: version(name) for name in VERSIONED}


@dataclass(frozen=True)
class Member:
    """One network of an ensemble.

    Attributes:
        folder: of its own bundle, within that of the ensemble.
        run: that trained it, where that is known.
        name: of that run.
        part: members of one part have the same windows and are averaged in each; parts on the image's own grid.
        axis: of a volume, across which a 2D member takes it slice by slice; None for one of the task's rank.
    """

    folder: str
    run: str = ""
    name: str = ""
    part: int = 0
    axis: int | None = None

    @property
    def label(self) -> str:
        """How it is called in a message."""
        return f"{self.folder} ({self.name or 'a bundle'}{f', run {self.run[:8]}' if self.run else ''})"

    @classmethod
    def from_dict(cls, number: int, values: dict[str, Any], rank: int) -> Member:
        """The member of this number; raises KeyError, TypeError or ValueError for what is none."""
        member = cls(**values)
        if member.folder != f"{BundleFile.MEMBERS}/{number}":
            raise ValueError(f"member {number} lies in {str(member.folder)[:80]!r}")
        flat = member.axis is not None
        if (flat and (rank != 3 or member.axis not in range(3))) or type(member.part) is not int or member.part < 0:
            raise ValueError(f"member {number} has axis {member.axis!r}, part {member.part!r}")
        return cls(member.folder, str(member.run), str(member.name), member.part, member.axis)


@dataclass(frozen=True)
class Bundle:
    """What travels with the weights.

    Attributes:
        task: rank, channels, classes with names and colours, ignored label.
        preprocessing: fitted on the training split; from raw intensities to the network's input.
        size: spatial size of the network's input.
        resize_mode: how an image of another size is fitted to it: "resize" it, "letterbox" it (resized with its
            proportions kept and a border), "pad" it (windows where it is larger), or cover it with windows ("patch").
        threshold: a binary task's foreground is where its probability is above this, in 0..1.
        spacing: mm between voxels along each axis that images are resampled to first; None where they are taken as
            they are.
        interpolation: of axes that this makes finer, "linear" or "cubic".
        split_digest: names the split that the model was trained on.
        config: the resolved configuration of the run, or what of it may travel.
        versions: of seglab, keras and tensorflow, when it was saved.
        temperature: logits are divided by it.
        overlap: of neighbouring windows, in [0, 1).
        flips: spatial axes for test-time flips.
        reference: what the training images looked like, as `seglab.inference.reference_data` has it.
        quality: from confidence to Dice, as `PredictedQuality.to_dict` has it; empty where it was not fitted.
        members: networks whose probabilities are averaged; empty where there is one alone.
        postprocessing: what is done to each mask in the end.
        previous_stage: digest of the first stage that it was trained behind, see `seglab.data.previous_stage`; empty
            where there was none.
    """

    task: Task
    preprocessing: Preprocessing
    size: tuple[int, ...]
    resize_mode: ResizeMode
    threshold: float = 0.5
    spacing: tuple[float, ...] | None = None
    interpolation: Interpolation = "linear"
    split_digest: str = ""
    config: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=versions_now)
    temperature: float = 1.0
    overlap: float = 0.5
    flips: tuple[int, ...] = ()
    reference: dict[str, Any] = field(default_factory=dict)
    quality: dict[str, Any] = field(default_factory=dict)
    members: tuple[Member, ...] = ()
    postprocessing: tuple[Step, ...] = ()
    previous_stage: str = ""

    @property
    def both_stages(self) -> bool:
        """Whether it holds the first stage of a cascade too, so that it takes images as they are."""
        return bool(self.preprocessing.previous) and self.task.channels == self.preprocessing.channels

    @property
    def image_task(self) -> Task:
        """The task of its images: without the first stage's mask that the images of a second stage have behind them."""
        return replace(self.task, channels=self.preprocessing.image_channels)

    @property
    def mixed(self) -> bool:
        """Whether its members have several plans of windows, so that no one network is all of it."""
        return any(member.part for member in self.members)

    def to_dict(self) -> dict[str, Any]:
        """Everything in JSON's own types."""
        more: dict[str, Any] = {"members": [asdict(member) for member in self.members]} if self.members else {}
        if self.postprocessing:
            more["postprocessing"] = [step.to_dict() for step in self.postprocessing]
        if self.previous_stage:
            more["previous_stage"] = self.previous_stage
        return {
            "task": _task_to_dict(self.task),
            "preprocessing": self.preprocessing.to_dict(),
            "size": list(self.size),
            "resize_mode": self.resize_mode,
            "threshold": self.threshold,
            "spacing": None if self.spacing is None else list(self.spacing),
            "interpolation": self.interpolation,
            Tag.SPLIT_DIGEST: self.split_digest,
            "config": self.config,
            "versions": self.versions,
            "temperature": self.temperature,
            "overlap": self.overlap,
            "flips": list(self.flips),
            "reference": self.reference,
            "quality": self.quality,
            **more,
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Bundle:
        """The inverse of `to_dict`.

        Raises:
            KeyError, TypeError, ValueError: a part is missing or of another kind.
        """
        resize_mode: Any = values.get("resize_mode", values.get("fit"))  # as bundles of before call it
        if resize_mode not in get_args(ResizeMode):
            raise ValueError(f"resize_mode is {resize_mode!r} and not one of {get_args(ResizeMode)}")
        kind = values.get("interpolation", "linear")  # bundles of before it was to choose
        if kind not in get_args(Interpolation):
            raise ValueError(f"interpolation is {kind!r} and not one of {get_args(Interpolation)}")
        quality = PredictedQuality.from_dict(values.get("quality", {}))
        temperature, overlap = float(values.get("temperature", 1.0)), float(values.get("overlap", 0.5))
        fitted = {**values["preprocessing"], "threshold": values["threshold"], "spacing": values["spacing"]}
        fitted["temperature"] = temperature
        if not temperature > 0 or not 0 <= overlap < 1:
            raise ValueError(f"temperature is {temperature}, overlap {overlap}")
        for key, value in fitted.items():
            numbers = value if isinstance(value, list) else [value] if isinstance(value, float) else []
            if not all(math.isfinite(number) for number in numbers):
                raise ValueError(f"{key} is {value}")
        task = _task(values["task"])
        return cls(
            task=task,
            preprocessing=Preprocessing.from_dict(values["preprocessing"]),
            size=tuple(int(side) for side in values["size"]),
            resize_mode=resize_mode,
            threshold=float(values["threshold"]),
            spacing=None if values["spacing"] is None else tuple(float(step) for step in values["spacing"]),
            interpolation=kind,
            split_digest=values[Tag.SPLIT_DIGEST],
            config=values["config"],
            versions=values["versions"],
            temperature=temperature,
            overlap=overlap,
            flips=tuple(int(axis) for axis in values.get("flips", ())),
            reference=dict(values.get("reference", {})),
            quality={} if quality is None else quality.to_dict(),
            members=tuple(Member.from_dict(i, one, task.rank) for i, one in enumerate(values.get("members", ()))),
            postprocessing=tuple(Step.from_dict(one, task) for one in values.get("postprocessing", ())),
            previous_stage=str(values.get("previous_stage", "")),
        )


def _task_to_dict(task: Task) -> dict[str, Any]:
    found = asdict(task)
    return found if task.regions else {key: value for key, value in found.items() if key != "regions"}


def _task(values: dict[str, Any]) -> Task:
    frequencies = values["class_frequencies"]
    return Task(
        rank=values["rank"],
        channels=values["channels"],
        class_names=tuple(values["class_names"]),
        class_colors=tuple(tuple(color) for color in values["class_colors"]),
        ignore_label=values["ignore_label"],
        unscored=tuple(values.get("unscored", (0,))),
        class_frequencies=None if frequencies is None else tuple(frequencies),
        label_values=tuple(values.get("label_values", ())),  # bundles of before have none
        regions=tuple(Region.from_dict(one) for one in values.get("regions", ())),
    )
