"""Rules of names that would pair the images and masks below a folder: looked for when the files do not pair as asked.

A rule is a form of the images' names and one of the masks', `{id}_training` and `{id}_manual1`, each in a folder. What
is in a few of the files says which side are the masks; a rule is proposed, never followed unasked.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from seglab.data.cases import natural_key
from seglab.data.io.folders import stem_of, visible
from seglab.data.io.image_files import IMAGE_ENDINGS
from seglab.data.sources.mask_looks import MaskSummary, inspect_masks
from seglab.data.sources.name_patterns import NamePattern
from seglab.errors import DataError

# Of the search: how deep below the root, in how many folders, and among how many names forms are looked for; a form
# that is found is tried on all.
_DEEPEST, _MOST_FOLDERS, _MOST_FAMILIES, _MOST_NAMES, _MASKS_TRIED, _FORMS_TRIED = 3, 500, 16, 5000, 40, 8
_FILES_LOOKED_AT = 6
# A name falls into runs of letters, runs of digits, and single other signs; some of these stand between words.
_RUNS = re.compile(r"[^\W\d_]+|\d+|[\W_]")
_BETWEEN = "_-. "

Affix = tuple[str, str]  # what stands before and after the id


@dataclass(frozen=True)
class NameFamily:
    """Files of one folder, all or those of one ending, by their names without it."""

    folder: str
    ending: str
    files: Mapping[str, Path]

    @cached_property
    def names(self) -> list[str]:
        """In natural order."""
        return sorted(self.files, key=natural_key)


@dataclass(frozen=True)
class PairingRule:
    """What pairs images with masks.

    Attributes:
        images, masks: the patterns, as `data.images` and `data.masks` take them.
        pairs: image and mask of each case by its id.
        left: files of the two forms without a partner; a file of both is a mask.
        looks: what a few of the masks hold.
    """

    images: NamePattern
    masks: NamePattern
    pairs: Mapping[str, tuple[Path, Path]]
    left: int
    looks: MaskSummary

    def for_ids_of(self, images: NamePattern) -> PairingRule:
        """The same rule with the ids that another pattern of the same images has, where the masks' names hold these."""
        pairs = {images.id_of(image): (image, mask) for image, mask in self.pairs.values()}
        affixes = [_around(i, stem_of(mask)) for i, (_, mask) in pairs.items() if i is not None]
        common = set.intersection(*affixes) if len(affixes) == len(self.pairs) else set()
        if not common:
            return self
        before, after = min(common, key=lambda affix: (len(affix[0]), affix))
        masks = replace(self.masks, before=before, after=after)
        return replace(self, images=images, masks=masks, pairs={i: pair for i, pair in pairs.items() if i is not None})

    @property
    def cost(self) -> tuple[int, int, int]:
        """The smaller, the better the rule: pairs that it does not make, files that it leaves, letters that it adds."""
        return -len(self.pairs), self.left, self.affixes

    @property
    def mask_files(self) -> frozenset[Path]:
        """Of all pairs."""
        return frozenset(mask for _, mask in self.pairs.values())

    @property
    def affixes(self) -> int:
        """Letters beside the ids: of rules that pair the same, the one with the fewest says what the ids are."""
        return sum(len(part) for one in (self.images, self.masks) for part in (one.before, one.after, one.ending))


def find_rules(root: Path) -> list[PairingRule]:
    """Rules for what lies below `root`, those that pair the most files first; of images that are paired with several
    masks equally well, all. Empty where nothing pairs at least two."""
    families = list(_families(root))
    looks: dict[tuple[str, str, Affix], MaskSummary] = {}

    def seen(family: NameFamily, affix: Affix, files: Sequence[Path]) -> MaskSummary:
        key = (family.folder, family.ending, affix)
        if key not in looks:
            looks[key] = inspect_masks([files[n] for n in _evenly(len(files), _FILES_LOOKED_AT)])
        return looks[key]

    found: dict[frozenset[tuple[Path, Path]], PairingRule] = {}
    for one in families:
        for other in families:
            for before, after in _forms(one, other):
                ids = _ids(one, before), _ids(other, after)
                common = sorted(ids[0].keys() & ids[1].keys(), key=natural_key)
                if len(common) < 2:
                    continue
                pairs = {i: (ids[0][i], ids[1][i]) for i in common}
                if any(image == mask for image, mask in pairs.values()):
                    continue
                if seen(one, before, [image for image, _ in pairs.values()]).is_mask:
                    continue
                masks = seen(other, after, [mask for _, mask in pairs.values()])
                if not masks.is_mask:
                    continue
                rule = PairingRule(
                    _pattern("data.images", one, before),
                    _pattern("data.masks", other, after),
                    pairs,
                    len({*ids[0].values()} - {*ids[1].values()}) + len(ids[1]) - 2 * len(pairs),
                    masks,
                )
                key = frozenset(pairs.values())
                if key not in found or rule.cost < found[key].cost:
                    found[key] = rule
    return _best(list(found.values()))


def _best(rules: Sequence[PairingRule]) -> list[PairingRule]:
    """Of each folder of images the rules with the most pairs; masks go to the images of the most similar names."""
    most: dict[str, int] = {}
    nearest: dict[frozenset[Path], tuple[int, int, int]] = {}
    for rule in rules:
        most[rule.images.folder] = max(most.get(rule.images.folder, 0), len(rule.pairs))
        nearest[rule.mask_files] = min(nearest.get(rule.mask_files, rule.cost), rule.cost)
    kept = [
        rule for rule in rules if len(rule.pairs) == most[rule.images.folder] and rule.cost == nearest[rule.mask_files]
    ]

    def order(rule: PairingRule) -> tuple[bool, int, bool, int, str]:
        other_part = re.search(r"(?i)(?:^|[\W_])(?:test|val|valid|validation)", rule.images.folder) is not None
        return other_part, -len(rule.pairs), rule.looks.is_region, rule.affixes, str(rule.masks)

    return sorted(kept, key=order)


def _families(root: Path) -> Iterator[NameFamily]:
    """The folders with image files, those with the most first."""
    found: list[NameFamily] = []
    for n, (place, folders, _) in enumerate(os.walk(root)):
        folder = Path(place).relative_to(root).as_posix()
        folders[:] = sorted(f for f in folders if not f.startswith(".")) if folder.count("/") < _DEEPEST - 1 else []
        if n == _MOST_FOLDERS:
            break
        by_ending: dict[str, dict[str, Path]] = {}
        whole: dict[str, Path] = {}
        files = visible(Path(place), IMAGE_ENDINGS)
        for file in files:
            try:
                stem = stem_of(file)
            except DataError:  # told when the file is to be read
                continue
            whole.setdefault(stem, file)
            by_ending.setdefault(file.suffix.lower(), {}).setdefault(stem, file)
        if len(whole) == len(files):
            found.append(NameFamily(folder, "", whole))
        if len(by_ending) > 1:
            found += [NameFamily(folder, ending, some) for ending, some in by_ending.items()]
    yield from sorted((family for family in found if family.files), key=lambda f: -len(f.files))[:_MOST_FAMILIES]


def _forms(images: NameFamily, masks: NameFamily) -> list[tuple[Affix, Affix]]:
    """What may stand around the ids of the images and of the masks, the most promising first."""
    wanted: dict[str, list[Affix]] = {}
    for n in _evenly(len(masks.names), _MASKS_TRIED):
        for core, affix in _cores(masks.names[n]):
            wanted.setdefault(core, []).append(affix)
    votes: Counter[tuple[Affix, Affix]] = Counter()
    for n in _evenly(len(images.names), _MOST_NAMES):
        for core, affix in _cores(images.names[n]):
            votes.update((affix, other) for other in wanted.get(core, ()))
    if images is masks:
        votes = Counter({form: n for form, n in votes.items() if form[0] != form[1]})
    # Of forms of which one is part of another, such as both names without the same first letter, the shorter.
    ranked = sorted(votes, key=lambda form: (-votes[form], sum(len(part) for affix in form for part in affix)))
    return [form for form in ranked[:_FORMS_TRIED] if votes[form] > 1]


def _cores(name: str) -> Iterator[tuple[str, Affix]]:
    """Parts of a name that may be its id, with what stands before and after: whole runs, from word to word."""
    runs = [(found.start(), found.end()) for found in _RUNS.finditer(name) if found[0] not in _BETWEEN]
    for n, (start, _) in enumerate(runs):
        for _, end in runs[n:]:
            yield name[start:end], (name[:start], name[end:])


def _around(case_id: str, name: str) -> set[Affix]:
    """What stands before and after an id in a name, for each place in which it stands there."""
    starts = [n for n in range(len(name)) if name.startswith(case_id, n)]
    return {(name[:n], name[n + len(case_id) :]) for n in starts}


def _ids(family: NameFamily, affix: Affix) -> dict[str, Path]:
    pattern = NamePattern("", "", *affix)
    found = ((pattern.id_of(file), file) for file in family.files.values())
    return {case_id: file for case_id, file in found if case_id is not None}


def _pattern(key: str, family: NameFamily, affix: Affix) -> NamePattern:
    return NamePattern(key, "" if family.folder == "." else family.folder, *affix, family.ending)


def _evenly(count: int, most: int) -> list[int]:
    return [int(n) for n in np.unique(np.linspace(0, count - 1, min(most, count)).round())] if count else []
