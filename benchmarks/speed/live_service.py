"""`seglab serve` as a process of its own, and what it takes to be answered by it."""

from __future__ import annotations

import http.client
import re
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from types import TracebackType

import psutil

_TIMING = re.compile(r"(\w+);dur=([0-9.]+)")
_STARTS_IN = 120.0


class LiveService:
    """A service of an exported folder on a free port; to be used in a `with`.

    Args:
        folder: of a target, or of several.
        python: that runs it; this one when None.

    Attributes:
        port: that it listens on.
        ready_seconds: from the start of its process until it says that it is ready.

    Raises:
        RuntimeError: it does not start, with the last that it said.
    """

    def __init__(self, folder: Path, python: str | None = None):
        began = time.perf_counter()
        words = [python or sys.executable, "-m", "seglab", "serve", str(folder), "port=0", "drain_seconds=0"]
        self._rows = tempfile.TemporaryDirectory()  # kept as by default, and not in the current folder
        words.append(f"rows={self._rows.name}/rows.db")
        self._process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        assert self._process.stdout is not None
        last = ""
        for line in self._process.stdout:
            last = line.strip()
            if last.startswith("serving at "):
                break
        else:
            self._process.wait()
            self._rows.cleanup()
            raise RuntimeError(f"{' '.join(words[1:])} ended: {last}; run it to see why")
        self.port = int(last.rstrip("/").rpartition(":")[2])
        while not self._ready():
            if time.perf_counter() - began > _STARTS_IN:
                self._end()
                raise RuntimeError(f"a service that is not ready after {_STARTS_IN:g} s")
            time.sleep(0.01)
        self.ready_seconds = time.perf_counter() - began

    def rss(self) -> float:
        """Megabytes that its processes hold; what they share is counted for each."""
        return sum(one.memory_info().rss for one in self._processes()) / 1e6

    def cpu(self) -> float:
        """Seconds that its processes have computed so far."""
        return sum(sum(one.cpu_times()[:2]) for one in self._processes())

    def client(self) -> Client:
        """One more client, with a connection of its own."""
        return Client(self.port)

    def throughput(self, image: bytes, clients: int, seconds: float) -> float:
        """Answers a second to so many clients, who all ask for the mask of the same image again and again."""
        end, counts = time.perf_counter() + seconds, [0] * clients
        failed: list[BaseException] = []

        def ask(number: int) -> None:
            try:
                with self.client() as client:
                    while time.perf_counter() < end:
                        client.predict(image)
                        counts[number] += 1
            except (RuntimeError, OSError, http.client.HTTPException) as error:
                failed.append(error)

        began = time.perf_counter()
        threads = [threading.Thread(target=ask, args=(number,)) for number in range(clients)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if failed:
            raise RuntimeError(f"a request of {clients} clients failed: {failed[0]}")
        return sum(counts) / (time.perf_counter() - began)

    def _processes(self) -> list[psutil.Process]:
        first = psutil.Process(self._process.pid)
        return [first, *first.children(recursive=True)]

    def _ready(self) -> bool:
        try:
            with self.client() as client:
                return client.status("/v2/health/ready") == 200
        except OSError:
            return False

    def _end(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._rows.cleanup()

    def __enter__(self) -> LiveService:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._end()


class Client:
    """One connection that stays open; to be used in a `with`."""

    def __init__(self, port: int):
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=600)

    def status(self, path: str) -> int:
        """Of a GET."""
        self._connection.request("GET", path)
        answer = self._connection.getresponse()
        answer.read()
        return answer.status

    def predict(self, image: bytes) -> tuple[float, dict[str, float]]:
        """Send a PNG, wait for its mask: seconds in all, and of each stage as the service tells them.

        Raises:
            RuntimeError: another answer than a mask.
        """
        try:
            return self._asked(image)
        except ConnectionError:  # the service has closed what was idle for some seconds
            self._connection.close()
            return self._asked(image)

    def _asked(self, image: bytes) -> tuple[float, dict[str, float]]:
        began = time.perf_counter()
        self._connection.request("POST", "/predict", image, {"Content-Type": "image/png", "Accept": "image/png"})
        answer = self._connection.getresponse()
        body = answer.read()
        taken = time.perf_counter() - began
        if answer.status != 200:
            raise RuntimeError(f"status {answer.status}: {body[:300].decode('utf-8', 'replace')}")
        timing = answer.headers.get("Server-Timing", "")
        return taken, {stage: float(ms) / 1000 for stage, ms in _TIMING.findall(timing)}

    def __enter__(self) -> Client:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._connection.close()
