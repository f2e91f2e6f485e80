"""The settings of `seglab serve`, and which of them go together."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from seglab.cli.api_keys import KEYS
from seglab.cli.words import setting, tracking_uri
from seglab.config.types import PositiveInt
from seglab.errors import ConfigError

_Seconds = Annotated[float, Field(gt=0)]
_AnySeconds = Annotated[float, Field(ge=0)]


@dataclass(frozen=True, kw_only=True)
class ServeWords:
    """Serve a model: images in, masks out; or, with interactive=true, clicks and boxes. SIGTERM ends it once all
    running requests are answered."""

    model: str | None = setting(
        "an exported folder, the folder of a bundle, a run's id, or models:/<name>@<alias>; null: no model",
        default=None,
        positional=True,
        former=("run", "bundle"),
    )
    host: str = setting("address to bind to; others than this machine's need keys", default="127.0.0.1")
    port: Annotated[int, Field(ge=0, le=65535)] = setting("port; 0 takes a free one", default=8000)
    runtime: Literal["openvino", "onnx", "litert"] | None = setting(
        "runtime to use; null: openvino, or the one in an exported folder", default=None
    )
    precision: Literal["float32", "int8", "int8_dynamic"] = setting(
        "number format to use, where an exported folder has several", default="float32"
    )
    threads: PositiveInt | None = setting("number of threads; null: one for each core of this process", default=None)
    name: str = setting("name of the model in addresses; empty: that of the folder or the registered model", default="")
    watch_seconds: Annotated[float, Field(ge=0)] = setting(
        "seconds between two checks whether the folder was replaced or the alias moved; 0: never", default=10.0
    )
    cache: str = setting("folder for exports that are made to be served, and for embeddings", default=".cache/serve")
    tracking_uri: str | None = tracking_uri()
    keys: str | None = setting(f"file with an API key on each line; those of {KEYS} count too", default=None)
    open: bool = setting("let other machines in without a key", default=False)
    data: tuple[str, ...] = setting(
        "data.root=…: images to show at /images; with data=<name>, of another data set than the model's",
        default=(),
        prefix=True,
    )
    interactive: bool = setting(
        "masks from clicks and boxes too, at /sessions and on the page /annotate", default=False
    )
    prompt_model: str = setting("promptable model that answers clicks and boxes, see seglab segment", default="grabcut")
    prompt_checkpoint: str | None = setting(
        "file of its weights; null: the shipped ones, if there are any", default=None
    )
    accepted: str = setting("folder of the masks that users accept, for data=image_folder", default="accepted")
    rows: str = setting(
        "where a row for each answer is kept: a file or postgresql+psycopg://…", default="monitoring/rows.db"
    )
    flips: bool = setting(
        "also keep how far masks of mirror images agree, at the price of three more predictions", default=False
    )
    keep_images: str = setting("folder to keep images and their masks in; empty: keep none", default="")
    keep_bytes: PositiveInt = setting("most bytes to keep there; the oldest are removed", default=2**30)
    canary: str | None = setting("folder of labelled cases to predict with every new model", default=None)
    canary_seconds: _AnySeconds = setting(
        "seconds until they are predicted again; 0: with a new model only", default=3600.0
    )
    drift_seconds: _AnySeconds = setting(
        "seconds until answers are tested for drift again, reported in /metrics; 0: never", default=60.0
    )
    root_path: str = setting("path before every address, behind a proxy", default="")
    drain_seconds: Annotated[float, Field(ge=0)] = setting(
        "seconds after SIGTERM in which requests are still accepted", default=5.0
    )
    body_bytes: PositiveInt = setting("most bytes of one request", default=64 * 2**20)
    pixels: PositiveInt = setting("most pixels of one image", default=64_000_000)
    voxels: PositiveInt = setting("most voxels of one volume, over all channels", default=256_000_000)
    queue: PositiveInt = setting("most requests that wait", default=32)
    deadline_seconds: _Seconds = setting("seconds until a request without an answer is given up", default=60.0)
    body_seconds: _Seconds = setting(
        "seconds that a client may pause, or take for its headers; its body may take a second more for each 10 kB",
        default=30.0,
    )
    requests_per_minute: Annotated[int, Field(ge=0)] = setting("most requests of one client; 0: any number", default=0)


def check_words(settings: ServeWords) -> None:
    """That they go together; raises `ConfigError` before anything is loaded."""
    if settings.interactive:
        _check_prompts(settings)
    if settings.model is None:
        _check_without_model(settings)


def _check_prompts(settings: ServeWords) -> None:
    """That the model which is to answer prompts can; raises `ConfigError` before anything is loaded."""
    from seglab.interactive.prompt_models import row_of

    row_of(settings.prompt_model, Path(settings.prompt_checkpoint) if settings.prompt_checkpoint else None)


def _check_without_model(settings: ServeWords) -> None:
    """That there is something to serve, and nothing said of a model; raises `ConfigError`."""
    if not settings.interactive:
        raise ConfigError(
            "nothing to serve",
            code="missing-setting",
            where="model",
            expected="an exported folder, the folder of a bundle, a run's id, or models:/<name>@<alias>",
            remedy="seglab serve <model>; or interactive=true, for clicks and boxes without one",
        )
    of_models = ("runtime", "precision", "threads", "name", "flips", "keep_images", "canary", "compare")
    changed = [
        one.name
        for one in fields(settings)
        if one.name in of_models and getattr(settings, one.name) not in (one.default, ())
    ]
    if changed:
        raise ConfigError(
            "settings of a model, without a model",
            code="settings-exclude",
            where=", ".join(changed),
            found="no model",
            expected="a model, or none of them",
            remedy="name the model first: seglab serve <model> …",
        )
    if settings.data and not any(word.startswith("data=") for word in settings.data):
        raise ConfigError(
            "data without a name, and no model whose data they could be",
            code="missing-setting",
            where="data",
            found=" ".join(settings.data),
            expected="data=<name> first",
            remedy=f"data=image_folder {' '.join(settings.data)}",
        )
