"""A data set of volumes that a `dataset.json` describes, as the Medical Segmentation Decathlon or nnU-Net has it.

The Decathlon (Antonelli et al., The Medical Segmentation Decathlon, 2022) lists pairs of files under `training`, and so
does nnU-Net (Isensee et al., Nature Methods 2021), with a file for each channel: `<case>_0000.nii.gz`, …. Its version 2
names the labels the other way round, and finds the files in `imagesTr` and `labelsTr`, or under `dataset`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from glob import escape
from pathlib import Path
from typing import Any

from seglab.data.io.folders import stem_of
from seglab.data.io.volume_files import VOLUME_ENDINGS
from seglab.data.labels.description_labels import declared_labels
from seglab.data.labels.label_schema import Classes
from seglab.data.sources.description_endings import NUMBERED, file_ending
from seglab.data.sources.description_files import FILE, excerpt, existing_file, is_file, malformed, named_file
from seglab.data.sources.nifti_layouts import VolumeFiles, in_folders
from seglab.errors import DataError

# Names of channels by the setting of data.modality that they belong to, in lower case.
_MODALITIES = {
    "ct": ("ct",),
    "mri": ("mri", "mr", "t1", "t1w", "t1gd", "t1ce", "t1c", "t2", "t2w", "flair", "adc", "dwi", "pd"),
}
# The keys that only version 2 of nnU-Net has.
_OF_NNUNET = ("channel_names", "file_ending")
_MOST_BYTES = 64 * 2**20


@dataclass(frozen=True)
class Description:
    """What a `dataset.json` says: `tested` are the cases of its own test split, empty where it has none with labels."""

    name: str
    entries: Mapping[str, VolumeFiles]
    classes: Classes
    channels: tuple[str, ...]
    tested: tuple[str, ...] = ()


def in_description(root: Path) -> Description:
    """Name, files, classes and the channels' names of the data set in a folder; reads no volume.

    Raises:
        DataError: a description that is no JSON or not one of the three, files that are not there, counts that differ.
    """
    described = _read(root / FILE)
    labels = _section(described, "labels", root)
    of_nnunet = any(key in described for key in _OF_NNUNET) or not all(isinstance(n, str) for n in labels.values())
    channels = _channels(described, root, of_nnunet)
    classes = declared_labels(labels, root / FILE, described.get("regions_class_order"))
    name = str(described.get("name") or root.name)
    if not of_nnunet:
        return Description(name, _listed_pairs(described, root), classes, channels)
    ending = file_ending(described.get("file_ending"), root, classes, channels)
    endings = VOLUME_ENDINGS if ending is None else (ending,)
    entries = _listed_cases(described, root) if "dataset" in described else _in_folders_of(root, "Tr", endings)
    _check_count(described, entries, root)
    tested = {} if not _has_files(root / "labelsTs", endings) else _in_folders_of(root, "Ts", endings)
    both = sorted(set(entries) & set(tested))
    if both:
        raise malformed(root, f"a case of imagesTr and of imagesTs named {both[0]}", "each name once")
    _check_channels(entries, channels, root, listed="dataset" in described)
    _check_channels(tested, channels, root, listed=False)
    return Description(name, {**entries, **tested}, classes, channels, tuple(tested))


def modality_of(channels: Sequence[str]) -> str | None:
    """`ct` or `mri` when all channels are of it; None when they are of both, or their names say neither."""
    names = {name.strip().lower() for name in channels}
    return next((modality for modality, known in _MODALITIES.items() if names and names <= set(known)), None)


def _read(path: Path) -> Mapping[str, Any]:
    found = ""
    try:
        if path.stat().st_size > _MOST_BYTES:
            found = f"{path.stat().st_size:,} bytes"
        else:
            described = json.loads(path.read_text(encoding="utf-8-sig"), object_pairs_hook=_each_once)
    except RecursionError:
        found = "lists or objects within one another, a thousand or more"
    except (OSError, ValueError) as error:
        found = str(error)
    if found:
        raise DataError(
            "invalid JSON in dataset.json",
            code="dataset-json-syntax",
            where=str(path),
            found=found,
            expected=f"JSON of up to {_MOST_BYTES // 2**20} MB, each key once",
            remedy="correct the file; a JSON checker shows the place",
        )
    if not isinstance(described, Mapping):
        raise malformed(path.parent, type(described).__name__, "an object")
    return described


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object whose keys differ: of two equal ones JSON would keep the last, and a class would be gone."""
    keys = [key for key, _ in pairs]
    twice = [key for n, key in enumerate(keys) if key in keys[:n]] if len(set(keys)) < len(keys) else []
    if twice:
        raise ValueError(f"the key {twice[0]!r} twice in one object")
    return dict(pairs)


def _section(described: Mapping[str, Any], key: str, root: Path, kind: type = dict) -> Any:
    section = described.get(key)
    if not isinstance(section, kind) or not section:
        wanted = {
            "labels": '{"0": "background", "1": "…"}, or {"background": 0, "…": 1}',
            "modality": '{"0": "MRI"}',
            "channel_names": '{"0": "CT"}',
            "dataset": '{"case": {"images": ["…"], "label": "…"}}',
        }
        raise malformed(root, f'"{key}": {excerpt(section)}', f'"{key}": {wanted.get(key, "a list of pairs")}')
    return section


def _channels(described: Mapping[str, Any], root: Path, of_nnunet: bool) -> tuple[str, ...]:
    key = "channel_names" if "channel_names" in described or (of_nnunet and "modality" not in described) else "modality"
    names = _section(described, key, root)
    if of_nnunet and set(names) != set(map(str, range(len(names)))):
        counted = ", ".join(f'"{n}"' for n in range(len(names)))
        raise malformed(root, f'"{key}": {excerpt(names)}', f"the keys {counted}, as the files are numbered")
    return tuple(str(names[n]) for n in (sorted(names, key=int) if of_nnunet else names))


def _has_files(folder: Path, endings: Sequence[str]) -> bool:
    return folder.is_dir() and any(file.name.lower().endswith(tuple(endings)) for file in folder.iterdir())


def _in_folders_of(root: Path, part: str, endings: Sequence[str]) -> dict[str, VolumeFiles]:
    """`imagesTr/<case>_0000.nii.gz`, … with `labelsTr/<case>.nii.gz`, or both of `Ts`."""
    for folder in (f"images{part}", f"labels{part}"):
        if not (root / folder).is_dir():
            raise DataError(
                "folder of the data set not found",
                code="data-folder-missing",
                where=str(root / folder),
                found=f"{FILE} lists no files",
                expected=f"images{part}/<case>_0000{endings[0]}, … and labels{part}/<case>{endings[0]}",
                remedy=f'restore the folder, or list the files under "dataset" in {root / FILE}',
            )
    key = f'"file_ending" in {root / FILE}'
    return in_folders(root, f"images{part}", f"labels{part}", keys=(key, key), endings=endings)


def _check_count(described: Mapping[str, Any], entries: Mapping[str, VolumeFiles], root: Path) -> None:
    count = described.get("numTraining", len(entries))
    if type(count) is not int or count != len(entries):
        raise DataError(
            "number of training cases differs from dataset.json",
            code="dataset-json-count",
            where=str(root / FILE),
            found=f'"numTraining": {excerpt(count)}, and {len(entries)} cases with image and label',
            expected="all cases that it counts",
            remedy=f'restore the missing files, or "numTraining": {len(entries)}',
        )


def _check_channels(entries: Mapping[str, VolumeFiles], channels: Sequence[str], root: Path, listed: bool) -> None:
    """Refuse files that are numbered otherwise than the channels, which listed ones need not be; a single one without
    a number may hold them all."""
    wanted = [f"{n:04d}" for n in range(len(channels))]
    for case_id, entry in entries.items():
        numbers = [found[1] if (found := NUMBERED.fullmatch(stem_of(file))) else "" for file in entry.images]
        whole = numbers == [""] or (len(numbers) == 1 and stem_of(entry.images[0]) == case_id)
        if numbers == wanted or whole or (listed and len(numbers) == len(wanted)):
            continue
        raise DataError(
            "an image whose files are not those of the channels",
            code="image-channels",
            finding="channel-mismatch",
            where=str(entry.images[0]),
            found=f"{case_id}: {', '.join(file.name for file in entry.images)}",
            expected=", ".join(f"{case_id}_{n} ({name})" for n, name in zip(wanted, channels, strict=True)),
            remedy=f'add the missing file, or correct "channel_names" in {root / FILE}',
        )


def _listed_cases(described: Mapping[str, Any], root: Path) -> dict[str, VolumeFiles]:
    """The files that version 2 of nnU-Net is told of one by one."""
    found = {}
    for case_id, files in _section(described, "dataset", root).items():
        images = files.get("images") if isinstance(files, Mapping) else None
        named = isinstance(images, list) and all(isinstance(name, str) for name in [*images, files.get("label")])
        if not isinstance(images, list) or not images or not named or not case_id:
            wanted = '"images": a list of paths, "label": a path'
            raise malformed(root, f'"dataset": {excerpt({case_id: files})}', wanted)
        found[case_id] = VolumeFiles(
            tuple(existing_file(named_file(root, image, "dataset"), root, "dataset") for image in images),
            existing_file(named_file(root, files["label"], "dataset"), root, "dataset"),
        )
    return found


def _listed_pairs(described: Mapping[str, Any], root: Path) -> dict[str, VolumeFiles]:
    """The files of the Decathlon; of version 1 of nnU-Net, which lists the image without the numbers of its files."""
    files: dict[str, VolumeFiles] = {}
    for pair in _section(described, "training", root, kind=list):
        if not isinstance(pair, Mapping) or not all(isinstance(pair.get(k), str) for k in ("image", "label")):
            raise malformed(root, f"training entry {excerpt(pair)}", 'an object with "image" and "label"')
        image, label = (named_file(root, pair[key], "training") for key in ("image", "label"))
        stem = stem_of(image)
        images: tuple[Path, ...] = (image,)
        if not is_file(image):
            ending = image.name[len(image.name) - len(".nii.gz") :] if image.name.endswith(".nii.gz") else image.suffix
            numbered = sorted(image.parent.glob(f"{escape(image.name.removesuffix(ending))}_????{escape(ending)}"))
            images = tuple(file for file in numbered if NUMBERED.fullmatch(stem_of(file))) or images
        images = tuple(existing_file(file, root, "training") for file in images)
        if stem in files:
            raise malformed(root, f"two training images named {stem}", "each name once")
        files[stem] = VolumeFiles(images, existing_file(label, root, "training"))
    return files
