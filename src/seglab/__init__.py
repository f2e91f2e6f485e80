"""seglab: a laboratory for image segmentation experiments.

    import seglab

    run = seglab.train("model=unet", "loss=dice", "trainer.epochs=20")
    run.metrics                                    # one row an epoch
    mask = seglab.load(f"runs:/{run.id}").predict(image)

What a name needs is imported when it is first used: `import seglab` itself loads neither TensorFlow nor MLflow.
"""

import importlib
from typing import Any

# Read as text: what is imported by name is not what a run can reach.
_HOMES = {
    **dict.fromkeys(("Run", "compare", "evaluate", "load", "open_run", "train"), "seglab.api"),
    "SeglabError": "seglab.errors",
}
_MODULES = {"datasets": "seglab.datasets"}
__all__ = ["Run", "SeglabError", "__version__", "compare", "datasets", "evaluate", "load", "open_run", "train"]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(_MODULES[name])
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    if name == "__version__":
        return importlib.import_module("seglab.version").version()
    raise AttributeError(f"module 'seglab' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
