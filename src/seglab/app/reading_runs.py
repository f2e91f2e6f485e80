"""The runs of a store, read by a process of their own that begins when somebody first asks."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

from seglab.serving.errands import Errands, ProcessDied
from seglab.serving.problems import Problem


class ReadingRuns:
    """A store of runs, as pages ask of it.

    Args:
        module: whose `main` reads them; it stands above the pages.
        directory: folder of runs.
        uri: the tracking store; None for the one in `directory`.
    """

    def __init__(self, module: str, directory: Path, uri: str | None):
        self._module, self._settings = module, json.dumps({"directory": str(directory.absolute()), "uri": uri})
        self._process: Errands | None = None
        self._lock = threading.Lock()

    def ask(self, asked: dict[str, Any]) -> dict[str, Any]:
        """What the process tells.

        Raises:
            SeglabError: there is no store, or it does not answer.
            Problem: MLflow is not installed, or the process has ended.
        """
        with self._lock:
            try:
                if self._process is None or self._process.died:
                    process = Errands(self._module, [self._settings])
                    process.begun()
                    self._process = process
                return self._process.ask(asked)[0]
            except ModuleNotFoundError as error:
                raise Problem(
                    503, "package-missing", "runs cannot be read", f"no module {error.name}",
                    remedy="pip install 'seglab[train]'",
                ) from error  # fmt: skip
            except ProcessDied as error:
                self._process = None
                raise Problem(
                    503, "data-restarting", "the process that reads the runs has ended", str(error), remedy="try again"
                ) from error

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()
