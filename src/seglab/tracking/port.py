"""The port that the pages of runs are served at: taken by one program at a time."""

from __future__ import annotations

import fcntl
import os
import socket
import tempfile
from pathlib import Path

from seglab.errors import TrackingError

_PORTS_TRIED = 100


def check_free(port: int) -> None:
    """See that nothing listens on a port, nor is about to; MLflow would say so by a traceback after the address."""
    if _free(port):
        return
    other = next((other for other in range(port + 1, min(port + _PORTS_TRIED, 65536)) if _free(other)), 0)
    raise TrackingError(
        "port already in use",
        code="port-taken",
        where=f"http://127.0.0.1:{port}",
        found="another program, perhaps another seglab ui",
        remedy=f"take another: seglab ui port={other}" if other else "end that program, or choose another port",
    )


def _free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a server that has just ended holds nobody up
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return _alone(port)


def _alone(port: int) -> bool:
    """Be the only one of these on a port, until this process and the server that it becomes are over.

    The server listens only seconds after it was started, when another may have begun, too.
    """
    try:
        file = os.open(Path(tempfile.gettempdir()) / f"seglab-ui-{port}.lock", os.O_RDONLY | os.O_CREAT, 0o644)
    except OSError:  # somebody else's
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    os.set_inheritable(file, True)
    return True
