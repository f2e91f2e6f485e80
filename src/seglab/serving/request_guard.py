"""Before and behind every route: bodies within bounds, a name for each request, keys, and a count of what came out.

Bodies are read here, whole and into memory, on every address, so that none is read beyond its limit wherever it is
sent, whatever its headers claim.
"""

from __future__ import annotations

import asyncio
import re
import time
import uuid
from collections import deque
from collections.abc import Callable
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from seglab.serving.keeping_rows import Rows
from seglab.serving.keys import Keys
from seglab.serving.limits import Limits
from seglab.serving.problem_response import response
from seglab.serving.problems import Problem, too_large
from seglab.serving.service_log import log_line
from seglab.serving.telemetry import Telemetry

_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
OPEN = ("/", "/docs", "/openapi.json", "/health", "/v2/health/live", "/v2/health/ready", "/annotate")
_OPEN_BELOW = "/annotate/"  # the parts of that page, which tell nothing of data
_CLIENTS = 10_000  # whose requests are remembered for a minute
_LEAST_RATE = 10_000  # bytes of a body a second; by one byte at a time a connection is held for years
_GONE = 499
UNWATCHED = "off"
"""Of `X-Monitoring`: the request is in the log, but in no row and no number of the monitoring."""


class Guard:
    """A layer around the application.

    Args:
        app: the application.
        limits: of the service.
        telemetry: that counts.
        bundle: tells which model is asked now, for `X-Bundle`; an answer of a model brings its own. Empty for none.
        rows: that keep what a request told.
        keys: whom it lets in.
        pages: what stands behind it is pages: a browser asks its user for the key, and no request is counted.
    """

    def __init__(
        self,
        app: ASGIApp,
        limits: Limits,
        telemetry: Telemetry,
        bundle: Callable[[], str],
        rows: Rows,
        keys: Keys,
        *,
        pages: bool = False,
    ):
        self.app, self.limits, self.telemetry, self.bundle, self.rows = app, limits, telemetry, bundle, rows
        self._keys, self._pages = keys, pages
        self._held = 0
        self._recent: dict[bytes | str, deque[float]] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        began = time.perf_counter()
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        if scope["type"] == "websocket":
            await (_refused(receive, send) if self._keys.known(headers) is None else self.app(scope, receive, send))
            return
        given = headers.get("x-request-id", "")
        request_id = given if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex
        scope.setdefault("state", {})
        scope["state"] |= {"request_id": request_id, "log_fields": {}, "unit": headers.get("x-unit", "")}
        scope["state"]["watched"] = headers.get("x-monitoring", "").strip().lower() != UNWATCHED
        status, held, method = [0], [0], scope["method"]
        if method == "HEAD":  # as balancers ask; the server leaves the body of the answer away
            scope = {**scope, "method": "GET"}

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                status[0] = message["status"]
                more = [(b"x-request-id", request_id.encode())]
                if bundle := scope["state"].get("bundle") or self.bundle():
                    more.append((b"x-bundle", bundle.encode()))
                message = {**message, "headers": [*message.get("headers", []), *more]}
            await send(message)

        try:
            self._check_key(scope, headers)
            body = await self._body(receive, headers, held)
            await self.app(scope, _replayed(body, receive), sending)
        except Problem as problem:
            scope["state"]["log_fields"]["code"] = problem.code
            await response(problem, request_id)(scope, receive, sending)
        except _Left:
            status[0] = _GONE
        finally:
            self._held -= held[0]
            self._count(scope, method, status[0], time.perf_counter() - began)

    async def _body(self, receive: Receive, headers: dict[str, str], held: list[int]) -> bytes:
        """All of it; raises `Problem` with 413, 415, 408 or 503, after which the connection is closed."""
        limits, close = self.limits, {"Connection": "close"}
        claimed = headers.get("content-length", "")
        if claimed.isdecimal() and int(claimed) > limits.body_bytes:
            raise _closing(too_large("a request", f"{claimed[:20]} bytes", f"{limits.body_bytes:,} bytes"))
        parts: list[bytes] = []
        size, began = 0, time.monotonic()
        while True:
            allowed = limits.body_seconds + size / _LEAST_RATE  # for all that has come, and what comes next
            spent = time.monotonic() - began
            try:
                message = await asyncio.wait_for(receive(), min(limits.body_seconds, allowed - spent))
            except TimeoutError as error:
                raise Problem(
                    408,
                    "request-slow",
                    "a request that stopped halfway, or comes too slowly",
                    f"{size:,} bytes of its body in {time.monotonic() - began:.3g} s; expected: no pause of "
                    f"{limits.body_seconds:g} s, and {_LEAST_RATE:,} bytes a second after as long",
                    headers=close,
                ) from error
            if message["type"] == "http.disconnect":
                raise _Left
            part = message.get("body", b"")
            size += len(part)
            held[0] += len(part)
            self._held += len(part)
            if size > limits.body_bytes:
                raise _closing(too_large("a request", f"{size:,} bytes or more", f"{limits.body_bytes:,} bytes"))
            if self._held > limits.buffered_bytes:
                raise Problem(
                    503, "service-busy", "too much is being sent at a time", remedy="try again",
                    headers={"Retry-After": "2", **close},
                )  # fmt: skip
            parts.append(part)
            if not message.get("more_body", False):
                break
        if size and headers.get("content-encoding", "identity").lower() != "identity":
            raise Problem(
                415,
                "content-encoding",
                "a body that is compressed by HTTP",
                f"found: Content-Encoding: {headers['content-encoding'][:40]}",
                remedy="send the image as it is",
            )
        return b"".join(parts)

    def _check_key(self, scope: Scope, headers: dict[str, str]) -> None:
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        if not self._pages and (path in OPEN or path.startswith(_OPEN_BELOW)):
            return
        known = self._keys.known(headers)
        if known is None:
            raise Problem(
                401,
                "key-missing",
                "a request without a key that is known",
                remedy="send Authorization: Bearer <key>, or X-API-Key; in a browser the key is the password",
                headers={
                    "WWW-Authenticate": 'Basic realm="seglab: the key is the password"' if self._pages else "Bearer",
                    "Connection": "close",
                },
            )
        if self._pages or self._keys.is_own(known):
            return
        client: bytes | str = known or (scope.get("client") or ("",))[0]
        most, now = self.limits.requests_per_minute, time.monotonic()
        if not most:
            return
        if client not in self._recent and len(self._recent) >= _CLIENTS:
            self._recent.pop(next(iter(self._recent)))
        recent = self._recent.setdefault(client, deque())
        while recent and recent[0] < now - 60:
            recent.popleft()
        if len(recent) >= most:
            raise Problem(
                429,
                "too-many-requests",
                "more requests than a client has in a minute",
                f"expected: at most {most}",
                headers={"Retry-After": str(max(1, round(recent[0] + 60 - now))), "Connection": "close"},
            )
        recent.append(now)

    def _count(self, scope: Scope, method: str, status: int, seconds: float) -> None:
        if self._pages:
            return
        route: Any = scope.get("route")
        path = getattr(route, "path", "unknown")
        log_fields = scope["state"]["log_fields"]
        if scope["state"]["watched"]:
            self.telemetry.requests.labels(path, str(status or _GONE)).inc()
            self.telemetry.seconds.labels(path).observe(seconds)
            if "code" in log_fields:
                self.telemetry.refused.labels(log_fields["code"]).inc()
            if status in (0, _GONE):
                self.telemetry.abandoned.inc()
            self.rows.request(scope["state"], path, status or _GONE, seconds)
        log_line(
            request=scope["state"]["request_id"],
            method=method,
            path=scope["path"][:200],
            status=status or _GONE,
            seconds=round(seconds, 4),
            **{"bundle": self.bundle(), **log_fields},
        )


class _Left(Exception):
    """The client hung up."""


async def _refused(receive: Receive, send: Send) -> None:
    """A WebSocket without a key that is known."""
    await receive()
    await send({"type": "websocket.close", "code": 1008})


def _closing(problem: Problem) -> Problem:
    problem.headers["Connection"] = "close"
    return problem


def _replayed(body: bytes, receive: Receive) -> Receive:
    """Gives the body once, and then what else the server tells: that the client has left."""
    sent = False

    async def replay() -> Message:
        nonlocal sent
        if not sent:
            sent = True
            return {"type": "http.request", "body": body, "more_body": False}
        return await receive()

    return replay
