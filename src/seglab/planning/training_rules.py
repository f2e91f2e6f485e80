"""Rules for how a network is trained: batches, normalisation, augmentation, loss, learning rate, folds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from seglab.data.check.sides import named_sides
from seglab.planning.budget import Budget
from seglab.planning.choices import AS_GIVEN, Choices
from seglab.planning.fingerprint import Fingerprint
from seglab.planning.shape_rules import Topology

FOLDS = 5
# The fewest and the most samples of a batch: more gain little.
BATCHES = {"volumes": (2, 4), "images": (2, 8), "slices": (4, 16)}
# Of larger volumes a batch holds the fewest: more steps teach more.
SMALL_VOLUME = 32**3
# Schedules whose learning rate is near 0 in the last epoch.
FALLING = ("cosine", "polynomial")
# Below this share of the foreground objects are tiny.
TINY = 0.01
# A value below is in Hounsfield units: air in an image of anything else is not so far below 0.
HOUNSFIELD = -200.0
SMALL_SET = 50
MOST_PATCHES = 8
# Spread of the foreground shares, over their mean, from which folds are dealt by it.
UNEVEN = 1.0


def batch_for(
    kind: str, size: Sequence[int], fingerprint: Fingerprint, network: Topology, budget: Budget
) -> tuple[int, str]:
    """Samples of a batch, and why; `kind` and `size` of a sample are the plan's."""
    fewest, most = BATCHES[kind]
    if kind == "volumes" and np.prod(size) > SMALL_VOLUME:
        most = fewest
    cases = len(fingerprint.shapes)
    fitting = [
        n
        for n in range(fewest, most + 1, 2)
        if network.stages.step_bytes(size, n, fingerprint.channels) <= budget.room and n <= max(cases, fewest)
    ]
    batch = min(max(fitting, default=fewest), max(cases, 1))
    if batch < most:
        limit = f"{cases} training cases" if batch >= cases else f"budget.memory_gb={budget.memory_gb:g}"
        return batch, f"as many as {limit} allow"
    return batch, "more steps teach more than larger batches" if kind == "volumes" else "more in a batch gain little"


def choose_normalisation(choices: Choices, fingerprint: Fingerprint) -> str | None:
    """Modality of volumes and `data.normalize`; returns the modality."""
    if fingerprint.rank == 2:
        if fingerprint.mixed_scale:
            choices.choose("data.normalize", "zscore", "the images' numbers count in no common unit")
        else:
            choices.choose("data.normalize", "standard", "all images count in one unit: mean and deviation of training")
        return None
    below = [low < HOUNSFIELD for low, *_ in fingerprint.intensity]
    if fingerprint.modality is not None:
        modality, why = fingerprint.modality, "dataset.json says so"
    elif below and all(below):
        modality, why = "ct", f"values below {HOUNSFIELD:g}, as only Hounsfield units have them"
    else:
        modality, why = "mri", "nothing says CT, so each volume is taken on its own scale"
        if any(below):
            why = "channels of CT beside others: one way for all, each volume by its own percentiles"
    chosen: str = choices.choose("data.modality", modality, why)
    ways = {"ct": ("window", "CT has a scale of its own: one window of intensities for all")}
    way, reason = ways.get(chosen, ("zscore", "the numbers of a scanner mean nothing in another volume"))
    choices.choose("data.normalize", way, reason)
    return chosen


def choose_augmentation(choices: Choices, fingerprint: Fingerprint, modality: str | None) -> None:
    """The group `augment` and what is changed of it."""
    sides = named_sides(fingerprint.class_names)
    if fingerprint.rank == 3:
        choices.choose("augment", "mri", "turns, scales and bends in mm, gamma, noise and blur")
        if modality == "ct":
            choices.choose("augment.bias", 0.0, "uneven coils are of MRI; CT has none")
    elif len(fingerprint.shapes) < SMALL_SET:
        choices.choose("augment", "strong", f"{len(fingerprint.shapes)} training images are few")
    else:
        choices.choose("augment", "light", f"{len(fingerprint.shapes)} training images show much variety themselves")
    if sides is not None and sides.both:
        choices.choose("augment.flip", 0.0, f"left and right are classes ({sides.names}): a mirror image lies")
        if fingerprint.rank == 2:
            choices.choose("augment.rotate90", 0.0, "a quarter turn takes left and right away")
    elif fingerprint.rank == 3:
        choices.choose("augment.flip", 0.5, "no class is named after a side: left and right may change places")
    elif fingerprint.channels == 3:
        choices.choose("augment.axes", [1], "colour images have an up and a down; left and right may change places")
    else:
        choices.choose("augment.flip", 0.5, "no class is named after a side, and images of one channel have no up")


def choose_foreground(choices: Choices, fingerprint: Fingerprint, covered: float, most: int) -> None:
    """Share of boxes around the foreground, and how many boxes of a case make an epoch: `most` where hours are few."""
    if choices.made["data.resize_mode"].value != "patch":
        choices.choose("data.foreground_share", 0.0, "every sample is a whole case")
        choices.choose("data.patches_per_case", 1, "a whole case is seen once in an epoch")
        return
    rarest = min((one.share for one in fingerprint.classes if one.cases), default=0.0)
    if rarest < TINY:
        choices.choose("data.foreground_share", 0.5, f"the rarest class covers {rarest:.2g} of the training voxels")
    else:
        choices.choose("data.foreground_share", 0.33, f"the rarest class covers {rarest:.1%}: a third is enough")
    patches = int(np.clip(round(1 / max(covered, 1e-6)), 1, MOST_PATCHES))
    few = max(most, 1) < patches
    why = f"a patch covers {100 * covered:.2g}% of the median case"
    why += ", and with more the hours would leave few epochs" if few else ""
    choices.choose("data.patches_per_case", min(patches, max(most, 1)), why)


def choose_loss(choices: Choices, fingerprint: Fingerprint) -> None:
    """Loss, optimizer and its learning rate, schedule, and which epoch is kept."""
    choices.choose("loss", "combined", "overlap, which is scored, and cross-entropy, whose gradient is never flat")
    held = [one.cases for one in fingerprint.classes]
    patches = choices.made["data.resize_mode"].value == "patch"
    if patches or min(held, default=0) < len(fingerprint.shapes):
        why = "a patch may miss a class" if patches else f"a class is in {min(held)} of {len(fingerprint.shapes)} cases"
        choices.choose("loss.batch_dice", True, f"{why}: its overlap is counted over the batch")
    else:
        choices.choose("loss.batch_dice", False, "every training case holds every class")
    choices.choose("optimizer", "adam", "no learning rate is to be tuned by hand")
    if choices.made["model"].value == "unet3d":
        choices.choose("optimizer.learning_rate", 0.002, "as in experiments/hippocampus_folds; not tuned on this data")
    else:
        choices.choose("optimizer.learning_rate", 0.001, "the optimizer's own; not tuned on this data")
    schedule = choices.choose("schedule", "cosine", "falls to 0 at the end of the budget")
    if choices.given.get("trainer.epochs") == 1:
        choices.choose("schedule.warmup_epochs", 0.0, "the one epoch would be all of it")
    else:
        choices.choose("schedule.warmup_epochs", 1.0, "batch statistics and moments are those of real batches first")
    patience = choices.choose("trainer.patience_epochs", None, "the learning rate falls until the last epoch")
    if schedule in FALLING and patience is None:
        why = "the learning rate has come to its end; few validation cases choose by luck"
        choices.choose("trainer.keep", "last", why)
    else:
        choices.choose("trainer.keep", "best", "the learning rate may not have come to its end in the last epoch")


def choose_folds(choices: Choices, fingerprint: Fingerprint) -> tuple[str, tuple[int, ...], str]:
    """Splits and the sweep over them: its key, its values, why."""
    groups = fingerprint.groups
    choices.choose("data.split_seed", 0, "the folds of every run and of every later study are the same")
    if "data.fold" in choices.given:
        return "data.fold", (choices.given["data.fold"],), AS_GIVEN
    if fingerprint.own_folds:
        choices.choose("data.folds", fingerprint.own_folds, "as many as data.folds_file has")
        return "data.fold", tuple(range(fingerprint.own_folds)), "each fold of the data set is tested once"
    if fingerprint.own_split and "data.folds" not in choices.given:
        return "seed", (0, 1, 2), "the data set has its own split, which stays: three seeds in place of folds"
    if groups < 2:
        choices.choose("data.validate_on_train", True, "one case: nothing can be held out")
        choices.choose("data.split", {"train": 1.0, "val": 0.0, "test": 0.0}, "one case or group is all there is")
        return "seed", (0,), "one case: the score says how well it is memorised, and nothing of another case"
    folds: int = choices.choose(
        "data.folds",
        min(FOLDS, groups),
        f"{fingerprint.cases} cases in {groups} groups, and no group in two folds",
    )
    if groups == 2:
        choices.choose("data.split", {"train": 1.0, "val": 0.0, "test": 0.0}, "two groups: one trains, one is tested")
        choices.choose("trainer.monitor", "train_dice", "no case is left to validate on")
    shares = np.array(fingerprint.foreground)
    uneven = len(shares) > 2 and shares.std() > UNEVEN * shares.mean()
    why = "cases hold as unlike shares of foreground" if uneven else "cases hold alike shares of foreground"
    choices.choose("data.stratify", bool(uneven), why)
    return "data.fold", tuple(range(folds)), "each case is tested once"
