"""Shared by all tests: quiet TensorFlow, no network look-ups, signals as in a terminal."""

import gc
import os
import signal
import sys
from collections.abc import Iterator

import psutil
import pytest
from hypothesis import settings

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MPLBACKEND", "Agg")

# How long an example takes says how busy the machine is, not whether the code is right.
settings.register_profile("seglab", deadline=None)
settings.load_profile("seglab")

# A shell starts its background jobs with Ctrl-C ignored, and what ignores it hands that on to every process below.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="module", autouse=True)
def nothing_global_is_left_behind() -> Iterator[None]:
    """What MLflow writes into the environment, Keras's number format, and the main module, in whose place Streamlit's
    tests put their script, which processes started later would run: the next file in this process begins anew."""
    address, main = os.environ.get("MLFLOW_TRACKING_URI"), sys.modules["__main__"]
    yield
    sys.modules["__main__"] = main
    if address is None:
        os.environ.pop("MLFLOW_TRACKING_URI", None)
    else:
        os.environ["MLFLOW_TRACKING_URI"] = address
    if "keras" in sys.modules:
        sys.modules["keras"].config.set_dtype_policy("float32")
        if (
            psutil.Process().memory_info().rss > 1.5e9
        ):  # a worker has held 5 GB in the end; going over all that it holds takes half a second
            sys.modules["keras"].backend.clear_session()
            gc.collect()
