"""The folder of a recorded model, as MLflow loads and serves it: bundle, code, requirements, example, its use in words.

Nothing is pickled and no requirement is guessed. The code that loads the bundle and predicts lies in the folder, so
that a copy of it works where its `requirements.txt` is installed and no seglab is.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

import numpy as np
from mlflow.models import ModelSignature
from mlflow.types import DataType, ParamSchema, ParamSpec, Schema, TensorSpec

from seglab.tracking.carried_code import LOADER, write_code
from seglab.tracking.mlflow_client import mlflow

README_FILE = "README.md"
# What the code in the folder imports, beside MLflow, which adds itself.
REQUIREMENTS = (
    "h5py",
    "keras",
    "numpy",
    "opencv-python-headless",
    "psutil",
    "pydantic",
    "pyyaml",
    "scipy",
    "tensorflow",
)


def write_model_folder(
    folder: Path,
    bundle: Path,
    *,
    example: np.ndarray,
    prediction: np.ndarray,
    usage: Mapping[str, str],
    readme: str,
) -> None:
    """Make an empty folder the MLflow model of a bundle.

    Its signature lets the spacing of the images be said, `predict(images, params={"spacing": [1.0, 1.0, 3.0]})`: MLflow
    would drop a param that no signature names. Of the images it says nothing: MLflow would take a single shape and
    number type, and refuse any other with a dump of the array. The model itself says what it wants, and `usage` does.

    Args:
        folder: empty.
        bundle: as `seglab.inference.bundle` writes it.
        example: images `(B, *size, C)` as its `predict` takes them; kept as the input example.
        prediction: what it returns for them, `(B, *size)`.
        usage: what the model wants and returns, by topic; kept as its metadata.
        readme: the same as a page of Markdown; none where it is empty.
    """
    spacing = ParamSpec("spacing", DataType.double, default=[], shape=(-1,))
    masks = Schema([TensorSpec(prediction.dtype, (-1,) * prediction.ndim)])
    folder.rmdir()
    with tempfile.TemporaryDirectory(prefix="code") as code:
        mlflow.pyfunc.save_model(
            str(folder),
            loader_module=LOADER,
            data_path=str(bundle),
            code_paths=[str(path) for path in write_code(Path(code))],
            signature=ModelSignature(outputs=masks, params=ParamSchema([spacing])),
            input_example=example,
            pip_requirements=[f"{name}=={version(name)}" for name in REQUIREMENTS],
            metadata=dict(usage),
        )
    if readme:
        (folder / README_FILE).write_text(readme, encoding="utf-8")
