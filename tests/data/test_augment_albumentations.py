"""Lists of albumentations' transforms: refused by name and signature, drawn by sample, masks keep their classes."""

from __future__ import annotations

import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from seglab.config.run_config import load_config
from seglab.config.transforms import TARGET, check_transforms
from seglab.config.vocabulary import compose
from seglab.data.augment.albumentation import Albumentations
from seglab.data.loading.batches import Batches
from seglab.data.loading.training_data import gather
from seglab.data.randomness import generator
from seglab.errors import ConfigError
from seglab.experiment.run_parts import make_augmentation
from seglab.task import Task

TASK = Task(2, 3, ("background", "cell", "edge"))
IMAGE = np.random.default_rng(0).normal(2, 3, (48, 40, 3)).astype(np.float32)
MASK = np.random.default_rng(1).integers(0, 3, (48, 40)).astype(np.uint8)


def of(name: str, **arguments: Any) -> dict[str, Any]:
    return {"_target_": f"albumentations.{name}", "p": 1.0, **arguments}


def made(*transforms: dict[str, Any], task: Task = TASK) -> Albumentations:
    return Albumentations(task, transforms=list(transforms))


MANY = [
    of("HorizontalFlip", p=0.5),
    of("Affine", rotate=[-20, 20], scale=[0.8, 1.2]),
    of("OneOf", transforms=[of("ElasticTransform"), of("GridDistortion")]),
    of("SomeOf", n=2, transforms=[of("RandomGamma"), of("GaussNoise"), of("CLAHE"), of("MotionBlur")]),
    of("CoarseDropout", p=0.5),
]


def test_a_mirror_image_is_exact() -> None:
    image, mask = made(of("HorizontalFlip"))(IMAGE, MASK, generator(0))
    assert np.array_equal(image, IMAGE[:, ::-1])
    assert np.array_equal(mask, MASK[:, ::-1])
    assert made(of("HorizontalFlip"), of("VerticalFlip", p=0.0)).mirrored == (1,)


def test_masks_keep_their_classes_and_borders_are_ignored() -> None:
    turn = of("Affine", rotate=[45, 45])
    image, mask = made(turn)(IMAGE, MASK, generator(0))
    assert set(np.unique(mask)) == {0, 1, 2, TASK.ignore_label}
    assert 0.1 < (mask == TASK.ignore_label).mean() < 0.5
    assert image[0, 0].tolist() == [0, 0, 0]
    assert mask[0, 0] == TASK.ignore_label
    assert (made({**turn, "fill_mask": 1})(IMAGE, MASK, generator(0))[1] != TASK.ignore_label).all()


def test_dropout_leaves_the_mask_as_it_is() -> None:
    _, mask = made(of("CoarseDropout"))(IMAGE, MASK, generator(0))
    assert np.array_equal(mask, MASK)


def test_transforms_of_pixels_do_not_clip_a_normalised_image() -> None:
    low, high = IMAGE.min(), IMAGE.max()
    image, mask = made(of("InvertImg"))(IMAGE, MASK, generator(0))
    # x → 1 - x of 0..1 is x → low + high - x of the image.
    assert np.allclose(image, low + high - IMAGE, atol=1e-5)
    assert np.array_equal(mask, MASK)
    brighter = of("RandomBrightnessContrast", brightness_limit=[0.1, 0.1], contrast_limit=[0, 0])
    image, _ = made(brighter)(IMAGE, MASK, generator(0))
    assert np.allclose(image, np.minimum(IMAGE + 0.1 * (high - low), high), atol=1e-4)
    levels = np.abs(made(of("Equalize"))(IMAGE, MASK, generator(0))[0])
    assert levels.max() <= np.abs(IMAGE).max() + 1e-4


def test_what_is_not_drawn_changes_nothing_and_a_flat_image_is_let_be() -> None:
    image, _ = made(of("RandomGamma", p=0.0))(IMAGE, MASK, generator(0))
    assert np.array_equal(image, IMAGE)
    flat = np.full_like(IMAGE, 7)
    assert np.isfinite(made(of("GaussianBlur"), of("RandomGamma"))(flat, MASK, generator(0))[0]).all()


def _drawn(number: int, augment: Albumentations) -> bytes:
    image, mask = augment(IMAGE, MASK, generator(3, "sample", number))
    return image.tobytes() + mask.tobytes()


def test_the_stream_of_the_sample_decides_alone_whoever_draws_in_whichever_order() -> None:
    augment = made(*MANY)
    first = [_drawn(number, augment) for number in range(6)]
    assert len(set(first)) == 6
    assert [_drawn(number, pickle.loads(pickle.dumps(augment))) for number in reversed(range(6))] == first[::-1]
    with ThreadPoolExecutor(3) as threads:
        assert list(threads.map(_drawn, range(6), [augment] * 6)) == first


REFUSED = [
    ([of("HorizontalFlop")], "augment.transforms.0._target_", "did you mean: albumentations.HorizontalFlip"),
    ([of("Affine", rotat=3)], "augment.transforms.0.rotat", "augment.transforms.0.rotate=3"),
    ([of("Affine", rotate="much")], "augment.transforms.0", "Affine refuses its arguments"),
    ([of("Affine", mask_interpolation=1)], "mask_interpolation", "nearest neighbour"),
    ([of("OneOf", transforms=[of("Rotat")])], "augment.transforms.0.transforms.0._target_", "albumentations.Rotate"),
    ([of("OneOf", transforms=[])], "augment.transforms.0.transforms", "no list of transforms"),
    ([], "augment.transforms", "no list of transforms"),
    ([{"p": 1.0}], "augment.transforms.0._target_", "without a name"),
    ([{"_target_": "os.system"}], "augment.transforms.0._target_", "albumentations.<name>"),
    ([{"_target_": "HorizontalFlip"}], "augment.transforms.0._target_", "did you mean: albumentations.HorizontalFlip"),
    ([of("Normalize")], "Normalize", "data.normalize"),
    ([of("Lambda")], "Lambda", "your_own"),
    ([of("FDA")], "FDA", "image and its mask alone"),
    ([of("CenterCrop3D", size=[1, 1, 1])], "CenterCrop3D", "image and its mask alone"),
    ([of("Compose", transforms=[of("Rotate")], seed=3)], "augment.transforms.0.seed", "nothing reads it"),
]


@pytest.mark.parametrize(("transforms", "where", "words"), REFUSED)
def test_what_albumentations_does_not_have_is_refused_with_the_nearest(
    transforms: list[Any], where: str, words: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        check_transforms(TARGET, {"transforms": transforms}, 2)
    assert where in str(caught.value)
    assert words in str(caught.value), str(caught.value)


def test_volumes_are_refused_with_what_to_choose_instead() -> None:
    with pytest.raises(ConfigError, match=r"albumentations on volumes[\s\S]*augment=mri"):
        load_config(compose("train", ["data=synthetic3d", "model=unet3d", "augment=albumentations"]))


@pytest.mark.parametrize(
    ("transform", "words"),
    [
        (of("CenterCrop", height=8, width=8), r"\(8, 8\)[\s\S]*albumentations.Resize"),
        (of("HEStain"), "1 channels"),
    ],
)
def test_the_trial_refuses_what_fails_on_such_images(transform: dict[str, Any], words: str) -> None:
    config = load_config(compose("train", ["augment=albumentations", "data.size=[32,32]"]))
    config.augment.arguments["transforms"][:] = [transform]  # type: ignore[index]
    with pytest.raises(ConfigError, match=words):
        make_augmentation(config, Task(2, 1, ("background", "cell")))


def test_the_page_of_conf_is_read_without_tensorflow() -> None:
    text = (
        "import sys\n"
        "from seglab.config.run_config import load_config\n"
        "from seglab.config.vocabulary import compose\n"
        "from seglab.experiment.run_parts import make_augmentation\n"
        "from seglab.task import Task\n"
        "config = load_config(compose('train', ['augment=albumentations']))\n"
        "augment = make_augmentation(config, Task(2, 1, ('a', 'b')))\n"
        "assert augment.mirrored == (1,) and config.augment.name == 'Albumentations'\n"
        "assert 'tensorflow' not in sys.modules and 'keras' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", text], check=True, timeout=120)


def test_batches_are_those_of_another_number_of_workers_and_of_a_later_start() -> None:
    words = ["augment=albumentations", "data.size=[32,32]", "data.count=8", "data.batch_size=4"]
    found = {}
    for workers, epochs in ((0, (0, 1)), (2, (1,))):  # the second begins where the first might have ended
        config = load_config(compose("train", [*words, f"data.workers={workers}"]))
        training_data = gather(config)
        augmentation = make_augmentation(config, training_data.task)
        batches = Batches(training_data, "train", config.data_config, seed=3, augmentation=augmentation)
        for epoch in epochs:
            batches.epoch = epoch
            drawn = b"".join(part.tobytes() for step in range(len(batches)) for part in batches[step])
            assert found.setdefault(epoch, drawn) == drawn, f"{workers} workers, epoch {epoch}"
    assert found[0] != found[1]
