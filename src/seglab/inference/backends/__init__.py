"""What can run a network: one row a runtime, each in a file of its own that is only imported when it is asked for."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from seglab.errors import ConfigError, DataError, nearest
from seglab.inference.loaded_network import LoadedNetwork


@dataclass(frozen=True)
class Backend:
    """A runtime.

    Attributes:
        file: what the file of a model is called that it opens.
        beside: other files that belong to it.
        target: module and class that open it.
        module: that its package is imported as.
        package: to install with pip.
        ranks: of the networks that it runs.
    """

    file: str
    target: tuple[str, str]
    module: str
    package: str
    beside: tuple[str, ...] = ()
    ranks: tuple[int, ...] = (2, 3)


_HERE = "seglab.inference.backends"
BACKENDS = {
    "openvino": Backend(
        "model.xml", (f"{_HERE}.openvino", "OpenVinoNetwork"), "openvino", "openvino", beside=("model.bin",)
    ),
    "onnx": Backend("model.onnx", (f"{_HERE}.onnx", "OnnxNetwork"), "onnxruntime", "onnxruntime"),
    "litert": Backend(
        "model.tflite", (f"{_HERE}.litert", "LiteRtNetwork"), "ai_edge_litert", "ai-edge-litert", ranks=(2,)
    ),
}


def known_backend(name: str) -> Backend:
    """The row of a runtime; raises `ConfigError` for an unknown one."""
    if name not in BACKENDS:
        raise ConfigError(
            "an unknown runtime",
            code="unknown-runtime",
            where="runtime",
            found=name,
            expected="one of " + ", ".join(BACKENDS),
            remedy=nearest(name, BACKENDS),
        )
    return BACKENDS[name]


def check_installed(module: str, package: str, needed_for: str) -> None:
    """See that a package can be imported; raises `ConfigError` with the command that installs it."""
    if importlib.util.find_spec(module) is None:
        raise ConfigError(
            "a package that is not installed",
            code="package-missing",
            where=needed_for,
            found=f"no module {module}",
            expected=f"the package {package}",
            remedy=f"pip install {package}",
        )


def open_network(name: str, file: Path, *, threads: int | None = None, precision: str = "float32") -> LoadedNetwork:
    """The network in a file.

    Args:
        name: of a runtime in `BACKENDS`.
        file: of the kind that the runtime opens.
        threads: to compute with; as many as this process has cores when None.
        precision: of what is not quantised in the file.

    Raises:
        ConfigError: no such runtime, or one that is not installed.
        DataError: a file that it does not open.
    """
    backend = known_backend(name)
    check_installed(backend.module, backend.package, f"runtime {name}")
    module, made = backend.target
    opened: Callable[..., LoadedNetwork] = getattr(importlib.import_module(module), made)
    try:
        return opened(file, threads, precision)
    except (RuntimeError, ValueError, OSError, IndexError, TypeError) as error:
        raise DataError(
            f"a model file that {name} cannot open",
            code="model-file-unreadable",
            where=str(file),
            found=str(error).strip().split("\n")[0][:300],
            expected=f"a {backend.file} of one fixed size",
            remedy="copy it again from where it was exported, or export it again",
        ) from error
