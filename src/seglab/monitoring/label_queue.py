"""Which of the kept images to label next, and the folder that they are handed over in.

Nobody has shown a way that beats a draw among images with foreground everywhere: hold whichever is chosen against it.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from seglab.data.io.folders import stem_of
from seglab.data.io.image_files import read_mask_file
from seglab.data.io.nifti_headers import is_nifti
from seglab.errors import ConfigError
from seglab.monitoring.database import reading
from seglab.monitoring.kept_images import KeptImage, kept_images, kept_name
from seglab.monitoring.pre_annotations import coco_annotation, label_studio_result, label_studio_setup
from seglab.monitoring.schema import column_of
from seglab.monitoring.watched import Watched
from seglab.runtime.atomic_files import folder as new_folder
from seglab.runtime.atomic_files import telling_unwritable, write_json, write_text

Strategy = Literal["random", "entropy", "quality", "diverse"]
STRATEGIES = get_args(Strategy)
_LOOKED_AT = 50_000  # newest answers


@dataclass(frozen=True)
class LabelCandidate:
    """An answer whose image was kept.

    Attributes:
        name: of its files.
        request: that asked for it first.
        kept: its files.
        entropy: mean of its pixels.
        soft_dice: confidence; None without foreground.
        statistics: of the image, in the order of their names.
    """

    name: str
    request: str
    kept: KeptImage
    entropy: float
    soft_dice: float | None
    statistics: tuple[float, ...]

    @property
    def foreground(self) -> bool:
        """Whether its mask holds a scored class."""
        return self.soft_dice is not None


def handed_over(folders: Sequence[Path]) -> set[str]:
    """Names of the images that `hand_over` wrote to these folders; raises `ConfigError` where there are none."""
    found: set[str] = set()
    for folder in folders:
        names = {stem_of(file) for file in (folder / "images").glob("[!.]*")}
        if not names:
            raise ConfigError(
                "no folder of images that were handed over",
                code="not-handed-over",
                where=str(folder / "images"),
                found="no file",
                expected="a folder that label_next has written",
                remedy="without=[<out of a former label_next>]",
            )
        found |= names
    return found


def candidates(place: str, kept: Path, model: Watched, without: Collection[str] = ()) -> list[LabelCandidate]:
    """Newest answers whose image was kept, each image once, of models with the classes of `model`, whose masks say the
    same; but for images of these names. Raises `ConfigError` where there are none."""
    held = kept_images(kept)
    files = {name: file for name, file in held.items() if name not in without}
    with reading(place) as database:
        alike = set()
        column = column_of("models", "description", database.version)
        for digest, description in database.ask(f"SELECT digest, {column} FROM models"):
            known = json.loads(description)
            if (tuple(known["class_names"]), tuple(known["values"])) == (model.class_names, model.values):
                alike.add(digest)
        rows = database.ask(
            "SELECT input, request, entropy, soft_dice, image, digest FROM predictions"
            " WHERE status = 200 AND image IS NOT NULL ORDER BY id DESC LIMIT :most",
            most=_LOOKED_AT,
        )
    found: dict[str, LabelCandidate] = {}
    for sent, request, entropy, soft_dice, image, digest in rows:
        name = kept_name(sent)
        if name in files and name not in found and digest in alike:
            statistics = tuple(value for _, value in sorted(json.loads(image).items()))
            found[name] = LabelCandidate(name, request, files[name], entropy, soft_dice, statistics)
    if not found and len(files) < len(held):
        raise ConfigError(
            "no kept images that were not handed over before",
            code="all-handed-over",
            where=str(kept),
            found=f"{len(files)} images besides the {len(held) - len(files)} that were handed over before, none of a "
            f"row of {model.label}",
            expected="an image of this model that is not among those of without",
            remedy="wait for more images, or leave a folder out of without=[…]",
        )
    if not found:
        raise no_candidates(str(kept), f"{len(files)} images, none of a row of {model.label}")
    return list(found.values())


def no_candidates(where: str, found: str) -> ConfigError:
    """Of a folder and rows that have no image in common."""
    return ConfigError(
        "no kept images to choose from",
        code="no-kept-images",
        where=where,
        found=found,
        expected="the folder that a service keeps images in, and its rows",
        remedy="seglab serve … keep_images=<folder>",
    )


def choose(among: Sequence[LabelCandidate], count: int, strategy: Strategy, seed: int = 0) -> list[LabelCandidate]:
    """So many of them, or all where there are fewer, the first first.

    Args:
        among: to choose from.
        count: how many.
        strategy: `random`, images whose mask holds foreground before others; `entropy`, the highest first; `quality`,
            the lowest soft Dice confidence first, masks without foreground before all; `diverse`, each as unlike
            those before it as can be, in the statistics of images.
        seed: of what is drawn.
    """
    rng = np.random.default_rng(seed)
    drawn = [among[place] for place in rng.permutation(len(among))]
    if strategy == "random":
        order = sorted(drawn, key=lambda one: not one.foreground)
    elif strategy == "entropy":
        order = sorted(drawn, key=lambda one: -one.entropy)
    elif strategy == "quality":
        order = sorted(drawn, key=lambda one: -1.0 if one.soft_dice is None else one.soft_dice)
    else:
        order = _unlike(drawn, count)
    return order[:count]


def _unlike(among: list[LabelCandidate], count: int) -> list[LabelCandidate]:
    """Greedy centres: each is farthest from the nearest of those before."""
    statistics = np.array([one.statistics for one in among])
    statistics = (statistics - statistics.mean(axis=0)) / np.maximum(statistics.std(axis=0), 1e-9)
    chosen = [0]
    nearest = np.linalg.norm(statistics - statistics[0], axis=1)
    while len(chosen) < min(count, len(among)):
        chosen.append(int(nearest.argmax()))
        nearest = np.minimum(nearest, np.linalg.norm(statistics - statistics[chosen[-1]], axis=1))
        nearest[chosen] = -1.0
    return [among[place] for place in chosen]


def hand_over(chosen: Sequence[LabelCandidate], out: Path, model: Watched) -> None:
    """Write a folder: `images/` for `data=image_folder`, `predicted/` with what the model said; `coco.json` and
    `label_studio.json` with the same masks to be corrected, and `label_studio.xml`, the labelling interface. Volumes,
    which these tools do not read, stand in the folders alone.

    Raises:
        SeglabError: something is there, or cannot be written; a mask that cannot be read.
    """
    text = f"masks of {model.label}, which nobody has checked"
    coco: dict[str, Any] = {"info": {"description": text}, "images": [], "annotations": []}
    coco["categories"] = [{"id": number, "name": name} for number, name in enumerate(model.class_names)]
    tasks = []
    with telling_unwritable(out, "choose another folder: out=…"), new_folder(out, replace=False) as place:
        for part in ("images", "predicted"):
            (place / part).mkdir()
        for number, one in enumerate(chosen, start=1):
            name = one.kept.image.name
            shutil.copyfile(one.kept.image, place / "images" / name)
            shutil.copyfile(one.kept.mask, place / "predicted" / one.kept.mask.name)
            if is_nifti(one.kept.mask):
                continue
            mask = read_mask_file(one.kept.mask)
            held = {k: inside for k in model.scored if (inside := mask == model.values[k]).any()}
            height, width = mask.shape
            coco["images"].append({"id": number, "file_name": f"images/{name}", "width": width, "height": height})
            for k, inside in held.items():
                known = {"id": len(coco["annotations"]) + 1, "image_id": number, "category_id": k}
                coco["annotations"].append({**known, **coco_annotation(inside), "score": one.soft_dice})
            regions = [label_studio_result(f"{number}-{k}", model.class_names[k], x) for k, x in held.items()]
            facts = {"request": one.request, "entropy": one.entropy, "soft_dice": one.soft_dice}
            prediction = {"model_version": model.label, "score": one.soft_dice or 0.0, "result": regions}
            tasks.append({"data": {"image": f"images/{name}"}, "meta": facts, "predictions": [prediction]})
        write_json(place / "coco.json", coco, indent=1)
        write_json(place / "label_studio.json", tasks)
        write_text(place / "label_studio.xml", label_studio_setup([model.class_names[k] for k in model.scored]))
