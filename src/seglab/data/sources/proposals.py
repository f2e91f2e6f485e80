"""What to paste where files do not pair as asked: the rules of names that would pair them, in words and settings."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from seglab.data.labels.label_map import LabelMap
from seglab.data.sources.name_patterns import NamePattern
from seglab.data.sources.paired_files import pair_files
from seglab.data.sources.pairing_rules import PairingRule, find_rules
from seglab.errors import DataError, SeglabError

_MOST_SHOWN = 4  # rules for the same images, and folders of images
_WITHOUT_MASK = "data.unlabelled=left_out"
_NO_TEST = "'data.split={train:0.85,val:0.15,test:0.0}'"


def with_proposals(error: DataError, root: Path, given: Mapping[str, str | None], labels: LabelMap) -> DataError:
    """The error, with the rules that would pair what lies below `root` in its remedy, each ready to paste.

    Args:
        error: of a pairing that failed.
        root: `data.root`, which may be missing.
        given: the settings `images`, `masks` and `roi` as they are; what is as it has to be is not said again.
        labels: how masks are read now.
    """
    rules = find_rules(root) if root.is_dir() else []
    if not rules:
        return error
    folders = list(dict.fromkeys(rule.images.folder for rule in rules))[:_MOST_SHOWN]
    first, *others = ([rule for rule in rules if rule.images.folder == folder] for folder in folders)
    paste = _of_one_folder(first, root, given, labels)
    for other in others:
        words = "in another folder; to score a trained model on them: seglab evaluate run=<id> split=all"
        for n, (description, settings) in enumerate(_of_one_folder(other, root, given, labels)):
            paste.append((description if n else f"{description}, {words} data=image_folder data.root=… and", settings))
    if not paste:
        return error
    if others:
        paste.append(("if these are the test set, add this to the first, which leaves no test cases there", _NO_TEST))
    partners = error.finding in ("image-without-mask", "mask-without-image", "image-without-region")
    return DataError(
        error.what,
        code=error.code,
        finding=error.finding,
        where=error.where,
        found=error.found,
        expected=error.expected,
        remedy=f"{error.remedy}; or paste what pairs the files as they are"
        if partners
        else "add to the command what pairs the files",
        paste=paste,
    )


def _of_one_folder(
    rules: Sequence[PairingRule], root: Path, given: Mapping[str, str | None], labels: LabelMap
) -> list[tuple[str, str]]:
    """The first rule, other masks of the same images, and what may be regions of interest."""
    found = []
    alike = [rule.for_ids_of(rules[0].images) for rule in rules]
    masks = [rule for rule in alike if not rule.looks.is_region] or alike
    for n, rule in enumerate(masks[:_MOST_SHOWN]):
        other = "masks of the same images" if rule.images == masks[0].images else "images for the same masks"
        pairs, alone = _counted(rule, root)
        settings = _settings(rule, given, labels)
        if settings or alone:  # else it is what failed
            words = f"{pairs} by this {f'one, with other {other}' if n else 'rule'}"
            found.append((words, " ".join([*filter(None, [settings]), *([_WITHOUT_MASK] if alone else [])])))
    ignoring = masks[0].looks.settings_ignoring()
    if ignoring and "data.label_values" in _settings(masks[0], given, labels):
        found.append(("if 255 marks pixels without a truth, this in the place of data.label_values", ignoring))
    for rule in [rule for rule in alike if rule not in masks][:_MOST_SHOWN]:
        words = (
            f"if the {len(rule.pairs)} files {rule.masks} show where there is anything to see, add this, and nothing"
        )
        settings = _as_override(replace(rule.masks, key="data.roi"), given)
        found.append((f"{words} outside of their white is trained on or scored", settings))
    return found


def _counted(rule: PairingRule, root: Path) -> tuple[str, int]:
    """How many pairs there are, with what keeps the others from being taken, and the images that have no mask."""
    pairs = f"{len(rule.pairs)} pairs"
    try:
        found = pair_files(root, _text(rule.images), _text(rule.masks), unlabelled="left_out")
    except SeglabError as error:
        return f"{pairs}, once this is mended ({error.what}: {error.where}),", 0
    alone = sum(len(rest.files) for rest in found.left_out if rest.unlabelled)
    without = f", without the {alone} image{'s' if alone > 1 else ''} that {'have' if alone > 1 else 'has'} no mask,"
    return pairs + without * bool(alone), alone


def _settings(rule: PairingRule, given: Mapping[str, str | None], labels: LabelMap) -> str:
    as_declared = set(rule.looks.values) <= {*labels.values, labels.ignore_value} and not rule.looks.lossy
    how = "" if as_declared or labels.threshold is not None or labels.colors else rule.looks.settings()
    return " ".join(word for word in (_as_override(rule.images, given), _as_override(rule.masks, given), how) if word)


def _text(pattern: NamePattern) -> str:
    return (pattern.folder or ".") if pattern.is_plain else str(pattern)


def _as_override(pattern: NamePattern, given: Mapping[str, str | None]) -> str:
    """The setting for a command line, quoted for the shell; empty if it is so already."""
    text, key = _text(pattern), pattern.key
    return "" if given.get(key.removeprefix("data.")) == text else f"{key}={shlex.quote(text)}"
