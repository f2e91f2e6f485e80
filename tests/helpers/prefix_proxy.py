"""A proxy on another port that takes a prefix off, as one before the application would; WebSockets go through too."""

from __future__ import annotations

import re
import socket
import threading
from contextlib import suppress

_LINE = re.compile(rb"^(GET|POST|PUT|DELETE|OPTIONS|HEAD) ")


class PrefixProxy:
    """Listens on a free port of this machine, and hands on to another one.

    Args:
        port: to hand on to.
        prefix: that is taken off; what has none is answered 404.
    """

    def __init__(self, port: int, prefix: bytes):
        self._to, self._prefix = port, prefix
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._listen, daemon=True).start()

    def close(self) -> None:
        """Listen no more."""
        self._listener.close()

    def _listen(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                try:
                    server = socket.create_connection(("127.0.0.1", self._to))
                except OSError:  # nothing is there any more
                    client.close()
                    continue
                threading.Thread(target=self._pass, args=(client, server, True), daemon=True).start()
                threading.Thread(target=self._pass, args=(server, client, False), daemon=True).start()

    def _pass(self, source: socket.socket, target: socket.socket, asking: bool) -> None:
        with suppress(OSError):
            while part := source.recv(65536):
                if asking and _LINE.match(part):
                    method, _, rest = part.partition(b" ")
                    if not rest.startswith(self._prefix):
                        source.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
                        continue
                    part = method + b" " + rest[len(self._prefix) :]
                target.sendall(part)
        for one in (source, target):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
