"""Where it is served, taken before a model is loaded."""

from __future__ import annotations

import socket
from dataclasses import dataclass, field
from ipaddress import ip_address

from seglab.errors import ConfigError
from seglab.serving.limits import Limits


@dataclass(frozen=True)
class Place:
    """Where and how it is served.

    Attributes:
        host, port: bound to; port 0 takes a free one.
        keys: any of which opens the service.
        drain_seconds: after SIGTERM, requests are taken for so long while it says that it is not ready.
        root_path: before every address where a proxy takes it off.
        limits: of requests.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    keys: tuple[str, ...] = ()
    drain_seconds: float = 5.0
    root_path: str = ""
    limits: Limits = field(default_factory=Limits)


def bound(place: Place, *, without_keys: bool = False) -> socket.socket:
    """The port, taken before a model is loaded; nobody is listened to yet.

    Args:
        place: tells which.
        without_keys: let anybody in from other machines too.

    Raises:
        ConfigError: the port is taken, or the service would be open to other machines without a key.
    """
    if not (place.keys or without_keys or _loopback(place.host)):
        raise ConfigError(
            "a service that other machines reach, without a key",
            code="serve-without-key",
            where="host",
            found=place.host,
            expected="keys, or an address of this machine alone",
            remedy="keys=<file with a key on each line>, or open=true to let anybody in",
        )
    found = socket.socket(socket.AF_INET6 if ":" in place.host else socket.AF_INET)
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    # Taken over by every connection. asyncio does so by itself only for sockets that name their protocol; without it
    # the body of each answer waits 40 ms for the client to acknowledge its headers.
    found.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    try:
        found.bind((place.host, place.port))
    except (OSError, OverflowError) as error:
        found.close()
        raise ConfigError(
            "an address that cannot be served at",
            code="serve-address",
            where=f"{place.host}:{place.port}",
            found=getattr(error, "strerror", None) or str(error),
            expected="a free port of this machine",
            remedy="port=0 takes a free one",
        ) from error
    return found


def _loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
