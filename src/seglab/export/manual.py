"""The README of a target's folder, for somebody who has never seen this laboratory."""

from __future__ import annotations

from typing import Any

from seglab.export.folder import ACCURACY, ANSWER, GIVEN, IMAGE, LATENCY, LAYERS, MANIFEST, MASK, SBOM, SIGNATURE, SUMS
from seglab.inference.bundle import FIRST_STAGE, Bundle
from seglab.inference.model_usage import usage
from seglab.safety.shown_text import in_markdown, in_table

_RUN = {
    "openvino": """import numpy as np, openvino
core = openvino.Core()
model = core.compile_model("model.xml", "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
answer = list(model(np.load("example_in.npy")).values())[0]""",
    "onnx": """import numpy as np, onnxruntime
session = onnxruntime.InferenceSession("model.onnx", providers=["CPUExecutionProvider"])
answer = session.run(None, {session.get_inputs()[0].name: np.load("example_in.npy")})[0]""",
    "litert": """import numpy as np
from ai_edge_litert.interpreter import Interpreter
interpreter = Interpreter("model.tflite"); interpreter.allocate_tensors()
interpreter.set_tensor(interpreter.get_input_details()[0]["index"], np.load("example_in.npy"))
interpreter.invoke()
answer = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])""",
    "savedmodel": """import numpy as np, tensorflow as tf
serve = tf.saved_model.load("saved_model").signatures["serving_default"]
(name,) = serve.structured_input_signature[1]
answer = list(serve(**{name: tf.constant(np.load("example_in.npy"))}).values())[0].numpy()""",
}
_PACKAGES = {"openvino": "openvino", "onnx": "onnxruntime", "litert": "ai-edge-litert", "savedmodel": "tensorflow"}
_C_PROGRAM = "| run.c | a C program that loads it and checks the example; how to build it stands at its top |"
_LAYER_ERRORS = f"| {LAYERS} | of each layer the ratio of its float numbers to what 8 bits add to them, in decibels |\n"
_BFLOAT16 = """
Set the precision as above. On processors that have bfloat16, OpenVINO computes in it by
default, without a message; results then differ at the borders of classes.
"""

_ROUNDING = """
The numbers have 8 bits within; another processor may round them otherwise, so that an answer differs a little.
"""


def manual(manifest: dict[str, Any], bundle: Bundle, scores: dict[str, Any], latency: dict[str, Any] | None) -> str:
    """The page in Markdown."""
    target, given, answer = manifest["target"], manifest["input"], manifest["output"]
    format = target["format"]
    thing = "pixel of an image" if bundle.task.rank == 2 else "voxel of a volume"
    topics = "\n".join(f"- **{key.replace('_', ' ')}**: {in_markdown(text)}" for key, text in usage(bundle).items())
    classes = "\n".join(
        f"| {number} | {in_table(name)} | {red}, {green}, {blue} |"
        for number, (name, (red, green, blue)) in enumerate(
            zip(bundle.task.class_names, bundle.task.class_colors, strict=True)
        )
    )
    layers = _LAYER_ERRORS if (format, target["precision"]) == ("openvino", "int8") else ""
    return f"""# A segmentation model, {target["name"]}

It gives the class of every {thing}. This folder is all that is needed to run it; nothing of the laboratory that trained
it has to be installed. Check first that it has arrived whole: `sha256sum -c {SUMS}`.

## Run it

    pip install {_PACKAGES[format]} numpy

```python
{_RUN[format]}
assert np.abs(answer.astype(float) - np.load("{ANSWER}")).max() < {"1e-4" if target["precision"] == "float32" else "1"}
```
{_BFLOAT16 if format == "openvino" else ""}{_ROUNDING if target["precision"] != "float32" else ""}
## What goes in and what comes out

| | name | shape | type |
| --- | --- | --- | --- |
| in | {given["name"]} | {_shape(given)} | {given["dtype"]} |
| out | {answer["name"]} | {_shape(answer)} | {answer["dtype"]} |

{in_markdown(manifest["input"]["meaning"])}

{in_markdown(manifest["output"]["meaning"])}

Of the whole way, from an image of any size to its mask:

{topics}

| id | class | colour (red, green, blue) |
| ---: | --- | --- |
{classes}

## An image of your own

{_own(manifest, bundle)}

Numbers must be finite: a NaN has no class, and the mask does not show it. An image that is black, white or
blurred all over gets a mask like any other; see to it before that the camera has seen something.

## How far it is from the model that was trained

{_accuracy(scores)}

## How long it takes

{_latency(latency)}

## Files

| file | what it is |
| --- | --- |
| {manifest["file"]}{", model.bin" if format == "openvino" else ""} | the model |
| {MANIFEST} | names, shapes, preprocessing, classes, versions, operations, calibration |
| {IMAGE}, {GIVEN} | a made-up image, and what the network gets of it |
| {ANSWER}, {MASK} | what the network answers, and the mask |
| {ACCURACY}, {LATENCY} | the results above, in full |
{layers}| {SBOM} | software bill of materials, CycloneDX |
| LICENSES/ | of what runs it |
| {SUMS}, {SIGNATURE} | digests of all files; their Ed25519 signature, where the exporter has signed |
{_C_PROGRAM if target["c_program"] else ""}
"""


def _own(manifest: dict[str, Any], bundle: Bundle) -> str:
    """From the numbers of an image to its mask, in NumPy, around the code that runs the example."""
    task, given, size = bundle.task, bundle.preprocessing, " × ".join(map(str, manifest["input"]["shape"][1:]))
    if manifest["target"]["graph"] == "end_to_end":
        return (
            f"Read it as an array of {size}, 8 bits a number, give `image[None]` in the place of example_in.npy, and "
            "`answer[0]` is the mask."
        )
    if bundle.both_stages:
        return (
            f"It takes two networks: `{FIRST_STAGE}/` is a target of its own, with a manifest and an example, and its "
            "mask becomes more channels for the network of this folder, as told above. `seglab predict` and "
            "`seglab serve` run both from this folder."
        )
    if given.mode == "zscore":
        before = "given = ...  # as described above, float32"
    else:
        before = f"given = image / {given.unit:g}"
        if given.mode == "window":
            before += f"\ngiven = np.clip(given, {list(given.low)}, {list(given.high)})"
        if given.mode in ("standard", "window"):
            before += f"\ngiven = (given - {list(given.mean)}) / {list(given.std)}"
    after = "answer[0].argmax(-1)"
    if task.binary:
        after = f"(1 / (1 + np.exp(-answer[0, ..., 0])) > {bundle.threshold:g}).astype(np.uint8)"
    if task.regions:
        after = "np.zeros(answer.shape[1:-1], np.uint8)"
        for number, region in enumerate(task.regions):
            inside = f"1 / (1 + np.exp(-answer[0, ..., {number}])) > {bundle.threshold:g}"
            after += f"\nmask[{inside}] = {region.paints}  # {in_markdown(region.name)}"
    return f"""An image of {size}, in NumPy; resize it to that first:

```python
{before}
given = given[None].astype(np.float32)
# run it as above, with given in the place of example_in.npy
mask = {after}
```"""


def _shape(end: dict[str, Any]) -> str:
    return " × ".join(map(str, end["shape"]))


def _accuracy(scores: dict[str, Any]) -> str:
    if not scores["cases"]:
        return f"Not measured on labelled images: {in_markdown(scores['why_not'])}. The example alone was compared."
    lines = [f"On {scores['cases']} cases of the {scores['split']} split, as means over the cases:", ""]
    lines += ["| Dice | trained model | this one | difference, 95% interval |", "| --- | ---: | ---: | --- |"]
    for name, row in scores["dice"].items():
        if row["difference"] is not None:
            ends = "" if row["low"] is None else f" [{row['low']:+.5f}, {row['high']:+.5f}]"
            lines.append(
                f"| {in_table(name)} | {row['reference']:.4f} | {row['target']:.4f} | {row['difference']:+.5f}{ends} |"
            )
    masks = scores["masks"]
    lines += ["", f"{masks['differ']:,} of {masks['of']:,} pixels get another class than from the trained model."]
    if scores["allowed_drop"] is not None:
        lines += [
            "",
            f"**It was let out although the rule is stricter: a loss of Dice up to {scores['allowed_drop']:g}.**",
        ]
    return "\n".join(lines)


def _latency(latency: dict[str, Any] | None) -> str:
    if latency is None:
        return "Not measured."
    milliseconds = latency["milliseconds"]
    rows = [
        f"| {stage} | {row['p50']:.2f} | {row['p95']:.2f} | {row['max']:.2f} |" for stage, row in milliseconds.items()
    ]
    size = " × ".join(map(str, latency["size"]))
    return "\n".join(
        [
            f"Milliseconds for one image of {size} on {latency['threads']} threads of {in_markdown(latency['cpu'])}, "
            f"in {latency['precision']}; the process takes {latency['peak_rss_mb']:.0f} MB and loads the model in "
            f"{latency['load_seconds']:.2f} s.",
            "",
            "| stage | median | 95 of 100 | longest |",
            "| --- | ---: | ---: | ---: |",
            *rows,
        ]
    )
