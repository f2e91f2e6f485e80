"""Two machines, one tracking server: one register, one log, and no champion overrun."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import toys
from faulty_stores import Server
from promotable import GATE, made_bundle, trained

from seglab.errors import TrackingError
from seglab.inference.bundle import read_bundle
from seglab.registry import promotion
from seglab.registry.promotion import promote, rollback
from seglab.registry.promotion_log import entries
from seglab.run_record import StoreFile
from seglab.tracking.bundles import find_bundle
from seglab.tracking.store import open_store


@pytest.mark.slow
@pytest.mark.server
def test_two_machines_promote_on_one_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server(toys.fresh_store(tmp_path / "server"))
    server.start()
    try:
        here, there = (open_store(server.uri, tmp_path / name) for name in ("here", "there"))
        bundle = made_bundle(tmp_path / "bundle")
        first, second, third = (trained(here, bundle, value, value) for value in (0.6, 0.7, 0.65))
        assert promote(here, here.run(first), "cells", GATE, reason="the first").version == "1"
        held = promotion.check

        def meanwhile(*arguments: object) -> object:
            monkeypatch.setattr(promotion, "check", held)
            assert promote(there, there.run(second), "cells", GATE).version == "2"
            return held(*arguments)

        monkeypatch.setattr(promotion, "check", meanwhile)
        with pytest.raises(TrackingError, match="changed from another machine meanwhile"):
            promote(here, here.run(third), "cells", GATE)
        assert rollback(there, "cells") == ("1", "2")
        assert [(entry["action"], entry["run"]) for entry in entries(here, "cells")] == [
            ("promote", first),
            ("promote", second),
            ("rollback", first),
        ]
        assert entries(there, "cells") == entries(here, "cells")
        lines = (tmp_path / "there" / StoreFile.PROMOTIONS).read_text().splitlines()
        assert [json.loads(line) for line in lines] == entries(here, "cells")[1:]
        assert read_bundle(find_bundle("models:/cells@champion", server.uri, there.directory)).split_digest == "s"
    finally:
        server.kill()
