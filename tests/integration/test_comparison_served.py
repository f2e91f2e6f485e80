"""Runs whose store and artifacts a server keeps compare as those of the embedded store do."""

from __future__ import annotations

from pathlib import Path

import pytest
import toys
from faulty_stores import Server
from recorded_runs import Recorder, level

from seglab.comparison.settings import CompareSettings
from seglab.reports.comparison.compare import Comparison, compare, open_runs
from seglab.reports.comparison.comparison_printing import run_comparison


def compared(recorder: Recorder, uri: str | None) -> Comparison:
    settings = CompareSettings(tracking_uri=uri)
    return compare(settings, open_runs(settings, recorder.store.directory))


@pytest.mark.slow
@pytest.mark.server
def test_a_server_gives_the_same_tables(tmp_path: Path) -> None:
    server = Server(toys.fresh_store(tmp_path / "server"))
    server.start()
    try:
        recorders = Recorder(tmp_path / "here", server.uri), Recorder(toys.fresh_store(tmp_path / "mlruns"))
        for recorder in recorders:
            for model, mean in (("UNet", 0.6), ("VNet", 0.7)):
                recorder.run(level(mean), model=model)
        served, embedded = (compared(r, uri) for r, uri in zip(recorders, (server.uri, None), strict=True))
        assert served.variants.equals(embedded.variants)
        settings = CompareSettings(tracking_uri=server.uri, out=str(tmp_path / "out"))
        run_comparison(settings, tmp_path / "here")
        assert (tmp_path / "out" / "comparison.html").is_file()
    finally:
        server.kill()
