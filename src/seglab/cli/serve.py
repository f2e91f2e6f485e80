"""`seglab serve`: a model behind HTTP."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from seglab.cli.api_keys import read_keys
from seglab.cli.serve_words import ServeWords, check_words
from seglab.cli.words import read
from seglab.extras import check_extras
from seglab.runtime.waiting import step
from seglab.safety.shown_text import shown

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from seglab.interactive.prompting import Prompting
    from seglab.serving.address import Place
    from seglab.serving.asgi import Room
    from seglab.serving.errands import Errands
    from seglab.serving.limits import Limits
    from seglab.serving.origin import Found, Origin
    from seglab.serving.running_models import Loading
    from seglab.serving.served import ServedModel
    from seglab.serving.service import Service

_EXAMPLES = """examples:
  seglab serve dist/roadseg
  seglab serve run=<id> port=8080                                     exported first, into .cache/serve
  seglab serve models:/roadseg@champion                               also the next champion, once there is one
  seglab serve dist/roadseg host=0.0.0.0 keys=keys.txt                for other machines
  seglab serve interactive=true prompt_model=mobile_sam prompt_checkpoint=mobile_sam.pt
                                                                      clicks and boxes alone, without a model
then: curl --data-binary @street.png -H 'Content-Type: image/png' localhost:8000/predict -o mask.png"""


def read_words(words: Sequence[str]) -> ServeWords:
    """What the words of the command line say."""
    return read(ServeWords, words, "serve", _EXAMPLES)


class Front(Protocol):
    """What stands before the service, where that is more than its API."""

    def begin(self, started: ExitStack) -> None:
        """Load what it needs while the process of the model loads; what is to end without it goes on the stack."""
        ...

    def ready(self, served: ServedModel) -> None:
        """Wait for what it began; the model is loaded. Not called where none is served."""
        ...

    def app(self, service: Service, rooms: Sequence[Room], place: Place, port: int) -> ASGIApp:
        """Everything that is served at a port; what it began ends with the service."""
        ...

    def addresses(self, place: Place, port: int) -> Sequence[str]:
        """Lines for whoever started it, once clients can come."""
        ...


def run(words: Sequence[str]) -> int:
    """Serve until a signal."""
    return serve_words(read_words(words))


def serve_words(settings: ServeWords, front: Front | None = None) -> int:
    """Serve what the words say until a signal.

    Args:
        settings: of the verb.
        front: what stands before the API; None for the API alone.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    keys = read_keys(settings.keys)
    check_words(settings)
    if settings.canary:
        from seglab.monitoring.canary import canary_cases

        canary_cases(Path(settings.canary))  # refused before anything is loaded
    from seglab.serving.address import Place, bound
    from seglab.serving.limits import Limits
    from seglab.serving.service_log import write_line

    limits = Limits(
        body_bytes=settings.body_bytes,
        pixels=settings.pixels,
        voxels=settings.voxels,
        queue=settings.queue,
        deadline_seconds=settings.deadline_seconds,
        body_seconds=settings.body_seconds,
        requests_per_minute=settings.requests_per_minute,
    )
    place = Place(settings.host, settings.port, keys, settings.drain_seconds, settings.root_path, limits)
    port = bound(place, without_keys=settings.open)
    signal.signal(signal.SIGTERM, _ended)  # until the service has its own way to end
    with ExitStack() as open_origin:
        origin = open_origin.enter_context(closing(origin_for(settings, settings.model))) if settings.model else None
        _serve(settings, place, port, origin, front)
    write_line("ended")
    return 0


def origin_for(settings: ServeWords, word: str) -> Origin:
    """What a word means as a model, exported as the settings say where it has to be; raises `ConfigError` where what
    exports it is not installed."""
    from seglab.serving.origin import ExportedFolder, Exporting, origin_of

    origin = origin_of(word, Exporting(settings.cache, settings.tracking_uri, settings.runtime or "openvino"))
    if not isinstance(origin, ExportedFolder):
        check_extras(("train",), f"{word}, which is no exported folder here")
    return origin


@dataclass(frozen=True)
class _First:
    """The model that is served at first, which loads in its process."""

    loading: Loading
    found: Found
    process: Errands


def _first(settings: ServeWords, word: str, origin: Origin, limits: Limits) -> _First:
    from seglab.serving.origin import default_name
    from seglab.serving.running_models import Loading
    from seglab.serving.served import name_of

    name, measures = name_of(settings.name or default_name(word)), bool(settings.rows)
    flips = settings.flips and measures
    how = (
        settings.runtime,
        settings.precision,
        settings.threads,
        measures,
        flips,
        settings.keep_images,
        settings.keep_bytes,
    )
    loading = Loading(limits, name, *how)
    with step(f"looking for {word}"):
        found = origin.newer()
        assert found is not None  # the first time
    return _First(loading, found, loading.start(found))


def _serve(settings: ServeWords, place: Place, port: socket.socket, origin: Origin | None, front: Front | None) -> None:
    with ExitStack() as started:
        first = _first(settings, settings.model, origin, place.limits) if settings.model and origin else None
        if first:
            started.callback(first.process.kill)
        with step("loading what serves"):
            from seglab.serving.asgi import make_app  # while the process loads the model
            from seglab.serving.champion_watch import Watch
            from seglab.serving.dataset_routes import Images
            from seglab.serving.no_model import NoModel
            from seglab.serving.running_models import Models, RunningModel
            from seglab.serving.server import serve
            from seglab.serving.service import Service

            if front:
                front.begin(started)
        images = Images(settings.data, first.found.folder if first else None) if settings.data else None
        if images:
            started.callback(images.close)
        prompting = _prompting(settings, place.limits)
        if prompting:
            started.callback(prompting.close)
        models: Models | NoModel = NoModel()
        if first:
            with step(f"loading {settings.model}"):
                models = Models(RunningModel(first.process, first.found), first.loading)
        if images:
            with step(f"looking for {' '.join(settings.data)}"):
                images.begin()
        rooms: list[Room] = []
        if prompting:
            from seglab.app.canvas.canvas_routes import add_annotate
            from seglab.interactive.session_routes import add_sessions

            with step(f"loading {settings.prompt_model}"):
                prompting.begin()
            rooms += [partial(add_sessions, prompting=prompting), add_annotate]
        if front and isinstance(models, Models):
            front.ready(models.served)
        started.pop_all()
    number = port.getsockname()[1]
    service = Service(models, place.limits, settings.rows)
    service.images = images
    if origin and isinstance(models, Models):
        served = models.served
        print(shown(f"{served.label}, {served.runtime} in {served.precision}, {served.threads} threads"))
        if settings.watch_seconds:
            service.watch = Watch(origin, models, settings.watch_seconds, service.telemetry, service.taken_over)
        if settings.rows and settings.drift_seconds:
            from seglab.serving.drifting import Drifting

            Drifting(service, settings.drift_seconds)
    if settings.canary:
        from seglab.serving.canary_schedule import Canary

        Canary(Path(settings.canary), service, settings.canary_seconds)
    where = f"http://{settings.host}:{number}/"
    clicks = [f"clicks and boxes at {where}annotate"] if prompting else []
    lines = front.addresses(place, number) if front else [*clicks, f"serving at {where}"]
    serve(
        service,
        front.app(service, rooms, place, number) if front else make_app(service, place.keys, rooms),
        place,
        port,
        pages=front is not None,
        begun=lambda: print(shown("\n".join(lines)), flush=True),
    )


def _prompting(settings: ServeWords, limits: Limits) -> Prompting | None:
    """What answers prompts, where that was asked for; it loads from now on."""
    if not settings.interactive:
        return None
    from seglab.interactive.prompting import Prompting, PromptSettings

    embeddings = str(Path(settings.cache) / "embeddings")
    return Prompting(
        PromptSettings(settings.prompt_model, settings.prompt_checkpoint, embeddings, settings.accepted), limits
    )


def _ended(number: int, frame: object) -> None:
    raise SystemExit(0)
