"""The check before every training: from what is known of the cases anyway, and a few masks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from seglab.config.sections import DataConfig
from seglab.data.cases import SPLIT_NAMES, Source
from seglab.data.check.absent import find_absent_classes
from seglab.data.check.case_contents import (
    find_constant_images,
    find_empty_masks,
    find_implausible_spacing,
    find_mixed_spacing,
    find_other_modality,
    find_rounded_labels,
)
from seglab.data.check.file_reading import find_left_out, find_thresholded
from seglab.data.check.findings import DataReport, Finding
from seglab.data.check.kept_results import KeptResults
from seglab.data.check.leaks import find_same_images, find_similar_images, find_torn_groups, find_torn_sequences
from seglab.data.check.mixed_scales import find_mixed_scales
from seglab.data.check.palettes import find_other_palettes
from seglab.data.check.shrinking import Shrunk, evenly, find_thin_classes, shape_seen, shrinks
from seglab.data.check.two_sides import find_torn_sides
from seglab.data.preprocessing.case_fingerprint import CaseFingerprint
from seglab.data.splits import Split

MASKS_LOOKED_AT = 12


def check_short(
    source: Source,
    split: Split,
    facts: Mapping[str, CaseFingerprint],
    card: DataConfig,
    further: Iterable[Finding] = (),
) -> DataReport:
    """Check a split and what is known of its cases; reads a few training masks where they are made smaller.

    Args:
        source: reads the cases.
        split: as it will be trained on.
        facts: of every case of the split, by case id.
        card: size and fit of the input, and what is let through.
        further: findings that are in the report too.

    Raises:
        ConfigError: a name in `data.allow` that means nothing.
        DataError: a mask that cannot be read.
    """
    findings = find_in_split(source, split, facts, card)
    small = [i for i in split.train if i in facts and shrinks(card, facts[i].shape, facts[i].spacing)]
    counts = Shrunk(source.task.unions, source.task.ignore_label)
    by_id = {case.id: case for case in source.cases}
    for case_id in evenly(small, MASKS_LOOKED_AT):
        mask = source.read(by_id[case_id]).mask
        if mask is not None:
            counts.add(mask, shape_seen(card, facts[case_id].shape, facts[case_id].spacing))
    return DataReport.of([*findings, *find_thin_classes(counts, card, source.task), *further], card.allow)


def find_in_split(
    source: Source, split: Split, facts: Mapping[str, CaseFingerprint], card: DataConfig, *, thorough: bool = False
) -> list[Finding]:
    """All that split and facts tell. With `data.validate_on_train` the one split there is is compared with no other;
    `thorough` is as of `find_similar_images`, whose answer is kept where the cases have files."""
    answers = KeptResults(Path(card.cache_dir) if any(case.image for case in source.cases) else None)
    if card.validate_on_train:
        split = Split(split.train, (), ())
    taken = {i: facts[i] for name in SPLIT_NAMES for i in getattr(split, name) if i in facts}
    findings = [
        *find_torn_groups(split, source.cases),
        *find_same_images(split, taken),
        *find_similar_images(split, taken, answers, thorough=thorough),
        *find_torn_sequences(split, taken),
        *find_torn_sides(split, source.cases, source.split is not None),
        *find_absent_classes(source, split, taken, card),
        *find_empty_masks(split, taken, source.task),
        *find_constant_images(split, taken),
        *find_other_palettes(source, taken),
        *find_mixed_scales(taken, card),
        *find_other_modality(source, card),
        *find_mixed_spacing(taken, card, source.task),
        *find_implausible_spacing(taken, source.task),
        *find_rounded_labels(taken),
        *find_thresholded(source, taken),
        *find_left_out(source),
    ]
    if source.split is not None and card.fold is not None:
        findings.append(
            Finding.of(
                "own-split-unused",
                "data.fold",
                f"fold {card.fold} of {card.folds} over all cases, in place of the data set's own split",
                "scores that are not compared with those of the own test split",
                "data.fold=null takes the own split",
            )
        )
    return findings
