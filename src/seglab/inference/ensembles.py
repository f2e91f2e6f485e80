"""Several bundles as one: probabilities averaged, under one description, with a folder for each member.

Members with the same windows and the same kind of normalisation are one network (`seglab.models.members`), averaged in
each window, so that memory does not grow with the image for each of them. Others, and 2D members of a 3D task, are
parts of their own, averaged on the image's own grid (`seglab.inference.mixed_predictor`).
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seglab.data.preprocessing.normalisation import Preprocessing
from seglab.errors import DataError
from seglab.inference.bundle import (
    CARD_FILE,
    EXAMPLE_FILE,
    FIRST_STAGE,
    MEMBERS_FOLDER,
    MODEL_FILE,
    check_files,
    load_bundle,
    read_bundle,
    write_card,
)
from seglab.inference.description import Bundle, Member, versions_now
from seglab.inference.placing import placing
from seglab.inference.postprocessing import Step
from seglab.task import Task

if TYPE_CHECKING:
    import keras

    from seglab.inference.predictor import Predictor

MOST_MEMBERS = 100


@dataclass(frozen=True)
class MemberSource:
    """What becomes a member.

    Attributes:
        folder: of its bundle.
        run, name: of the run that trained it, where that is known.
        axis: across which a 2D bundle takes volumes; None for one of the task's rank.
    """

    folder: Path
    run: str = ""
    name: str = ""
    axis: int | None = None


def save_ensemble(
    path: Path | str,
    sources: Sequence[MemberSource],
    *,
    config: dict[str, Any] | None = None,
    split_digest: str = "",
    flips: tuple[int, ...] = (),
    postprocessing: tuple[Step, ...] = (),
    first_stage: Path | None = None,
) -> Path:
    """Write an ensemble as one bundle, in whole or not at all; replaces a bundle that is there.

    Its threshold is the members' where they share one, else 0.5; its temperature is 1, and each member keeps its own.
    Of the training images it has what the first member knows of them; a predicted quality it has none, for the
    confidence of a mean is another than that of a single network.

    Args:
        path: the folder to make.
        sources: the members, at least one.
        config: of the data, for whoever scores it; nothing private.
        split_digest: names what its members were trained on.
        flips: spatial axes for test-time flips.
        postprocessing: of each mask.
        first_stage: bundle of the first stage of a cascade whose second stage the members are; with it they take
            images as they are.

    Returns:
        `path`.

    Raises:
        DataError: members that cannot be averaged: of other classes, of one object at a time, ensembles; one that is
            damaged; or a place that is taken.
    """
    if not 0 < len(sources) <= MOST_MEMBERS:
        raise _refused("an ensemble of no member, or of too many", "members", f"{len(sources)}", f"1 to {MOST_MEMBERS}")
    bundles = [check_files(source.folder) for source in sources]
    lead = _leading(sources, bundles)
    parts = parts_of(sources, bundles)
    members = tuple(
        Member(f"{MEMBERS_FOLDER}/{number}", source.run, source.name, part, source.axis)
        for number, (source, part) in enumerate(zip(sources, parts, strict=True))
    )
    first = [one for one, part in zip(bundles, parts, strict=True) if part == 0]
    if first_stage is not None and len(first) < len(bundles):
        raise _refused(
            "a second stage of several plans of windows", "members", f"{max(parts) + 1} plans", "one", _APART
        )
    thresholds = {one.threshold for one in bundles}
    pictures = {key: value for key, value in lead.reference.items() if key != "samples"}
    samples = lead.reference.get("samples", {})
    bundle = replace(
        lead,
        task=lead.task if first_stage is None else lead.image_task,
        preprocessing=common_preprocessing([one.preprocessing for one in first]),
        threshold=thresholds.pop() if len(thresholds) == 1 else 0.5,
        temperature=1.0,
        split_digest=split_digest,
        config=config if config is not None else {key: lead.config[key] for key in ("data",) if key in lead.config},
        versions=versions_now(),
        flips=flips,
        reference=pictures | ({"samples": {"image": samples["image"]}} if "image" in samples else {}),
        quality={},
        members=members,
        postprocessing=postprocessing,
    )
    with placing(Path(path)) as partial:
        files = []
        for member, source in zip(members, sources, strict=True):
            (partial / member.folder).mkdir(parents=True)
            for name in (MODEL_FILE, EXAMPLE_FILE, CARD_FILE):
                if (source.folder / name).is_file():
                    shutil.copyfile(source.folder / name, partial / member.folder / name)
                    files.append(f"{member.folder}/{name}")
        if first_stage is not None:
            _check_classes(check_files(first_stage).task, bundle.task, str(first_stage))
            shutil.copytree(first_stage, partial / FIRST_STAGE)
            files.append(f"{FIRST_STAGE}/{CARD_FILE}")
        _write_example(partial, bundle)
        write_card(partial, bundle, [*files, *([EXAMPLE_FILE] if (partial / EXAMPLE_FILE).is_file() else [])])
    return Path(path)


def check_members(sources: Sequence[MemberSource]) -> int:
    """See that members can be averaged, by what their bundles say; returns how many parts with windows of their own
    they would make.

    Raises:
        DataError: as `save_ensemble`, but for damage of the files.
    """
    bundles = [read_bundle(source.folder) for source in sources]
    _leading(sources, bundles)
    return len(set(parts_of(sources, bundles)))


def one_network(path: Path, bundle: Bundle) -> keras.Model:
    """The members of an ensemble that has one plan of windows, as one network.

    Raises:
        DataError: it has several; or a member that cannot be loaded.
    """
    if bundle.mixed:
        raise no_single_network(path, bundle)
    return _network(path, bundle.members, bundle.preprocessing, bundle.image_task)


def no_single_network(path: Path, bundle: Bundle) -> DataError:
    """That an ensemble has several plans of windows, and what can be done."""
    return DataError(
        "an ensemble that is no single network",
        code="ensemble-mixed",
        where=str(path),
        found=f"{len({one.part for one in bundle.members})} plans of windows among {len(bundle.members)} members",
        expected="members of one input size, spacing and kind of normalisation",
        remedy="predict with it as it is (seglab predict, seglab.load); to export or serve, make an ensemble of "
        "runs of one plan",
    )


def load_parts(path: Path, bundle: Bundle) -> list[tuple[keras.Model, Bundle, int | None]]:
    """Of a mixed ensemble each part as one network, with what goes with it and the axis that it takes slices across."""
    found = []
    for number in sorted({one.part for one in bundle.members}):
        members = [one for one in bundle.members if one.part == number]
        own = [read_bundle(path / one.folder) for one in members]
        common = common_preprocessing([one.preprocessing for one in own])
        flips = tuple(axis for axis in bundle.flips if axis < own[0].task.rank) if members[0].axis is None else ()
        part = replace(own[0], preprocessing=common, temperature=1.0, flips=flips, overlap=bundle.overlap)
        found.append((_network(path, members, common, part.image_task), part, members[0].axis))
    return found


def common_preprocessing(own: Sequence[Preprocessing]) -> Preprocessing:
    """What an image is brought in by before several networks of one mode and unit, each of which then changes it to its
    own. Of windows it is the widest."""
    first = own[0]
    if all(one == first for one in own) or first.mode != "window":
        return first
    low, high = ([getattr(one, name) for one in own] for name in ("low", "high"))
    return replace(first, low=tuple(map(min, *low)), high=tuple(map(max, *high)))


def _network(path: Path, members: Sequence[Member], common: Preprocessing, task: Task) -> keras.Model:
    from seglab.models.members import combined

    models, own = [], []
    for member in members:
        model, bundle = load_bundle(path / member.folder)
        _check_classes(bundle.image_task, task, member.label)
        models.append(model)
        own.append(bundle)
    return combined(
        models, [one.preprocessing for one in own], common, [one.temperature for one in own], bool(task.regions)
    )


def _leading(sources: Sequence[MemberSource], bundles: Sequence[Bundle]) -> Bundle:
    """The first bundle of the ensemble's own rank, after all were found to fit together."""
    names = [source.name or str(source.folder) for source in sources]
    rank = max(bundle.task.rank for bundle in bundles)
    lead = next(bundle for bundle in bundles if bundle.task.rank == rank)
    for name, source, bundle in zip(names, sources, bundles, strict=True):
        if bundle.members:
            raise _refused("an ensemble as a member", name, f"{len(bundle.members)} members", "one network", _APART)
        if bundle.preprocessing.prompts:
            raise _refused("a promptable network as a member", name, "a network of clicks and boxes", "one of images")
        _check_classes(bundle.task, lead.task, name)
        flat = bundle.task.rank < rank
        if flat != (source.axis is not None) or (flat and source.axis not in range(rank)):
            expected = f"an axis from 0 to {rank - 1} across which it takes slices" if flat else "no axis"
            raise _refused(f"a {bundle.task.rank}D member of a {rank}D task", name, f"axis {source.axis}", expected)
    return lead


_APART = "name the bundles or runs that it was made of"


def _check_classes(mine: Task, wanted: Task, name: str) -> None:
    """One schema: what is 1 must be the same in all members."""
    found, expected = (
        (task.channels, task.class_names, task.label_values or tuple(range(task.classes)), task.unscored, task.regions)
        for task in (mine, wanted)
    )
    if found != expected:
        form = "{} channel(s), classes {}, stored as {}, unscored {}, regions {}"
        raise DataError(
            "members of other channels or classes",
            code="ensemble-classes",
            where=name,
            found=form.format(found[0], ", ".join(found[1]), *found[2:]),
            expected=form.format(expected[0], ", ".join(expected[1]), *expected[2:]),
            remedy="average models that were trained for the same classes, in the same order",
        )


def parts_of(sources: Sequence[MemberSource], bundles: Sequence[Bundle]) -> list[int]:
    """The number of each one's part, counted as they come; that of the leading one is 0."""
    rank = max(bundle.task.rank for bundle in bundles)
    plans = [_plan(source, bundle) for source, bundle in zip(sources, bundles, strict=True)]
    numbers: dict[Any, int] = {}
    for plan in sorted(plans, key=lambda one: one[0] != rank):
        numbers.setdefault(plan, len(numbers))
    return [numbers[plan] for plan in plans]


def _plan(source: MemberSource, bundle: Bundle) -> tuple[Any, ...]:
    """What members share that can be averaged in each window."""
    given, axis = bundle.preprocessing, source.axis
    same = (bundle.task.rank, axis, bundle.size, bundle.resize_mode, bundle.spacing, bundle.interpolation)
    return (*same, given.mode, given.unit, given.scale, given.previous)


def _write_example(folder: Path, bundle: Bundle) -> None:
    """What the ensemble answers; none where it gives no numbers, as of a single model."""
    from seglab.inference.expected import expected_of, write_expected

    try:
        expected = expected_of(predictor_of(folder, bundle), bundle)
    except DataError:
        return
    write_expected(folder / EXAMPLE_FILE, expected)


def predictor_of(path: Path, bundle: Bundle, **choices: Any) -> Predictor:
    """The predictor of an ensemble's folder; see `Predictor.of` for what can be chosen."""
    from seglab.inference.mixed_predictor import MixedPredictor
    from seglab.inference.predictor import Predictor

    if not bundle.mixed:
        first = Predictor.load(path / FIRST_STAGE) if bundle.both_stages else None
        return Predictor.of(one_network(path, bundle), bundle, first=first, **choices)
    return MixedPredictor(load_parts(path, bundle), bundle, **choices)


def _refused(what: str, where: str, found: str, expected: str, remedy: str = "") -> DataError:
    return DataError(
        what, code="ensemble-member", where=where, found=found, expected=expected, remedy=remedy or "choose others"
    )
