"""Keys that open a service, and the one that a request or a page came with."""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Mapping, Sequence


class Keys:
    """Whom the service lets in.

    Args:
        keys: any of which opens it; empty where none is asked for.
        own: a further one, with which the pages ask the API; it is of this process alone and not counted.
    """

    def __init__(self, keys: Sequence[str] = (), own: str = ""):
        self._own = own.encode()
        self._keys = tuple(key.encode() for key in keys)

    def known(self, headers: Mapping[str, str]) -> bytes | None:
        """The key of a request that is let in, empty where none is asked for; None where it is not let in."""
        given = _given(headers).encode("latin-1", "replace")
        known = [key for key in (*self._keys, *self._its_own()) if hmac.compare_digest(key, given)]
        if known:
            return known[0]
        return None if self._keys else b""

    def is_own(self, key: bytes) -> bool:
        """Whether it is that of the pages."""
        return bool(self._own) and key == self._own

    def _its_own(self) -> tuple[bytes, ...]:
        return (self._own,) if self._own else ()


def _given(headers: Mapping[str, str]) -> str:
    """`Authorization: Bearer <key>`, `X-API-Key`, or the password that a browser asked its user for."""
    authorization = headers.get("authorization", "")
    kind, _, rest = authorization.partition(" ")
    if kind.lower() == "bearer":
        return rest
    if kind.lower() == "basic":
        try:
            return base64.b64decode(rest, validate=True).decode("utf-8", "replace").partition(":")[2]
        except binascii.Error:
            return ""
    return headers.get("x-api-key", "")
