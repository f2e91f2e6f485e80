"""The process that knows runs and registered models: which one it is now, as an exported folder."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from seglab.serving.errands import Doing, Errand, Errands
from seglab.serving.service_log import write_line

_EXPORTING = "seglab.serving.export_process"


def main(line: int, words: Sequence[str]) -> None:
    """Look for the model that the words name whenever it is asked."""
    doing = Doing(line)
    doing.run(lambda: _begin(json.loads(words[0])))


def _begin(settings: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Errand]]:
    looking = _Looking(**settings)

    def newest(asked: dict[str, Any], body: bytes, between: Callable[[], None]) -> tuple[dict[str, Any], bytes]:
        return looking.newest(), b""

    return {}, {"look": newest}


class _Looking:
    def __init__(self, word: str, cache: str, uri: str | None, runtime: str):
        self._word, self._cache, self._uri, self._runtime = word, Path(cache), uri, runtime
        self._seen: object = None
        self._failure: Exception | None = None

    def newest(self) -> dict[str, str]:
        """Folder, run and version of the model, with no folder where nothing is new; raises `SeglabError`."""
        from seglab.run_record import RUNS
        from seglab.tracking.bundles import REGISTERED, registered_version, resolve_bundle
        from seglab.tracking.store import open_store

        version, seen = "", object()
        if self._word.startswith(REGISTERED):
            known = registered_version(open_store(self._uri, RUNS), self._word)
            version = str(known.version)
            seen = (version, known.run_id, known.source)
        if seen == self._seen:
            if self._failure is not None:
                raise self._failure  # an export that failed is told again and not tried again
            return {"folder": "", "run": "", "version": version}
        found = resolve_bundle(f"{self._word.partition('@')[0]}/{version}" if version else self._word, self._uri, RUNS)
        run = found.run.info.run_id if found.run is not None else ""
        self._seen, self._failure = seen, None
        try:
            return {"folder": str(self._exported(found.folder)), "run": run, "version": version}
        except Exception as error:
            self._failure = error
            raise

    def _exported(self, bundle: Path) -> Path:
        """The bundle for the runtime, made once and kept."""
        from seglab.errors import SeglabError
        from seglab.export.folder import targets_below
        from seglab.run_record import BundleFile
        from seglab.version import version

        contents = hashlib.sha256(f"{version()} {self._runtime}".encode())
        for name in (BundleFile.CARD, BundleFile.MODEL):  # an ensemble's card has the digests of its members
            if (bundle / name).is_file():
                contents.update((bundle / name).read_bytes())
        place = self._cache.absolute() / contents.hexdigest()[:24]
        if not (place.is_dir() and targets_below(place)):
            write_line(f"exporting {self._word} to {place}")
            settings = {"bundle": str(bundle), "out": str(place), "runtime": self._runtime}
            try:
                made = Errands(_EXPORTING, [json.dumps(settings)])
                made.begun()
                made.close()
            except SeglabError:
                if not (place.is_dir() and targets_below(place)):  # another service may have made it meanwhile
                    raise
        return place
