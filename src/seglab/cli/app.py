"""`seglab app`: the pages and the API of a model, at one port."""

from __future__ import annotations

import getpass
import secrets
import socket
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from seglab.cli.serve import ServeWords, serve_words
from seglab.cli.words import read, setting
from seglab.run_record import RUNS

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from seglab.serving.app import Room
    from seglab.serving.place import Place
    from seglab.serving.service import Service

_EXAMPLES = """examples:
  seglab app dist/roadseg data.root=/data/road
  seglab app models:/roadseg@champion data=cityscapes data.root=… port=8511
  seglab app dist/roadseg compare=[dist/other]
then open the address that it prints; API and pages have one port: curl localhost:8511/api/health"""


@dataclass(frozen=True, kw_only=True)
class AppWords(ServeWords):
    """Show what a model makes of images, beside other models, and answer prompts, in a browser. The API of
    `seglab serve` is at /api of the same port. SIGTERM ends it once everything in flight is answered."""

    port: Annotated[int, Field(ge=0, le=65535)] = setting("0 takes a free one", default=8511)
    interactive: bool = setting("masks from clicks and boxes too", default=True)
    compare: tuple[str, ...] = setting("exported folders of further models, to stand beside the first", default=())
    runs: str = setting("folder of runs to show", default=str(RUNS))


def read_words(words: Sequence[str]) -> AppWords:
    """What the words of the command line say."""
    return read(AppWords, words, "app", _EXAMPLES)


def run(words: Sequence[str]) -> int:
    """Serve until a signal."""
    said = read_words(words)
    import streamlit  # before anything is loaded: is it installed?  # noqa: F401

    return serve_words(said, Pages(said))


@dataclass
class Pages:
    """The pages before the service; see `seglab.cli.serve.Front`.

    Attributes:
        said: the words.
    """

    said: AppWords
    _own: str = field(default_factory=lambda: secrets.token_urlsafe(24))

    def begin(self, started: ExitStack) -> None:
        """Load Streamlit."""
        from streamlit.starlette import App  # noqa: F401

    def app(self, service: Service, rooms: Sequence[Room], place: Place, port: int) -> ASGIApp:
        """Pages, and the API below them."""
        from seglab.app.client import Client
        from seglab.app.setup import Setup, begin
        from seglab.app.site import API, Site, pages
        from seglab.serving.app import make_app
        from seglab.serving.keys import Keys

        client = Client(_reached(place.host), port, API, self._own)
        begin(Setup(client, place.root_path, interactive=self.said.interactive))
        api = make_app(service, place.keys, rooms, self._own)
        return Site(pages(service, Keys(place.keys)), {API: api})

    def told(self, place: Place, port: int) -> Sequence[str]:
        """Where it is, and how to come there from another machine."""
        shown_host = "127.0.0.1" if _any(place.host) else place.host
        here = f"{_user()}@{socket.gethostname()}"
        return (
            f"the pages are at http://{shown_host}:{port}{place.root_path}/",
            f"from another machine: ssh -N -L {port}:{_reached(place.host)}:{port} {here}, then http://127.0.0.1:{port}/",
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
