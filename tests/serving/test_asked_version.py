"""Another model takes over while a request waits: one for a version of it is refused before it is computed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import httpx
import pytest
from test_owed import FACTS, MODEL

from seglab.serving.asgi import make_app
from seglab.serving.limits import Limits
from seglab.serving.served import ServedModel
from seglab.serving.service import Service

OTHER = replace(MODEL, name="street", digest="1" * 64)
NEXT = replace(MODEL, version="8", digest="2" * 64)


class Replaced:
    """Stands for the models: the other one has taken over by the time it is asked."""

    alive, label = True, MODEL.label

    def __init__(self, other: ServedModel) -> None:
        self._other = other
        self.served, self.watched, self.computed = MODEL, {}, 0  # type: ignore[var-annotated]

    def ask_twice(
        self,
        asked: Any,
        body: bytes,
        between: Any,
        answered: Callable[[Any], None],
        check: Callable[[ServedModel], None],
    ) -> dict[str, Any]:
        self.served = self._other
        check(self._other)
        self.computed += 1
        answered((dict(FACTS), b"mask", self._other))
        return {}

    def close(self) -> None:
        pass


@pytest.mark.parametrize(
    ("below", "other", "status", "computed"),
    [(f"versions/{MODEL.number}/", NEXT, 404, 0), ("", NEXT, 200, 1), ("", OTHER, 404, 0)],
)
def test_a_model_that_answers_no_more_is_not_computed(
    below: str, other: ServedModel, status: int, computed: int
) -> None:
    models: Any = Replaced(other)
    service = Service(models, Limits())

    async def asked() -> httpx.Response:
        transport = httpx.ASGITransport(make_app(service))
        async with httpx.AsyncClient(transport=transport, base_url="http://here") as client:
            return await client.post(f"/v2/models/{MODEL.name}/{below}infer", content=b"{}")

    answer = asyncio.run(asked())
    assert (answer.status_code, models.computed) == (status, computed)
    page = service.telemetry.page().decode()
    assert f"seglab_masks_total {computed:.1f}" in page
    service.close()
