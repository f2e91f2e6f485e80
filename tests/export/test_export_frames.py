"""What odd frames give: blind, dazzled, broken; and that whoever follows the README alone gets the mask."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from served import CELLS, ROAD, served_folder

from seglab.data.preprocessing.normalisation import Preprocessing
from seglab.errors import DataError
from seglab.export.folder import IMAGE, MASK, read_folder
from seglab.export.manual import manual
from seglab.inference.bundle import Bundle
from seglab.task import Task

SCORES = {"cases": 0, "why_not": "none"}


@pytest.mark.parametrize("task", [ROAD, CELLS], ids=["three", "one"])
def test_a_frame_without_a_picture_has_a_mask(task: Task, tmp_path: Path) -> None:
    predictor = read_folder(served_folder(tmp_path / "out", task, (16, 24))).predictor()
    for value, size in ((0, (16, 24)), (255, (16, 24)), (0, (50, 70)), (255, (1, 1))):
        frame = np.full((*size, task.channels), value, np.uint8)
        mask = predictor.predict(frame)
        assert (mask.shape, mask.dtype) == (size, np.uint8)
        assert mask.max() < task.classes
        np.testing.assert_array_equal(mask, predictor.predict(frame))
    # Black is nobody's colour; white, away from the border, is the last class's, which is looked for most.
    assert not predictor.predict(np.zeros((50, 70, task.channels), np.uint8)).any()
    white = predictor.predict(np.full((50, 70, task.channels), 255, np.uint8))[5:-5, 5:-5]
    assert set(np.unique(white)) == {task.classes - 1}


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("count", [1, 16 * 24])
def test_a_frame_with_a_number_that_is_none_is_refused(value: float, count: int, tmp_path: Path) -> None:
    predictor = read_folder(served_folder(tmp_path / "out", CELLS, (16, 24))).predictor()
    frame = np.full(16 * 24, 7, np.float32)
    frame[:count] = value
    with pytest.raises(DataError, match="finite"):
        predictor.predict(frame.reshape(16, 24, 1))


@pytest.mark.parametrize("mode", ["scale", "standard", "window"])
@pytest.mark.parametrize("task", [ROAD, CELLS], ids=["three", "one"])
def test_the_code_of_the_readme_gives_the_mask(task: Task, mode: str, tmp_path: Path) -> None:
    folder = served_folder(tmp_path / "out", task, (16, 24))
    exported = read_folder(folder)
    fitted = {"mean": (0.4,) * task.channels, "std": (0.3,) * task.channels}
    fitted |= {"low": (0.1,) * task.channels, "high": (0.8,) * task.channels} if mode == "window" else {}
    preprocessing = Preprocessing(mode, task.channels, 255.0, scale="bytes", **(fitted if mode != "scale" else {}))  # type: ignore[arg-type]
    bundle = Bundle(task, preprocessing, (16, 24), "patch")
    manifest = exported.manifest | {"input": {"name": "image", "shape": [1, 16, 24, task.channels], "dtype": "float32"}}
    manifest |= {"output": {"name": "logits", "shape": [1, 16, 24, 1], "dtype": "float32", "meaning": "m"}}
    manifest["input"]["meaning"] = "m"
    manifest["target"]["c_program"] = True
    page = manual(manifest, bundle, SCORES, None)
    code = re.findall(r"```python\n(.*?)```", page, re.DOTALL)[1]
    before, after = code.split("# run it as above, with given in the place of example_in.npy\n")
    network = exported.open()
    image = exported.array(IMAGE)
    names: dict[str, object] = {"np": np, "image": image}
    exec(before, names)
    given = names["given"]
    assert isinstance(given, np.ndarray)
    assert given.dtype == np.float32
    np.testing.assert_allclose(given[0], preprocessing.apply(image), atol=1e-6)
    names["answer"] = network.run(given).copy()
    exec(after, names)
    if mode == "scale":
        np.testing.assert_array_equal(names["mask"], exported.array(MASK))
    else:
        assert names["mask"].shape == (16, 24)  # type: ignore[attr-defined]
