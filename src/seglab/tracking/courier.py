"""Who delivers an outbox while its run goes on, and says when the store goes away or comes back."""

from __future__ import annotations

import threading
import time

from seglab.tracking.mlflow_client import (
    CREDENTIALS,
    MlflowClient,
    MlflowException,
    first_line,
    locked_out,
    say,
)
from seglab.tracking.outbox import Outbox

_RETRY_SECONDS = 5.0

_RETRY_SECONDS_AT_MOST = 60.0


class Courier(threading.Thread):
    """Delivers an outbox in the background while the run goes on, and says when the store goes away or comes back."""

    def __init__(self, outbox: Outbox, client: MlflowClient):
        super().__init__(name="courier", daemon=True)
        self.outbox, self.client = outbox, client
        self._away = False
        self._deadline: float | None = None
        self._ending = threading.Event()

    def run(self) -> None:
        pause = _RETRY_SECONDS
        while True:
            self.outbox.added.clear()
            try:
                self.outbox.deliver(self.client)
            except (MlflowException, OSError) as error:
                self._lost(error)
                if self._deadline is None:
                    self._ending.wait(pause)
                    pause = min(pause * 2, _RETRY_SECONDS_AT_MOST)
                elif time.monotonic() < self._deadline:
                    time.sleep(0.5)
                else:
                    return
            else:
                self._back()
                pause = _RETRY_SECONDS
                if self._ending.is_set() and not self.outbox.waiting():
                    return
                self.outbox.added.wait()

    def finish(self, patience: float, at_most: float | None = None) -> bool:
        """Deliver what is left; True when nothing is.

        Args:
            patience: seconds to go on trying while the store does not answer.
            at_most: seconds after which to stop even while it does; no limit when None.
        """
        self._deadline = time.monotonic() + patience
        self._ending.set()
        self.outbox.added.set()
        self.join(at_most)
        return not self.outbox.waiting()

    def _lost(self, error: Exception) -> None:
        if not self._away:
            self._away = True
            reason = first_line(error)
            what, then = "does not answer", ""
            if locked_out(error):
                what, then = "does not let this run in", f"; when it stays so: {CREDENTIALS}, then seglab sync"
            say(f"the tracking store {what}; the run goes on and keeps its records on disk: {reason}{then}")

    def _back(self) -> None:
        if self._away:
            self._away = False
            say("the tracking store answers again; everything kept meanwhile was delivered")
