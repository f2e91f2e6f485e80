"""What a model wants and returns, in words: for errors, for the metadata and the README of a recorded model."""

from __future__ import annotations

import sys

from seglab.data.preprocessing.normalisation import Preprocessing
from seglab.data.preprocessing.value_scale import IN_WORDS
from seglab.inference.bundle import Bundle
from seglab.safety.shown_text import in_markdown, in_table
from seglab.task import Task

_CHANNELS = {1: "one, grey", 3: "red, green, blue in this order (OpenCV reads blue first)"}
_FITS = {
    "resize": "of any size: it is resized to {size} and the mask back",
    "letterbox": "of any size: it is resized into {size}, its proportions kept, and the mask back",
    "pad": "of any size: it is padded to {size}, or covered with windows of it where it is larger",
    "patch": "of any size: it is covered with windows of {size}",
}


def axes(task: Task) -> str:
    """`H, W` of images, `X, Y, Z` of volumes."""
    return "H, W" if task.rank == 2 else "X, Y, Z"


def values_wanted(preprocessing: Preprocessing) -> str:
    """What the numbers of an image have to count in."""
    if preprocessing.mode == "zscore":
        return "numbers on any scale, as each image is normalised by itself"
    if preprocessing.scale in IN_WORDS:
        return f"{IN_WORDS[preprocessing.scale]}, as stored in the files of the training images"
    return "numbers as stored in the files of the training images, in the same type"


def input_in_words(task: Task, preprocessing: Preprocessing) -> str:
    """Shape, channels, values and types of an image, in one sentence."""
    shape = f"({axes(task)}, {task.channels})"
    bare = f" or ({axes(task)})" if task.channels == 1 else ""
    return (
        f"an image {shape}{bare}, or a batch (N, {axes(task)}, {task.channels}); channels last: {_channels(task)}; "
        f"{values_wanted(preprocessing)}; uint8, uint16, another whole number, or float"
    )


def usage(bundle: Bundle) -> dict[str, str]:
    """What a caller must know of the model, by topic; ready for the metadata of an MLflow model."""
    task = bundle.task
    size = " × ".join(map(str, bundle.size))
    topics = {
        "input": input_in_words(task, bundle.preprocessing),
        "input_size": _FITS[bundle.resize_mode].format(size=size),
        "output": f"class ids ({axes(task)}) of an image, (N, {axes(task)}) of a batch; uint8 up to 256 classes",
        "classes": ", ".join(f"{number} {name}" for number, name in enumerate(task.class_names)),
        **({"regions": ", ".join(map(task.region_sentence, task.regions))} if task.regions else {}),
    }
    if bundle.both_stages:
        topics["stages"] = (
            "two networks, one after the other; the second sees the mask of the first, a channel for each foreground "
            "class, behind the image"
        )
    if bundle.members:
        topics["members"] = f"the mean of the probabilities of {len(bundle.members)} networks"
    if bundle.postprocessing:
        topics["postprocessing"] = "; ".join(step.sentence(task) for step in bundle.postprocessing)
    if task.rank == 3:
        topics["axes"] = "in RAS order, as nibabel.as_closest_canonical gives them"
    if bundle.spacing is not None:
        step = ", ".join(f"{mm:g}" for mm in bundle.spacing)
        topics["spacing"] = f'mm along each axis, params={{"spacing": [{step}]}}; [{step}] where none is given'
    return topics


def readme(bundle: Bundle) -> str:
    """A page of Markdown for the folder of a recorded model: how it is loaded, what it wants and what it returns."""
    task = bundle.task
    python = ".".join(map(str, sys.version_info[:2]))
    image = "image: an array as described below"
    spacing = ', params={"spacing": [x, y, z]}' if bundle.spacing is not None else ""
    known = dict(enumerate(task.label_values)) if task.label_values else {}
    rows = "\n".join(
        f"| {number} | {in_table(name)} | #{red:02x}{green:02x}{blue:02x} ({red}, {green}, {blue}) |"
        f" {known.get(number, number)} |"
        for number, (name, (red, green, blue)) in enumerate(zip(task.class_names, task.class_colors, strict=True))
    )
    topics = "\n".join(f"- **{topic.replace('_', ' ')}**: {in_markdown(text)}" for topic, text in usage(bundle).items())
    return f"""# A segmentation model

It gives the class of every {"pixel of an image" if task.rank == 2 else "voxel of a volume"}. This folder can be copied
anywhere: it needs Python {python} and what `requirements.txt` names, and no installed seglab.

    pip install -r requirements.txt

```python
import mlflow
model = mlflow.pyfunc.load_model("path/of/this/folder")
mask = model.predict(image{spacing})  # {image}
```

## What it wants and returns

{topics}

## Classes

| id in the mask | class | colour (red, green, blue) | value in the training masks |
| ---: | --- | --- | ---: |
{rows}
"""


def _channels(task: Task) -> str:
    if task.rank == 2 and task.channels in _CHANNELS:
        return _CHANNELS[task.channels]
    if task.channels == 1:
        return "one"
    return f"{task.channels}, in the order of the training files"
