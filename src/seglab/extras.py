"""Which extra of seglab brings which package, and what to install where one is missing."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence

from seglab.errors import ConfigError

EXTRA_OF = {
    **dict.fromkeys(
        ("albumentations", "filelock", "hydra", "matplotlib", "mlflow", "omegaconf", "pandas", "pyarrow"),
        "train",
    ),
    **dict.fromkeys(("rich", "skimage", "sklearn", "sqlalchemy"), "train"),
    **dict.fromkeys(("keras", "tensorflow"), "keras"),
    "jax": "jax",
    **dict.fromkeys(("SimpleITK", "zarr"), "formats"),
    "optuna": "search",
    "psycopg": "postgres",
    "streamlit": "app",
    "pptx": "slides",
    "submitit": "cluster",
    **dict.fromkeys(("ai_edge_litert", "cryptography", "nncf", "onnx", "onnxruntime", "tf2onnx"), "export"),
    **dict.fromkeys(("fastapi", "openvino", "prometheus_client", "python_multipart", "starlette", "uvicorn"), "serve"),
}
# An extra that another one brings along.
_WITH = {"train": ("keras",), "app": ("serve",)}


def check_extras(extras: Sequence[str], where: str) -> None:
    """See that the packages of some extras are installed, without importing one of them.

    Args:
        extras: of pyproject.toml.
        where: what needs them, such as `seglab train`.

    Raises:
        ConfigError: a package is missing; the remedy installs all these extras.
    """
    wanted = {*extras, *(one for extra in extras for one in _WITH.get(extra, ()))}
    for module, extra in EXTRA_OF.items():
        if extra in wanted and importlib.util.find_spec(module) is None:
            raise _missing(module, extras, where)


def check_module(module: str, where: str) -> None:
    """The same for one package of an extra, where a file needs no other."""
    if importlib.util.find_spec(module) is None:
        raise _missing(module, (EXTRA_OF[module],), where)


def extras_missing() -> list[str]:
    """The extras of which a package is not installed."""
    return sorted({extra for module, extra in EXTRA_OF.items() if importlib.util.find_spec(module) is None})


def explained(error: ModuleNotFoundError, where: str) -> Exception:
    """What to raise for a module that is not there: how to install it if it is one of an extra, else the error."""
    module = (error.name or "").partition(".")[0]
    extra = EXTRA_OF.get(module)
    return error if extra is None else _missing(module, (extra,), where)


def _missing(module: str, extras: Sequence[str], where: str) -> ConfigError:
    names = ",".join(extras)
    return ConfigError(
        "a part of seglab that is not installed",
        code="package-missing",
        where=where,
        found=f"no module {module}",
        expected=f"seglab with its extra {' and '.join(extras)}",
        remedy=f"pip install 'seglab[{names}]'",
    )
