"""A session with the pages as a browser has one, without the browser: what it shows is asked for and thrown away."""

from __future__ import annotations

from types import TracebackType
from urllib.parse import urlencode

from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.sync.client import connect


class PageSession:
    """A WebSocket of Streamlit.

    Args:
        port: of the application.
    """

    def __init__(self, port: int):
        self._line = connect(
            f"ws://127.0.0.1:{port}/_stcore/stream", subprotocols=["streamlit"], max_size=None, open_timeout=60
        )

    def __enter__(self) -> PageSession:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._line.close()

    def show(self, page: str, **query: str) -> list[ForwardMsg]:
        """What a page with this query sends until it is whole."""
        asked = BackMsg()
        asked.rerun_script.query_string = urlencode(query)
        asked.rerun_script.page_name = page
        self._line.send(asked.SerializeToString())
        found: list[ForwardMsg] = []
        while True:
            message = ForwardMsg()
            message.ParseFromString(self._line.recv(timeout=120))
            found.append(message)
            if message.WhichOneof("type") == "script_finished" and found[0].WhichOneof("type") != "script_finished":
                return found
