"""`docs/openapi.json` is what the service offers; what a client relies on may be added to and not taken away.

To write it anew: python tests/serving/test_openapi.py
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from seglab.app.canvas.canvas_routes import add_annotate
from seglab.interactive.session_routes import add_sessions
from seglab.serving.asgi import routes
from seglab.serving.limits import Limits

FILE = Path(__file__).parents[2] / "docs" / "openapi.json"


def offered() -> dict[str, Any]:
    """The document, of a service without a model, and with every part that can be asked for."""
    telemetry = SimpleNamespace(registry=CollectorRegistry())
    service: Any = SimpleNamespace(model=None, limits=replace(Limits()), telemetry=telemetry, ends=ExitStack())
    prompting: Any = SimpleNamespace(close=lambda: None)
    rooms = [partial(add_sessions, prompting=prompting), add_annotate]
    found: dict[str, Any] = json.loads(json.dumps(routes(service, rooms).openapi()))
    del found["info"]["version"]
    return found


def broken(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """What a client of `before` would miss in `after`."""
    found = []
    for path, methods in before["paths"].items():
        for method, operation in methods.items():
            name, now = f"{method} {path}", after["paths"].get(path, {}).get(method)
            if now is None:
                found.append(f"{name} is gone")
                continue
            if now.get("operationId") != operation.get("operationId"):
                found.append(f"{name} is called otherwise")
            for status, answer in operation["responses"].items():
                kinds = now["responses"].get(status, {}).get("content", {})
                if status not in now["responses"]:
                    found.append(f"{name} answers no {status}")
                found += [f"{name} {status} without {kind}" for kind in answer.get("content", {}) if kind not in kinds]
            taken = now.get("requestBody", {}).get("content", {})
            found += [
                f"{name} takes no {kind}"
                for kind in operation.get("requestBody", {}).get("content", {})
                if kind not in taken
            ]
            had = {(one["in"], one["name"]): one for one in operation.get("parameters", [])}
            has = {(one["in"], one["name"]): one for one in now.get("parameters", [])}
            found += [f"{name} knows no {key}" for key in had if key not in has]
            found += [
                f"{name} needs {key}"
                for key, one in has.items()
                if one.get("required") and not had.get(key, {}).get("required")
            ]
            found += [
                f"{name} takes another {key}" for key in had if key in has and had[key]["schema"] != has[key]["schema"]
            ]
    return found


def test_nothing_is_taken_away() -> None:
    assert broken(json.loads(FILE.read_text()), offered()) == []


def test_the_committed_document_is_the_present_one() -> None:
    assert json.loads(FILE.read_text()) == offered(), "python tests/serving/test_openapi.py writes it anew"


@pytest.mark.parametrize(
    "change",
    [
        lambda schema: schema["paths"].pop("/predict"),
        lambda schema: schema["paths"]["/predict"]["post"]["responses"].pop("422"),
        lambda schema: schema["paths"]["/predict"]["post"]["responses"]["200"]["content"].pop("image/png"),
        lambda schema: schema["paths"]["/predict"]["post"]["requestBody"]["content"].pop("image/tiff"),
        lambda schema: schema["paths"]["/predict"]["post"]["parameters"].pop(),
        lambda schema: schema["paths"]["/predict"]["post"]["parameters"][0].update(required=True),
        lambda schema: schema["paths"]["/classes"]["get"].update(operationId="other"),
    ],
)
def test_what_breaks_a_client_is_seen(change: Callable[[dict[str, Any]], object]) -> None:
    before = offered()
    after = copy.deepcopy(before)
    change(after)
    assert broken(before, after)
    assert broken(before, before) == []


def test_every_error_is_documented_as_a_problem() -> None:
    schema = offered()
    assert "HTTPValidationError" not in json.dumps(schema)
    for methods in schema["paths"].values():
        for operation in methods.values():
            for status, answer in operation["responses"].items():
                if 400 <= int(status) < 500:
                    assert list(answer["content"]) == ["application/problem+json"]


if __name__ == "__main__":
    FILE.write_text(json.dumps(offered(), indent=1, sort_keys=True) + "\n", encoding="utf-8")
