"""`seglab serve`: a model behind HTTP."""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, Protocol

from pydantic import Field

from seglab.cli.api_keys import KEYS, read_keys
from seglab.cli.words import read, setting, tracking_uri
from seglab.config.types import PositiveInt
from seglab.errors import ConfigError
from seglab.runtime.waiting import step
from seglab.safety.shown_text import shown

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from seglab.interactive.prompting import Prompting
    from seglab.serving.app import Room
    from seglab.serving.limits import Limits
    from seglab.serving.origin import Origin
    from seglab.serving.place import Place
    from seglab.serving.served import ServedModel
    from seglab.serving.service import Service

_EXAMPLES = """examples:
  seglab serve dist/roadseg
  seglab serve run=<id> port=8080                                     exported first, into .cache/serve
  seglab serve models:/roadseg@champion                               and whatever becomes the champion later
  seglab serve dist/roadseg host=0.0.0.0 keys=keys.txt                for other machines
then: curl --data-binary @street.png -H 'Content-Type: image/png' localhost:8000/predict -o mask.png"""
_Seconds = Annotated[float, Field(gt=0)]
_AnySeconds = Annotated[float, Field(ge=0)]


@dataclass(frozen=True, kw_only=True)
class ServeWords:
    """Serve a model: images in, masks out. SIGTERM ends it once everything in flight is answered."""

    model: str = setting(
        "an exported folder, the folder of a bundle, a run's id, or models:/<name>@<alias>",
        positional=True,
        former=("run", "bundle"),
    )
    host: str = setting("address to bind to; others than this machine's need keys", default="127.0.0.1")
    port: Annotated[int, Field(ge=0, le=65535)] = setting("0 takes a free one", default=8000)
    runtime: Literal["openvino", "onnx", "litert"] | None = setting(
        "that runs it; null: openvino, or what an exported folder has", default=None
    )
    precision: Literal["float32", "int8", "int8_dynamic"] = setting("of an exported folder", default="float32")
    threads: PositiveInt | None = setting("that compute; null: one for each core of this process", default=None)
    name: str = setting("of the model in addresses; empty: the folder's, or the registered one", default="")
    watch_seconds: Annotated[float, Field(ge=0)] = setting(
        "between two looks whether the folder was replaced or the alias moved; 0: never", default=10.0
    )
    cache: str = setting("folder of what was exported to be served, and of embeddings", default=".cache/serve")
    tracking_uri: str | None = tracking_uri()
    keys: str | None = setting(f"file with an API key on each line; those of {KEYS} count too", default=None)
    open: bool = setting("let other machines in without a key", default=False)
    data: tuple[str, ...] = setting(
        "data.root=…: images to show at /images; data=<name> first, for others than the model's",
        default=(),
        prefix=True,
    )
    interactive: bool = setting(
        "masks from clicks and boxes too, at /sessions and on the page /annotate", default=False
    )
    prompt_model: str = setting("that answers clicks and boxes, as of seglab segment", default="grabcut")
    prompt_checkpoint: str | None = setting("file of its weights; null: its own, if it has any", default=None)
    accepted: str = setting("folder of the masks that users accept, for data=image_folder", default="accepted")
    rows: str = setting(
        "place of a row for each answer: a file or postgresql+psycopg://…", default="monitoring/rows.db"
    )
    keep_images: str = setting("folder that answered images and masks are kept in; empty: none", default="")
    keep_bytes: PositiveInt = setting("of those together; the oldest make room", default=2**30)
    canary: str | None = setting("folder of labelled cases, predicted with every model", default=None)
    canary_seconds: _AnySeconds = setting("and each so many seconds; 0: with a new model alone", default=3600.0)
    root_path: str = setting("before every address, behind a proxy", default="")
    drain_seconds: Annotated[float, Field(ge=0)] = setting(
        "after SIGTERM, how long requests are still taken", default=5.0
    )
    body_bytes: PositiveInt = setting("of one request", default=64 * 2**20)
    pixels: PositiveInt = setting("of one image", default=64_000_000)
    voxels: PositiveInt = setting("of one volume, with its channels", default=256_000_000)
    queue: PositiveInt = setting("requests that wait", default=32)
    deadline_seconds: _Seconds = setting("until an answer", default=60.0)
    body_seconds: _Seconds = setting("a client may be silent in the middle of its request", default=30.0)
    requests_per_minute: Annotated[int, Field(ge=0)] = setting("of one client; 0: any number", default=0)


def read_words(words: Sequence[str]) -> ServeWords:
    """What the words of the command line say."""
    return read(ServeWords, words, "serve", _EXAMPLES)


class Front(Protocol):
    """What stands before the service, where that is more than its API."""

    def begin(self, started: ExitStack) -> None:
        """Load what it needs while the process of the model loads; what is to end without it goes on the stack."""
        ...

    def ready(self, served: ServedModel) -> None:
        """Wait for what it began; the model is loaded."""
        ...

    def app(self, service: Service, rooms: Sequence[Room], place: Place, port: int) -> ASGIApp:
        """Everything that is served at a port; what it began ends with the service."""
        ...

    def told(self, place: Place, port: int) -> Sequence[str]:
        """Lines for whoever started it, once clients can come."""
        ...


def run(words: Sequence[str]) -> int:
    """Serve until a signal."""
    return serve_words(read_words(words))


def serve_words(said: ServeWords, front: Front | None = None) -> int:
    """Serve what the words say until a signal.

    Args:
        said: the words.
        front: what stands before the API; None for the API alone.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    keys = read_keys(said.keys)
    if said.interactive:
        _check_prompts(said)
    if said.canary:
        from seglab.monitoring.canary import canary_cases

        canary_cases(Path(said.canary))  # refused before anything is loaded
    from seglab.serving.limits import Limits
    from seglab.serving.place import Place, bound

    limits = Limits(
        body_bytes=said.body_bytes,
        pixels=said.pixels,
        voxels=said.voxels,
        queue=said.queue,
        deadline_seconds=said.deadline_seconds,
        body_seconds=said.body_seconds,
        requests_per_minute=said.requests_per_minute,
    )
    place = Place(said.host, said.port, keys, said.drain_seconds, said.root_path, limits)
    port = bound(place, without_keys=said.open)
    signal.signal(signal.SIGTERM, _ended)  # until the service has its own way to end
    with closing(origin_for(said, said.model)) as origin:
        _serve(said, place, port, origin, front)
    print("ended", file=sys.stderr)
    return 0


def origin_for(said: ServeWords, word: str) -> Origin:
    """What a word means as a model, exported as the settings say where it has to be."""
    from seglab.serving.origin import Exporting, origin_of

    return origin_of(word, Exporting(said.cache, said.tracking_uri, said.runtime or "openvino"))


def _serve(said: ServeWords, place: Place, port: socket.socket, origin: Origin, front: Front | None) -> None:
    from seglab.serving.models import Loading, Models, RunningModel
    from seglab.serving.origin import default_name
    from seglab.serving.served import name_of

    name = name_of(said.name or default_name(said.model))
    loading = Loading(
        place.limits,
        name,
        said.runtime,
        said.precision,
        said.threads,
        bool(said.rows),
        said.keep_images,
        said.keep_bytes,
    )
    with step(f"looking for {said.model}"):
        found = origin.newer()
        assert found is not None  # the first time
    with ExitStack() as started:
        process = loading.start(found)
        started.callback(process.kill)
        with step("loading what serves models"):
            from seglab.serving.app import make_app  # while the process loads the model
            from seglab.serving.images import Images
            from seglab.serving.server import serve
            from seglab.serving.service import Service
            from seglab.serving.watching import Watch

            if front:
                front.begin(started)
        images = Images(said.data, found.folder) if said.data else None
        if images:
            started.callback(images.close)
        prompting = _prompting(said, place.limits)
        if prompting:
            started.callback(prompting.close)
        with step(f"loading {said.model}"):
            model = RunningModel(process, found)
        if images:
            with step(f"looking for {' '.join(said.data)}"):
                images.begin()
        rooms: list[Room] = []
        if prompting:
            from seglab.app.canvas.routes import add_annotate
            from seglab.interactive.routes import add_sessions

            with step(f"loading {said.prompt_model}"):
                prompting.begin()
            rooms += [partial(add_sessions, prompting=prompting), add_annotate]
        if front:
            front.ready(model.served)
        started.pop_all()
    served, number = model.served, port.getsockname()[1]
    print(shown(f"{served.label}, {served.runtime} in {served.precision}, {served.threads} threads"))
    service = Service(Models(model, loading), place.limits, said.rows)
    service.images = images
    if said.watch_seconds:
        service.watch = Watch(origin, service.models, said.watch_seconds, service.telemetry, service.taken_over)
    if said.canary:
        from seglab.serving.canary import Canary

        Canary(Path(said.canary), service, said.canary_seconds)
    where = f"http://{said.host}:{number}/"
    clicks = [f"clicks and boxes at {where}annotate"] if prompting else []
    lines = front.told(place, number) if front else [*clicks, f"serving at {where}"]
    serve(
        service,
        front.app(service, rooms, place, number) if front else make_app(service, place.keys, rooms),
        place,
        port,
        pages=front is not None,
        begun=lambda: print(shown("\n".join(lines)), flush=True),
    )


def _prompting(said: ServeWords, limits: Limits) -> Prompting | None:
    """What answers prompts, where that was asked for; it loads from now on."""
    if not said.interactive:
        return None
    from seglab.interactive.prompting import Prompting, PromptsSaid

    embeddings = str(Path(said.cache) / "embeddings")
    return Prompting(PromptsSaid(said.prompt_model, said.prompt_checkpoint, embeddings, said.accepted), limits)


def _check_prompts(said: ServeWords) -> None:
    """That the model which is to answer prompts can; raises `ConfigError` before anything is loaded."""
    from seglab.interactive.model import MODELS, row_of

    row = row_of(said.prompt_model, Path(said.prompt_checkpoint) if said.prompt_checkpoint else None)
    if row.rank != 2:
        raise ConfigError(
            "a model of volumes for sessions of images",
            code="settings-exclude",
            where="prompt_model",
            found=said.prompt_model,
            expected="one of " + ", ".join(name for name, its in MODELS.items() if its.rank == 2),
            remedy="seglab segment model=… takes volumes",
        )


def _ended(number: int, frame: object) -> None:
    raise SystemExit(0)
