"""The plan of a study: every rule in its order, from a fingerprint and a budget to settings with reasons."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from seglab.errors import ConfigError, DataError
from seglab.planning.budget import EPOCHS, Budget, epochs_within
from seglab.planning.choices import Choice, Choices
from seglab.planning.cost import THROUGHPUT
from seglab.planning.fingerprint import Fingerprint
from seglab.planning.notes import notes_of
from seglab.planning.shape_rules import (
    WHOLE_IMAGE,
    Topology,
    coverage,
    fitted,
    largest_fitting,
    network_for,
    shapes_at,
    steps_at,
    target_spacing,
)
from seglab.planning.training_rules import (
    BATCHES,
    batch_for,
    choose_augmentation,
    choose_folds,
    choose_foreground,
    choose_loss,
    choose_normalisation,
)

# Channels of the first stage, and the largest input in pixels or voxels: the first pair is taken that leaves time to
# see each case so often. Of volumes none is below 16: with 8 channels, which fill no vector unit, a step took as long.
WIDTHS = {2: (32, 16, 8), 3: (32, 16)}
INPUTS = {2: ((WIDTHS[2], math.inf),), 3: ((WIDTHS[3], math.inf), *(((16,), side**3) for side in (128, 96, 64)))}
TIMES_SEEN = 20
# Volumes are taken as large as the largest, unless that is so many times as many voxels as the median needs.
MOSTLY_BORDER = 1.25


@dataclass(frozen=True)
class Plan:
    """A study before it is written.

    Attributes:
        choices: every setting, groups first.
        sweep: key, values and reason of what is swept.
        notes: what the reader must know: shortfalls, and what the data are like.
        kind: `volumes`, `slices` or `images`.
        covered: share of the median case that the network sees at once.
    """

    choices: tuple[Choice, ...]
    sweep: tuple[str, tuple[int, ...], str]
    notes: tuple[str, ...]
    kind: str
    covered: float

    def value(self, key: str) -> Any:
        """What a setting is."""
        return next(one.value for one in self.choices if one.key == key)

    @property
    def jobs(self) -> int:
        """Runs of the study."""
        return len(self.sweep[1])


def make_plan(
    fingerprint: Fingerprint,
    budget: Budget,
    given: Mapping[str, Any] | None = None,
    configuration: str | None = None,
    epochs: int | None = None,
    spacing: tuple[list[float], str] | None = None,
) -> Plan:
    """Plan a study.

    Args:
        fingerprint: of the training cases.
        budget: of the whole study.
        given: settings that the user gave, by key; they go before every rule.
        configuration: `volumes` or `slices` of volumes, `images`; None: as the data are.
        epochs: that a measured step leaves time for; None: by an estimate.
        spacing: of a first stage, and why; None: by the rule for a network that is alone.

    Raises:
        DataError: nothing can be learnt from these cases.
        ConfigError: a configuration of other data, or a plan that the budget has no room for.
    """
    kind = _kind(fingerprint, configuration)
    _check_learnable(fingerprint)
    choices = Choices(given or {})
    wanted = choices.choose("data.spacing", *(spacing or target_spacing(fingerprint)))
    shapes = shapes_at(fingerprint, wanted)
    if kind == "slices":
        shapes = np.concatenate([shapes[:, :2], np.ones((len(shapes), 1))], axis=1)
    steps = steps_at(fingerprint, wanted)
    sweep = choose_folds(choices, fingerprint)
    network, covered = _choose_input(choices, fingerprint, budget, kind, shapes, steps, len(sweep[1]))
    modality = choose_normalisation(choices, fingerprint)
    seen = budget.study_hours * 3600 / len(sweep[1]) * THROUGHPUT / _operations(choices, network, fingerprint)
    of_case = covered / fingerprint.median_shape[2] if kind == "slices" else covered
    choose_foreground(choices, fingerprint, of_case, int(seen / TIMES_SEEN))
    choose_augmentation(choices, fingerprint, modality)
    choose_loss(choices, fingerprint)
    _choose_epochs(choices, budget, network, fingerprint, len(sweep[1]), epochs)
    ordered = sorted(choices.made.values(), key=lambda one: "." in one.key)
    return Plan(tuple(ordered), sweep, tuple(notes_of(fingerprint, kind, steps)), kind, covered)


def _kind(fingerprint: Fingerprint, configuration: str | None) -> str:
    fitting = ("images",) if fingerprint.rank == 2 else ("volumes", "slices")
    if configuration is not None and configuration not in fitting:
        raise ConfigError(
            "a configuration of other data",
            code="plan-configuration",
            where="configuration",
            found=f"{configuration}, and {fingerprint.rank}D data",
            expected=" or ".join(fitting),
            remedy=f"configuration={fitting[0]}",
        )
    if configuration is None and fingerprint.rank == 3 and fingerprint.median_shape[2] == 1:
        return "slices"
    return configuration or fitting[0]


def _check_learnable(fingerprint: Fingerprint) -> None:
    if not any(one.cases for one in fingerprint.classes):
        raise DataError(
            "nothing to learn: no training mask holds a class that is scored",
            code="plan-nothing-to-learn",
            where="the masks of the training split",
            found=f"{len(fingerprint.shapes)} masks without {', '.join(one.name for one in fingerprint.classes)}",
            expected="one case or more that holds one",
            remedy="check the labels: seglab check-data with the same words",
        )


def _choose_input(
    choices: Choices,
    fingerprint: Fingerprint,
    budget: Budget,
    kind: str,
    shapes: np.ndarray,
    steps: Sequence[float],
    jobs: int,
) -> tuple[Topology, float]:
    """Input size, batch, and network; returns its stages and how much of the median case it covers."""
    channels = fingerprint.channels
    fewest = BATCHES[kind][0]
    median, largest = np.median(shapes, axis=0), shapes.max(axis=0)
    wanted = [float(n) for n in largest]
    if kind != "volumes" and max(largest) > WHOLE_IMAGE:
        wanted = [min(float(n), float(WHOLE_IMAGE)) for n in median]
    width, network, size, most_seen = _widest(choices, fingerprint, budget, wanted, steps, fewest, jobs)
    given = choices.given.get("data.size")
    whole = all(n >= full for n, full in zip(size, wanted, strict=True)) and kind != "slices"
    whole = whole and all(n >= full for n, full in zip(size, largest, strict=True))
    if not whole:  # a patch is cut from the middle of the sizes, not from the largest
        smaller = [min(a, b) for a, b in zip(wanted, median, strict=True)]
        size = largest_fitting(smaller, steps, width, fewest, channels, budget.room, most_seen)
    middle = fitted(median, network.multiple)
    boxed = whole and kind == "volumes" and math.prod(size) > MOSTLY_BORDER * math.prod(middle)
    if boxed:  # most of the largest case's box would be border: nnU-Net too sees the median case at once
        size = middle
    shape_reason = "×".join(f"{int(n)}" for n in (largest if whole and not boxed else median))
    what = "slice" if kind == "slices" else "case"
    if boxed:
        why = f"the median training case ({shape_reason}), rounded up: room for the largest would be mostly border"
    elif whole:
        why = f"the largest training {what} ({shape_reason}), rounded up to what the network halves"
    else:
        limits = "memory and hours allow" if kind == "volumes" else "memory allows, at most 512 a side"
        why = f"as much of the median {what} ({shape_reason}) as {limits}"
    size = list(choices.choose("data.size", size, why))
    covered = coverage(size, median)
    if given is not None:
        whole, boxed = all(n >= full for n, full in zip(size, largest, strict=True)) and kind != "slices", False
        network = network_for(size, steps, width)
    elif boxed or not whole:
        network = network_for(size, steps, width)
    if whole:
        larger = "; of larger ones, boxes at random" if boxed else ""
        choices.choose("data.resize_mode", "pad", f"whole cases, with a border where one is smaller{larger}")
    else:
        choices.choose("data.resize_mode", "patch", f"{100 * covered:.2g}% of the median {what} is seen at once")
    choices.choose("data.batch_size", *batch_for(kind, size, fingerprint, network, budget))
    _choose_network(choices, kind, network, width)
    _refuse_too_large(choices, network, budget, steps, width, channels, median)
    return network, covered


def _widest(
    choices: Choices,
    fingerprint: Fingerprint,
    budget: Budget,
    wanted: Sequence[float],
    steps: Sequence[float],
    batch: int,
    jobs: int,
) -> tuple[int, Topology, list[int], float]:
    """Width, stages, input, and the most pixels or voxels of it, of the first of `INPUTS` that there is time for."""
    seconds, given = budget.study_hours * 3600 / jobs, choices.given.get("model.width")
    for widths, most in INPUTS[fingerprint.rank]:
        for width in (given,) if given else widths:
            size = largest_fitting(wanted, steps, width, batch, fingerprint.channels, budget.room, most)
            network = network_for(size, steps, width)
            size = fitted(size, network.multiple)
            operations = network.stages.step_operations(size, len(fingerprint.shapes), fingerprint.channels)
            if operations * TIMES_SEEN / THROUGHPUT <= seconds:
                return width, network, size, most
    return width, network, size, most


def _operations(choices: Choices, network: Topology, known: Fingerprint) -> float:
    """Of a training step for each training case once."""
    return network.stages.step_operations(choices.made["data.size"].value, len(known.shapes), known.channels)


def _choose_network(choices: Choices, kind: str, network: Topology, width: int) -> None:
    stages = network.stages
    depth = len(stages.widths) - 1
    model_given = choices.given.get("model")
    if network.isotropic and kind != "slices" and depth and not str(model_given or "").startswith("dynunet"):
        model = choices.choose("model", "unet" if kind == "images" else "unet3d", "axes are alike: the plain U-Net")
        if model in ("unet", "unet3d"):
            choices.choose("model.depth", depth, f"halved {depth} times, no axis has fewer than 4 positions left")
            widths = WIDTHS[2 if kind == "images" else 3]
            choices.choose("model.width", width, f"the widest of {widths} that the hours let learn, else the last")
        return
    why = "slices: kernels and strides of 1 across them, which is a 2D network" if kind == "slices" else "axes differ"
    model = choices.choose("model", "dynunet2d" if kind == "images" else "dynunet", why)
    if model_given is None or model.startswith("dynunet"):
        count = len(stages.widths)
        choices.choose("model.widths", list(stages.widths), f"twice as many each time, from {width}")
        choices.choose("model.strides", [_plain(one) for one in stages.strides], "coarse axes wait for the fine ones")
        choices.choose("model.kernels", [_plain(one) for one in stages.kernels], "1 where the next voxel is far away")
        choices.choose("model.encoder_blocks", [2] * count, "as nnU-Net has it")


def _plain(one: Any) -> Any:
    return list(one) if isinstance(one, tuple) else one


def _refuse_too_large(
    choices: Choices,
    network: Topology,
    budget: Budget,
    steps: Sequence[float],
    width: int,
    channels: int,
    median: np.ndarray,
) -> None:
    size, batch = choices.made["data.size"].value, choices.made["data.batch_size"].value
    needed = network.stages.step_bytes(size, batch, channels)
    if needed <= budget.room:
        return
    smaller = largest_fitting(np.minimum(median, size).tolist(), steps, width, batch, channels, budget.room)
    fits = network_for(smaller, steps, width).stages.step_bytes(smaller, batch, channels) <= budget.room
    nearest = f"data.size=[{','.join(map(str, smaller))}], or " if fits else ""
    raise ConfigError(
        "a plan that the memory has no room for",
        code="plan-does-not-fit",
        where="budget.memory_gb",
        found=f"{needed / 1e9:.1f} GB for batches of {batch} of {'×'.join(map(str, size))}, about",
        expected=f"at most {budget.room / 1e9:.1f} of the {budget.memory_gb:g} GB",
        remedy=f"the nearest that fits: {nearest}budget.memory_gb={-(-needed // 0.85e9):.0f}",
    )


def _choose_epochs(
    choices: Choices, budget: Budget, network: Topology, fingerprint: Fingerprint, jobs: int, epochs: int | None
) -> None:
    why = f"as many as {budget.leaving} leave to {jobs} runs, by the measured steps of forecast.md"
    if epochs is None:
        operations = _operations(choices, network, fingerprint) * choices.made["data.patches_per_case"].value
        epochs = epochs_within(budget.study_hours * 3600 / jobs / (operations / THROUGHPUT)) or EPOCHS[0]
        why = f"about as many as {budget.leaving} leave to {jobs} runs; nothing was measured"
    choices.choose("trainer.epochs", epochs, why)
