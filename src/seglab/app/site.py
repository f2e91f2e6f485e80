"""Everything that is served at one port: the pages, and the API of each model below an address of its own."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from seglab.safety.untrusted_files import MEBI
from seglab.serving.keys import Keys
from seglab.serving.limits import Limits
from seglab.serving.request_guard import Guard
from seglab.serving.service import Service

API = "/api"
OTHERS = "/also"
"""Before the name of a further model, whose API is below."""
_SCRIPT = Path(__file__).parent / "entry" / "script.py"


class Site:
    """The application at a port.

    Args:
        pages: what answers all other addresses.
        apis: by what their addresses begin with.
        first: the page that `/` leads to.
    """

    def __init__(self, pages: ASGIApp, apis: Mapping[str, ASGIApp], first: str):
        self._pages, self._apis, self._first = pages, dict(apis), first

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._pages(scope, receive, send)
            return
        root = scope.get("root_path", "")
        path = scope["path"].removeprefix(root)
        for prefix, api in self._apis.items():
            if path == prefix or path.startswith(f"{prefix}/"):
                await api({**scope, "root_path": root + prefix}, receive, send)
                return
        if path in ("", "/"):
            query = scope["query_string"].decode("latin-1")
            await RedirectResponse(f"{root}/{self._first}" + (f"?{query}" if query else ""))(scope, receive, send)
            return
        await self._pages(scope, receive, send)


def pages(service: Service, keys: Keys) -> ASGIApp:
    """Streamlit's application of the pages, guarded as the API is. There is one of it in a process."""
    configure(service.limits)
    from streamlit.starlette import App

    streamlit = App(_SCRIPT)
    telemetry, rows = service.telemetry, service.rows
    return Guard(streamlit, service.limits, telemetry, lambda: service.bundle, rows, keys, pages=True)


def configure(limits: Limits) -> None:
    """Streamlit's settings, whatever files of settings this user or folder has: nothing is sent to anybody, nothing is
    watched, and nothing of the program is shown to who looks at a page."""
    from streamlit import config

    config.get_config_options(
        force_reparse=True,
        options_from_flags={
            "browser.gatherUsageStats": False,
            "client.showErrorDetails": "none",
            "client.showErrorLinks": False,
            "client.toolbarMode": "viewer",
            "global.developmentMode": False,
            "logger.level": "warning",
            "runner.magicEnabled": False,
            "server.baseUrlPath": "",
            "server.enableStaticServing": False,
            "server.fileWatcherType": "none",
            "server.headless": True,
            "server.maxUploadSize": max(1, limits.body_bytes // MEBI),
        },
    )
