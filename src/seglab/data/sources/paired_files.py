"""The files of a data set in folders, matched by the ids in their names: images, masks, and regions of interest."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from seglab.data.cases import natural_key
from seglab.data.io.folders import check_partners, listed, stem_of, visible
from seglab.data.io.image_files import IMAGE_ENDINGS
from seglab.data.sources.name_patterns import ID, NamePattern
from seglab.errors import ConfigError, DataError

# Files beside a share of the cases at least are there on purpose, such as the masks of another annotator.
_REGULAR = 0.5


@dataclass(frozen=True)
class LeftOut:
    """Files beside those that are read.

    Attributes:
        files: in order.
        pattern: what their names have in common, as a setting would say it; empty for files that fit nothing.
        unlabelled: whether they are images without a mask.
    """

    files: tuple[Path, ...]
    pattern: str = ""
    unlabelled: bool = False


@dataclass(frozen=True)
class PairedFiles:
    """The files of each case, by its id; no regions where none are asked for."""

    images: Mapping[str, Path]
    masks: Mapping[str, Path]
    regions: Mapping[str, Path]
    left_out: tuple[LeftOut, ...] = ()


def pair_files(
    root: Path, images: str, masks: str, regions: str | None = None, *, unlabelled: str = "refused"
) -> PairedFiles:
    """The files below `root` that three settings mean; each is a folder, or a folder with a pattern of names.

    Of settings that fit one file the strictest takes it: of `{id}` and `{id}_mask` the second. Beside the masks or
    regions, in their own folder, a file that is named as an image is none if half of the cases have one of such a name,
    as `{id}_mask2`, and it has no mask itself. Other images without a mask are `refused` or `left_out`.

    Raises:
        ConfigError: a pattern that means nothing; two settings that mean the same files.
        DataError: a missing folder, no file that fits, a partner that is missing, two files of one name.
    """
    given = {"images": images, "masks": masks, **({} if regions is None else {"roi": regions})}
    patterns = [NamePattern.of(text, f"data.{name}", root) for name, text in given.items()]
    _refuse_the_same(patterns, root)
    found, taken = _claimed(patterns, root)
    image_files, mask_files = found["data.images"], found["data.masks"]
    region_files = found.get("data.roi", {})
    shared = {_folder(root, pattern) for pattern in patterns[1:]}
    if _folder(root, patterns[0]) in shared:
        others = _beside(image_files, mask_files)
        image_files = {i: file for i, file in image_files.items() if file not in others}
        taken[_folder(root, patterns[0])] -= {file.name for file in others}
    alone = tuple(file for i, file in image_files.items() if i not in mask_files) if unlabelled == "left_out" else ()
    if alone and len(alone) < len(image_files):
        image_files = {i: file for i, file in image_files.items() if i in mask_files}
    check_partners(image_files, mask_files)
    _check_regions(image_files, region_files, regions is not None)
    left_out = [LeftOut(alone, unlabelled=True)] if alone else []
    left_out += _left_out(patterns, root, taken, image_files)
    regions_of = {i: region_files[i] for i in image_files if region_files}
    return PairedFiles(image_files, mask_files, regions_of, tuple(left_out))


def _folder(root: Path, pattern: NamePattern) -> Path:
    return (root / pattern.folder).resolve()


def _refuse_the_same(patterns: Sequence[NamePattern], root: Path) -> None:
    first: dict[tuple[object, ...], str] = {}
    for pattern in patterns:
        means = (_folder(root, pattern), pattern.before, pattern.after, pattern.ending)
        other = first.setdefault(means, pattern.key)
        if other != pattern.key:
            raise ConfigError(
                "two settings that name the same files",
                code="file-settings-overlap",
                where=f"{other}, {pattern.key}",
                found=str(pattern),
                expected="files of their own for images and for masks",
                remedy=f"tell them apart by folder, name or ending: {other}='{ID}.jpg' {pattern.key}='{ID}_mask'",
            )


def _claimed(patterns: Sequence[NamePattern], root: Path) -> tuple[dict[str, dict[str, Path]], dict[Path, set[str]]]:
    """The files of each setting by id, and the names of all in each folder."""
    there = {pattern.key: listed(root, pattern.folder, pattern.key, pattern.endings) for pattern in patterns}
    found: dict[str, dict[str, Path]] = {}
    taken: dict[Path, set[str]] = {}
    for pattern in sorted(patterns, key=lambda one: one.strictness)[::-1]:
        names = taken.setdefault(_folder(root, pattern), set())
        mine: dict[str, Path] = {}
        for file in there[pattern.key]:
            case_id = pattern.id_of(file)
            if case_id is None or file.name in names:
                continue
            other = mine.setdefault(case_id, file)
            if other is not file:
                raise DataError(
                    "two files of one name",
                    code="file-names-collide",
                    where=str(file.parent),
                    found=f"{other.name} and {file.name}",
                    expected="one file for each name, since image and mask are matched by it",
                    remedy=f"say which ending counts, {pattern.key}='{pattern}{file.suffix.lower()}'; or move one of"
                    " them elsewhere, or give it a name of its own",
                )
        if not mine:
            raise DataError(
                "a folder without files of the names that are asked for",
                code="data-folder-incomplete",
                where=pattern.key,
                found=f"no file {pattern} in {root / pattern.folder} that is of no other setting",
                expected="at least one",
                remedy=f"correct {pattern.key}",
            )
        names |= {file.name for file in mine.values()}
        found[pattern.key] = mine
    return found, taken


def _beside(images: Mapping[str, Path], masks: Collection[str]) -> set[Path]:
    """Files that are named as images and lie beside most of these under a name of the same form."""
    paired = {case_id for case_id in images if case_id in masks}
    beside = _by_affix({file: case_id for case_id, file in images.items() if case_id not in paired}, paired)
    return {file for affix, files in beside.items() if affix is not None for file in files}


def _by_affix(name_of: Mapping[Path, str], ids: Collection[str]) -> dict[tuple[str, str] | None, list[Path]]:
    """Files by what stands before and after an id in their names; under None those of names of no such form, or of one
    that few have."""
    affixes = {file: _affix(name, ids) for file, name in name_of.items()}
    counts = Counter(affixes.values())
    found: dict[tuple[str, str] | None, list[Path]] = {}
    for file, affix in affixes.items():
        regular = counts[affix] >= max(2, _REGULAR * len(ids))
        found.setdefault(affix if regular else None, []).append(file)
    return found


def _affix(name: str, ids: Collection[str]) -> tuple[str, str] | None:
    """What stands before and after the longest id in a name."""
    for length in range(len(name), 0, -1):
        for start in range(len(name) - length + 1):
            if name[start : start + length] in ids:
                return name[:start], name[start + length :]
    return None


def _check_regions(images: Mapping[str, Path], regions: Mapping[str, Path], asked: bool) -> None:
    alone = sorted(set(images) - set(regions), key=natural_key) if asked else []
    if alone:
        folder = next(iter(regions.values())).parent
        raise DataError(
            "an image without a region of interest",
            code="image-without-region",
            finding="image-without-region",
            where=str(images[alone[0]]),
            found=f"{len(alone)} such files" if len(alone) > 1 else f"no region of {alone[0]} in {folder}",
            expected="one for each image, as data.roi says",
            remedy="add the missing files, or data.roi=null for scores of whole images",
        )


def _left_out(
    patterns: Iterable[NamePattern], root: Path, taken: Mapping[Path, Collection[str]], ids: Collection[str]
) -> Iterator[LeftOut]:
    """What else lies in the folders in which not all is read, files of one form together."""
    folders = {_folder(root, pattern): pattern.folder for pattern in patterns if not pattern.is_plain}
    for path, folder in folders.items():
        others = {file: stem_of(file) for file in visible(path, IMAGE_ENDINGS) if file.name not in taken[path]}
        for affix, files in _by_affix(others, ids).items():
            ending = files[0].suffix.lower() if affix == ("", "") else ""
            yield LeftOut(tuple(files), str(NamePattern("", folder, *affix, ending)) if affix else "")
