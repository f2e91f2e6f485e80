"""Loads the model of a folder for MLflow: with the seglab that is installed or, where there is none, with its code that
lies beside this file. Copied into the folder as `seglab_model.py`; it stands alone."""

import importlib
import importlib.util
import sys
from pathlib import Path
from typing import Any

_CARRIED = "carried"


def _load_pyfunc(path: str) -> Any:
    """Called by MLflow with the folder of the bundle."""
    try:
        installed = importlib.util.find_spec("seglab.inference.pyfunc")
    except ModuleNotFoundError:
        installed = None
    if installed is None:
        sys.modules.pop("seglab", None)  # a folder of this name that happened to be in the way
        sys.path.append(str(Path(__file__).with_name(_CARRIED)))
        importlib.invalidate_caches()
    return importlib.import_module("seglab.inference.pyfunc")._load_pyfunc(path)
