"""Connections whose request does not begin, or comes byte by byte, are let go: uvicorn waits for them for ever."""

from __future__ import annotations

import asyncio

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol


def with_head_within(seconds: float) -> type[H11Protocol]:
    """The protocol of uvicorn, which closes a connection whose first line and headers have not come whole after so many
    seconds; from the first byte on where it has served a request before. What comes behind them has its own limit."""

    class Protocol(H11Protocol):
        _waiting: asyncio.TimerHandle | None = None

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            self._see()

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            self._see()

        def connection_lost(self, exc: Exception | None) -> None:
            self._stop()
            super().connection_lost(exc)

        def _see(self) -> None:
            if self.conn.their_state is not h11.IDLE:
                self._stop()
            elif self._waiting is None:
                self._waiting = self.loop.call_later(seconds, self.transport.close)

        def _stop(self) -> None:
            if self._waiting is not None:
                self._waiting.cancel()
                self._waiting = None

    return Protocol
