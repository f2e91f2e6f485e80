"""Lists of albumentations' transforms in yaml: which may stand there and with which arguments.

Only names of albumentations are looked up, whatever a config says. Each transform is made once to check its values:
that takes a second and loads no TensorFlow.
"""

from __future__ import annotations

import inspect
import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from seglab.config.refusals import unknown
from seglab.errors import ConfigError, nearest

TARGET = "seglab.data.augment.albumentation.Albumentations"
PACKAGE = "albumentations"
WHERE = "augment.transforms"
COMPOSITIONS = ("Compose", "OneOf", "OneOrOther", "RandomOrder", "Sequential", "SomeOf")
# Arguments of compositions that are of boxes, points and several images, or that the run sets.
_OF_THE_RUN = ("seed", "strict", "bbox_params", "keypoint_params", "additional_targets", "save_applied_params")
_REFUSED = {
    "Normalize": "the run has normalised the image already: data.normalize",
    "ToFloat": "images are float32 already",
    "FromFloat": "images stay float32",
    "ToTensorV2": "the run makes the tensors",
    "ToTensor3D": "the run makes the tensors",
    "Lambda": "a yaml holds no functions: write an augmentation of your own, docs/your_own.md",
}


def load_albumentations() -> Any:
    """The package, without the question for its newest version that it would ask the network."""
    os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
    import albumentations

    return albumentations


def check_transforms(target: str, arguments: Mapping[str, Any], rank: int) -> None:
    """Refuse a list of transforms that cannot work, and volumes; of other augmentations nothing.

    Args:
        target: the dotted path of the augmentation.
        arguments: its settings.
        rank: of the data.

    Raises:
        ConfigError: an unknown transform or argument with the nearest one, a value that the transform refuses.
    """
    if target != TARGET:
        return
    check_images_only(rank)
    make_transforms(arguments.get("transforms"), lambda kind, settings: kind(**settings))


def check_images_only(rank: int) -> None:
    """Refuse data that are no images; raises `ConfigError`."""
    if rank != 2:
        raise ConfigError(
            "albumentations on volumes",
            code="transform-rank",
            where="augment",
            found=f"augment=albumentations on {rank}D data",
            expected="2D data",
            remedy="augment=mri or augment=light, which change volumes in mm",
        )


def make_transforms(nodes: Any, make: Callable[[type, dict[str, Any]], Any], where: str = WHERE) -> list[Any]:
    """The transforms of a list of nodes, `_target_` with arguments each, compositions with their `transforms` within.

    Args:
        nodes: the list of the yaml.
        make: gets a class and its keyword arguments, the `transforms` of a composition made already.
        where: the dotted key of the list.

    Raises:
        ConfigError: see `check_transforms`.
    """
    if isinstance(nodes, str) or not isinstance(nodes, Sequence) or not nodes:
        raise ConfigError(
            "no list of transforms",
            code="transform-list",
            where=where,
            found=nodes,
            expected="a list of _target_: albumentations.<name>, each with its arguments",
            remedy="as in conf/augment/albumentations.yaml; augment=none changes nothing",
        )
    return [_made(node, make, f"{where}.{index}") for index, node in enumerate(nodes)]


def _made(node: Any, make: Callable[[type, dict[str, Any]], Any], where: str) -> Any:
    if not isinstance(node, Mapping) or not isinstance(node.get("_target_"), str):
        raise ConfigError(
            "a transform without a name",
            code="transform-list",
            where=f"{where}._target_",
            found=node,
            expected="_target_: albumentations.<name>, and arguments beside it",
            remedy="as in conf/augment/albumentations.yaml",
        )
    kind = _class_of(node["_target_"], f"{where}._target_")
    settings = {str(key): value for key, value in node.items() if key != "_target_"}
    allowed = [name for name in inspect.signature(kind).parameters if name not in _OF_THE_RUN]
    for key, value in settings.items():
        if key not in allowed:
            raise unknown(f"{where}.{key}", value, [f"{where}.{name}" for name in allowed])
    settings = {key: tuple(value) if isinstance(value, list) else value for key, value in settings.items()}
    for key in ("transforms", "first", "second"):
        if kind.__name__ in COMPOSITIONS and settings.get(key) is not None:
            if key == "transforms":
                settings[key] = make_transforms(settings[key], make, f"{where}.{key}")
            else:
                settings[key] = _made(settings[key], make, f"{where}.{key}")
    if settings.get("mask_interpolation", 0) != 0:
        raise ConfigError(
            "masks that are interpolated",
            code="transform-arguments",
            where=f"{where}.mask_interpolation",
            found=settings["mask_interpolation"],
            expected="0 (nearest neighbour): between two classes there is no third",
            remedy="remove it: masks always move by nearest neighbour",
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # "a special case of …", and the like
            return make(kind, settings)
    except (ValueError, TypeError, NotImplementedError, ArithmeticError) as error:
        raise ConfigError(
            f"{kind.__name__} refuses its arguments",
            code="transform-arguments",
            where=where,
            found="; ".join(line.strip() for line in str(error).splitlines()[:4] if "http" not in line),
            expected=f"{kind.__name__}({', '.join(allowed)})",
            remedy=f'look it up: python -c "import albumentations; help(albumentations.{kind.__name__})"',
        ) from error


def _class_of(target: str, where: str) -> type:
    package = load_albumentations()
    root, _, name = target.rpartition(".")
    bases = package.BasicTransform, package.BaseCompose
    known = {
        name: kind for name, kind in vars(package).items() if isinstance(kind, type) and _is_usable(name, kind, package)
    }
    if name in _REFUSED:
        found, expected, remedy = target, "a transform of images and masks", _REFUSED[name]
    elif root not in (PACKAGE, "A") or name not in known:
        kind = getattr(package, name, None)
        why = isinstance(kind, type) and issubclass(kind, bases) and root in (PACKAGE, "A")
        found = f"{target}, which does not work on an image and its mask alone" if why else target
        expected = "albumentations.<name>, a transform of images, or " + ", ".join(COMPOSITIONS)
        meant = [name] if name in known else [word for word in known if repr(word) in nearest(name, known)]
        listing = "python -c 'import albumentations as A; print(dir(A))'"
        remedy = f"did you mean: albumentations.{meant[0]}" if meant else f"all names: {listing}"
    else:
        return known[name]
    raise ConfigError(
        "a transform that cannot be used",
        code="unknown-transform",
        where=where,
        found=found,
        expected=expected,
        remedy=remedy,
    )


def _is_usable(name: str, kind: type, package: Any) -> bool:
    if name in COMPOSITIONS:
        return True
    if not issubclass(kind, package.BasicTransform) or name in _REFUSED or inspect.isabstract(kind):
        return False
    if kind in (package.BasicTransform, package.ImageOnlyTransform, package.DualTransform, package.Transform3D):
        return False
    needs = getattr(kind, "metadata_key", None) or "metadata_key" in inspect.signature(kind).parameters
    boxes = "BBox" in name or issubclass(kind, package.Transform3D)
    return not needs and not boxes
