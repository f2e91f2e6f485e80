"""What is measured of an answer comes after it: nobody waits for it, and it is kept however the service ends."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from served import ROAD
from starlette.requests import Request

from seglab.monitoring.database import opened
from seglab.serving.errands import Errands, ProcessDied
from seglab.serving.limits import Limits
from seglab.serving.served import ServedModel
from seglab.serving.service import Computed, Service

MODEL = ServedModel("road", "0" * 64, "", "", ROAD, (32, 40), "patch", "openvino", "float32", 1)
FACTS: dict[str, Any] = {"stages": {"decode": 0.01}, "windows": 1, "pixels": [3, 2, 1], "confidence": 0.9}
FACTS |= {"quality": None, "headers": {}}
MEASURED = {"input": "ab" * 32, "confidence": 0.9, "entropy": 0.1, "soft_dice": 0.8, "quality": None, "parts": 2}
MEASURED |= {"implausible": ["empty"], "shares": [0.5, 0.3, 0.2], "image": {"mean": 7}}
# The process's side: answers at once, and tells the rest after a while, not at all, or never.
_SLOW = """
import gc, os, time
from seglab.serving.errands import Doing

def main(line, words):
    def later():
        time.sleep(0.3)
        if words[0] == "fails":
            raise ZeroDivisionError("of what was measured")
        if words[0] == "dies":
            os._exit(3)
        return {"measured": 1}

    def ask(asked, body, between):
        return {"of": asked["of"], "frozen": gc.get_freeze_count() > 1000}, body + b"!", later

    Doing(line).run(lambda: ({}, {"ask": ask}))
"""


class Owing:
    """Stands for the models: an answer, and the rest once `goes_on` is set, or the death of the process."""

    served, watched, alive, label = MODEL, {}, True, MODEL.label

    def __init__(self, dies: bool = False):
        self.goes_on, self._dies = threading.Event(), dies

    def ask_twice(
        self, asked: Any, body: bytes, between: Any, answered: Callable[[Any], None], check: Any
    ) -> dict[str, Any]:
        answered((dict(FACTS), b"mask", MODEL))
        self.goes_on.wait(10)
        if self._dies:
            raise ProcessDied("killed by SIGKILL")
        return {"measured": MEASURED, "seconds": 0.004}

    def close(self) -> None:
        pass


def request() -> Request:
    async def receive() -> dict[str, Any]:
        await asyncio.sleep(60)
        return {"type": "http.disconnect"}

    state = {"request_id": "a", "log_fields": {}, "unit": "", "watched": True}
    return Request({"type": "http", "headers": [], "state": state}, receive)


def answered(service: Service) -> Computed:
    """Of a request, with its row, as `Guard` does."""
    one = request()
    found = asyncio.run(service.computed(one, {"do": "predict", "watched": True}, b"image"))
    service.rows.request(one.scope["state"], "/predict", 200, 0.02)
    return found


def kept(place: Path) -> list[tuple[Any, ...]]:
    database = opened(str(place), write=False)
    try:
        return [tuple(row) for row in database.ask("SELECT status, entropy, implausible, stages FROM predictions")]
    finally:
        database.close()


def test_an_answer_does_not_wait_for_what_is_measured_and_an_end_does(tmp_path: Path) -> None:
    models = Owing()
    service = Service(models, Limits(), str(tmp_path / "rows.db"))  # type: ignore[arg-type]
    began = time.perf_counter()
    found = answered(service)
    assert time.perf_counter() - began < 5  # and not the 10 s that the rest waits for
    assert (found.body, list(found.stages)) == (b"mask", ["queue", "decode"])
    threading.Timer(0.3, models.goes_on.set).start()
    service.close()
    ((status, entropy, implausible, stages),) = kept(tmp_path / "rows.db")
    assert (status, entropy, implausible) == (200, 0.1, "empty")
    assert json.loads(stages)["measure"] == 4.0
    page = service.telemetry.page().decode()
    assert 'seglab_implausible_masks_total{rule="empty"} 1.0' in page
    assert 'seglab_stage_seconds_count{stage="measure"} 1.0' in page


def test_a_row_is_kept_where_its_process_ends_before_it_has_measured(tmp_path: Path) -> None:
    models = Owing(dies=True)
    service = Service(models, Limits(), str(tmp_path / "rows.db"))  # type: ignore[arg-type]
    answered(service)
    models.goes_on.set()
    service.close()
    ((status, entropy, implausible, stages),) = kept(tmp_path / "rows.db")
    assert (status, entropy, implausible) == (200, None, "")
    assert "measure" not in json.loads(stages)


@pytest.mark.parametrize("how", ["tells", "fails", "dies"])
def test_a_process_answers_before_it_tells_the_rest(how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "slow_errands.py").write_text(_SLOW)
    monkeypatch.syspath_prepend(tmp_path)
    errands, at = Errands("slow_errands", [how]), list[float]()
    errands.begun()

    def note(facts: dict[str, Any], body: bytes) -> None:
        assert (facts, body) == ({"of": "a", "frozen": True}, b"body!")
        at.append(time.perf_counter())

    def ask() -> dict[str, Any]:
        return errands.ask_twice({"do": "ask", "of": "a"}, b"body", lambda: None, note)

    if how == "dies":
        with pytest.raises(ProcessDied, match="code 3"):
            ask()
    else:
        assert ask() == ({"measured": 1} if how == "tells" else {})
    assert time.perf_counter() - at[0] >= 0.25
    if how == "fails":  # which costs neither this answer nor the next
        assert ask() == {}
    errands.end()
