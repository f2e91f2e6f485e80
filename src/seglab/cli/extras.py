"""What to install for a verb whose packages are missing: what runs networks comes with extras, as all the rest does."""

from __future__ import annotations

from seglab.errors import ConfigError

EXTRA_OF = {
    **dict.fromkeys(
        ("albumentations", "filelock", "hydra", "matplotlib", "mlflow", "omegaconf", "pandas", "pyarrow"),
        "train",
    ),
    **dict.fromkeys(("rich", "skimage", "sklearn", "sqlalchemy"), "train"),
    **dict.fromkeys(("keras", "tensorflow"), "keras"),
    "optuna": "search",
    "streamlit": "app",
    "pptx": "slides",
    "submitit": "cluster",
    **dict.fromkeys(("ai_edge_litert", "nncf", "onnx", "onnxruntime", "tf2onnx"), "export"),
    **dict.fromkeys(("fastapi", "openvino", "prometheus_client", "python_multipart", "starlette", "uvicorn"), "serve"),
}


def explained(error: ModuleNotFoundError, verb: str) -> Exception:
    """What to raise for a module that is not there: how to install it if it is one of an extra, else the error."""
    module = (error.name or "").partition(".")[0]
    extra = EXTRA_OF.get(module)
    if extra is None:
        return error
    return ConfigError(
        "a part of seglab that is not installed",
        code="package-missing",
        where=f"seglab {verb}",
        found=f"no module {module}",
        expected=f"seglab with its extra {extra}",
        remedy=f"pip install 'seglab[{extra}]'; all of it: pip install 'seglab[train,search,cluster]'",
    )
