"""A line between two processes of one service: a few words as JSON with each message, and a body of bytes."""

from __future__ import annotations

import json
import socket
import struct
from collections.abc import Mapping
from typing import Any

_LENGTHS = struct.Struct("<IQ")


class LineClosed(Exception):
    """Nobody is at the other end."""


class Channel:
    """One end of the line.

    Args:
        line: a connected socket that blocks.
    """

    def __init__(self, line: socket.socket):
        self._line = line

    def send(self, fields: Mapping[str, Any], body: bytes = b"") -> None:
        """Send a message; raises `LineClosed`."""
        head = json.dumps(fields).encode()
        try:
            self._line.sendall(_LENGTHS.pack(len(head), len(body)) + head)
            if body:
                self._line.sendall(body)
        except OSError as error:
            raise LineClosed from error

    def receive(self) -> tuple[dict[str, Any], bytes]:
        """Wait for a message; raises `LineClosed`."""
        head, body = _LENGTHS.unpack(self._exactly(_LENGTHS.size))
        return json.loads(self._exactly(head)), self._exactly(body)

    def close(self) -> None:
        """End it, for the other end too."""
        self._line.close()

    def _exactly(self, count: int) -> bytes:
        parts, missing = [], count
        while missing:
            try:
                part = self._line.recv(missing, socket.MSG_WAITALL)  # nearly always all of it, without a copy
            except OSError as error:
                raise LineClosed from error
            if not part:
                raise LineClosed
            parts.append(part)
            missing -= len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)
