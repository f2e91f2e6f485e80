"""`seglab app`: the pages and the API of a model, at one port."""

from __future__ import annotations

import getpass
import secrets
import socket
from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from seglab.cli.serve import origin_for, serve_words
from seglab.cli.serve_words import ServeWords
from seglab.cli.words import read, setting
from seglab.errors import ConfigError
from seglab.run_record import RUNS
from seglab.runtime.waiting import step

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from seglab.serving.address import Place
    from seglab.serving.asgi import Room
    from seglab.serving.errands import Errands
    from seglab.serving.origin import Found
    from seglab.serving.running_models import Loading, RunningModel
    from seglab.serving.served import ServedModel
    from seglab.serving.service import Service

_EXAMPLES = """examples:
  seglab app dist/roadseg data.root=/data/road
  seglab app models:/roadseg@champion data=cityscapes data.root=… port=8511
  seglab app dist/roadseg compare=[dist/other]
  seglab app prompt_model=mobile_sam prompt_checkpoint=mobile_sam.pt   clicks and boxes alone, without a model
then open the address that it prints; API and pages have one port: curl localhost:8511/api/health"""

_OVERVIEW = "seglab.sweeping.overview"
_UI = "http://127.0.0.1:5000"


@dataclass(frozen=True, kw_only=True)
class AppWords(ServeWords):
    """Show images and the masks of a model in a browser, beside other models, and answer prompts. The API of
    `seglab serve` is at /api of the same port. SIGTERM ends it once all running requests are answered."""

    port: Annotated[int, Field(ge=0, le=65535)] = setting("port; 0 takes a free one", default=8511)
    interactive: bool = setting("also masks from clicks and boxes", default=True)
    compare: tuple[str, ...] = setting("exported folders of further models to compare with the first", default=())
    ui: str | None = setting("address of MLflow's own pages, for links to runs; null: no links", default=_UI)
    runs: str = setting("folder of runs to show", default=str(RUNS))


def read_words(words: Sequence[str]) -> AppWords:
    """What the words of the command line say."""
    return read(AppWords, words, "app", _EXAMPLES)


def run(words: Sequence[str]) -> int:
    """Serve until a signal."""
    settings = read_words(words)
    from seglab.runtime.memory import give_back_freed_memory

    give_back_freed_memory()
    return serve_words(settings, Pages(settings))


@dataclass
class Pages:
    """The pages before the service; see `seglab.cli.serve.Front`.

    Attributes:
        settings: of the verb.
    """

    settings: AppWords
    _own: str = field(default_factory=lambda: secrets.token_urlsafe(24))
    _begun: list[tuple[Loading, Found, Errands]] = field(default_factory=list)
    _others: list[tuple[Loading, RunningModel]] = field(default_factory=list)

    def begin(self, started: ExitStack) -> None:
        """Load further models, and Streamlit."""
        from seglab.serving.limits import Limits
        from seglab.serving.origin import default_name
        from seglab.serving.running_models import Loading
        from seglab.serving.served import name_of

        settings, names = self.settings, {name_of(self.settings.name or default_name(self.settings.model or ""))}
        for word in settings.compare:
            with closing(origin_for(settings, word)) as origin, step(f"looking for {word}"):
                found = origin.newer()
                assert found is not None  # the first time
            name = _free(name_of(default_name(word)), names)
            loading = Loading(
                Limits(pixels=settings.pixels), name, settings.runtime, settings.precision, settings.threads
            )
            process = loading.start(found)
            started.callback(process.kill)
            self._begun.append((loading, found, process))
        from streamlit.starlette import App  # noqa: F401

    def ready(self, served: ServedModel) -> None:
        """Wait for further models; raises `ConfigError` for one of other images or classes than the first."""
        from seglab.serving.running_models import RunningModel

        for word, (loading, found, process) in zip(self.settings.compare, self._begun, strict=True):
            with step(f"loading {word}"):
                model = RunningModel(process, found)
            if not model.served.same_answers(served):
                raise _other_classes(word, model.served, served)
            self._others.append((loading, model))

    def app(self, service: Service, rooms: Sequence[Room], place: Place, port: int) -> ASGIApp:
        """Pages, and the API of each model below them."""
        from seglab.app.api_client import Client
        from seglab.app.navigation import listed
        from seglab.app.reading_runs import ReadingRuns
        from seglab.app.setup import Setup, begin
        from seglab.app.site import API, OTHERS, Site, pages
        from seglab.app.volume import add_volume
        from seglab.serving.asgi import make_app
        from seglab.serving.keys import Keys
        from seglab.serving.running_models import Models
        from seglab.serving.service import Service

        client = Client(_reached(place.host), port, API, self._own)
        if service.bundle and service.model.task.rank == 3:
            rooms = [*rooms, add_volume]
        apis, others = {API: make_app(service, place.keys, rooms, self._own)}, {}
        for loading, model in self._others:
            other = Service(Models(model, loading), place.limits)
            service.ends.callback(other.close)
            prefix = f"{OTHERS}/{loading.name}"
            apis[prefix] = make_app(other, place.keys, (), self._own)
            others[loading.name] = client.at(prefix)
        runs = ReadingRuns(_OVERVIEW, Path(self.settings.runs), self.settings.tracking_uri)
        service.ends.callback(runs.close)
        settings, serves = self.settings, bool(service.bundle)
        setup = Setup(
            client, place.root_path, others, settings.ui or "", runs.ask, serves, settings.interactive, settings.rows
        )
        begin(setup)
        return Site(pages(service, Keys(place.keys)), apis, listed(setup)[0].path)

    def addresses(self, place: Place, port: int) -> Sequence[str]:
        """Where it is, and how to come there from another machine."""
        shown_host = "127.0.0.1" if _any(place.host) else place.host
        here = f"{_user()}@{socket.gethostname()}"
        return (
            f"the pages are at http://{shown_host}:{port}/",
            f"from another machine: ssh -N -L {port}:{_reached(place.host)}:{port} {here}, then http://127.0.0.1:{port}/",
        )


def _free(name: str, taken: set[str]) -> str:
    """A name that no other model has; it is taken from now on."""
    names = (name, *(f"{name}-{number}" for number in range(2, len(taken) + 3)))
    found = next(one for one in names if one not in taken)
    taken.add(found)
    return found


def _other_classes(word: str, found: ServedModel, expected: ServedModel) -> ConfigError:
    def facts(model: ServedModel) -> str:
        return f"{model.task.rank}D, {model.task.channels} channels, {', '.join(model.task.class_names)}"

    return ConfigError(
        "a model of other images or classes, to stand beside the first",
        code="compare-classes",
        where=f"compare: {word}",
        found=facts(found),
        expected=facts(expected),
        remedy="compare models that were trained on the same classes",
    )


def _any(host: str) -> bool:
    return host in ("0.0.0.0", "::", "")


def _reached(host: str) -> str:
    """Where this machine reaches itself."""
    return "127.0.0.1" if _any(host) else host


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "user"
