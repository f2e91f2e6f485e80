"""Alerts sent to another machine: one POST of JSON, and no longer than ten seconds."""

from __future__ import annotations

import json
import threading
import urllib.request
from collections.abc import Sequence
from email.message import Message
from http.client import HTTPException
from typing import IO
from urllib.parse import urlsplit

from seglab.errors import ConfigError, DataError
from seglab.monitoring.alerts import Alert
from seglab.safety.secrets import redacted

SECONDS = 10.0  # of the whole attempt, from looking up the name to the status of the answer


def check_webhook(url: str) -> None:
    """See that an address can be told; raises `ConfigError`."""
    try:
        parts = urlsplit(url)
        known = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # brackets that do not close, a port that is no number
        known = False
    if not known or not url.isascii() or not url.isprintable() or " " in url:
        raise ConfigError(
            "a webhook that is no address of HTTP",
            code="webhook-address",
            where="webhook",
            found=redacted(url),
            expected="https://host/path",
            remedy="give the address that takes a POST of JSON",
        )


def tell(url: str, place: str, found: Sequence[Alert], seconds: float = SECONDS) -> None:
    """Send alerts to an address, as JSON. Redirections are not followed.

    Args:
        url: that `check_webhook` knows.
        place: of the rows; without its password in what is sent.
        found: alerts.
        seconds: of the whole attempt, however slowly the server speaks. A connection that it holds open after that
            is closed when this process ends.

    Raises:
        DataError: no answer of 2xx by then.
    """
    text = "; ".join(alert.message for alert in found)
    message = {
        "source": "seglab monitor",
        "rows": redacted(place),
        "text": text,
        "alerts": [vars(one) for one in found],
    }
    request = urllib.request.Request(
        url, json.dumps(message).encode(), {"Content-Type": "application/json", "User-Agent": "seglab"}, method="POST"
    )
    outcome: list[Exception | None] = []

    def attempt() -> None:
        try:
            with urllib.request.build_opener(_Staying).open(request, timeout=seconds):
                outcome.append(None)
        except (HTTPException, OSError, ValueError) as error:
            outcome.append(error)

    # The limit of a socket is for each wait: a server that sends a byte a second never meets it.
    thread = threading.Thread(target=attempt, name="webhook", daemon=True)
    thread.start()
    thread.join(seconds)
    failed = outcome[0] if outcome else TimeoutError(f"no answer after {seconds:g} s")
    if failed is not None:
        raise DataError(
            "a webhook that did not take the alerts",
            code="webhook-failed",
            where=redacted(f"{urlsplit(url).scheme}://{urlsplit(url).hostname}"),
            found=redacted(str(failed)).replace(url, "the address")[:200],
            expected=f"an answer of 2xx within {seconds:g} s",
            remedy="the alerts are printed above; try the address with curl",
        ) from failed


class _Staying(urllib.request.HTTPRedirectHandler):
    """Goes nowhere else: alerts name a service, and whoever answers at one address does not choose who reads them."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Message, newurl: str
    ) -> None:
        """Nothing: the answer stays what it is, a failure."""
