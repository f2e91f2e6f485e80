"""Every expression of the dashboard and of the alert rules asks for metrics and labels that the service has."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from served import Running
from test_answers import png

PLACE = Path(__file__).parents[2] / "deploy" / "monitoring"
DASHBOARD: dict[str, Any] = json.loads((PLACE / "grafana.json").read_text())
RULES: dict[str, Any] = yaml.safe_load((PLACE / "alerts.yml").read_text())
EXPRESSIONS = [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]] + [
    rule["expr"] for group in RULES["groups"] for rule in group["rules"]
]
# What else may stand in an expression: functions, words, labels of Prometheus's own.
LANGUAGE = {
    *("sum", "by", "rate", "increase", "histogram_quantile", "min_over_time", "max_over_time", "scalar", "time"),
    *("count", "max", "and", "or", "vector"),
    *("le", "up", "job", "m", "h"),
}


def exposed(page: str) -> dict[str, set[str]]:
    """The labels of each metric."""
    found: dict[str, set[str]] = {}
    for line in page.splitlines():
        if line and not line.startswith("#"):
            name = re.match(r"\w+", line)
            assert name is not None
            found.setdefault(name[0], set()).update(re.findall(r'(\w+)="', line))
    return found


def unknown(expression: str, metrics: dict[str, set[str]]) -> set[str]:
    words = set(re.findall(r"[a-zA-Z_]\w*", re.sub(r'"[^"]*"', "", expression)))
    labels = set().union(*(metrics[word] for word in words if word in metrics))
    return words - set(metrics) - labels - LANGUAGE


@pytest.fixture(scope="module")
def metrics(road_service: Running, tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[str]]:
    """Of a service with a model, and of one that answers prompts."""
    road_service.predict(png())
    road_service.predict(b"no image")
    pages = [road_service.client.get("/metrics").text]
    with Running("interactive=true", "rows=", cwd=tmp_path_factory.mktemp("prompts")) as prompts:
        place = prompts.client.post("/sessions", content=png(), headers={"Content-Type": "image/png"}).headers[
            "location"
        ]
        assert prompts.client.post(f"{place}/predict", json={"points": [[9, 9]], "labels": [1]}).status_code == 200
        pages.append(prompts.client.get("/metrics").text)
    return exposed("\n".join(pages))


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_an_expression_names_what_there_is(expression: str, metrics: dict[str, set[str]]) -> None:
    assert unknown(expression, metrics) == set()
    assert "seglab_" in expression or "up{" in expression


def test_a_single_prompt_is_no_alert() -> None:
    """A share, and of twenty of them at least."""
    rules = [rule["expr"] for group in RULES["groups"] for rule in group["rules"] if "seglab_prompt" in rule["expr"]]
    assert len(rules) == 2
    for rule in rules:
        share, _, least = rule.partition(" and ")
        assert "seglab_prompts_total" in share.partition(" / ")[2]
        assert least.endswith(">= 20")


@pytest.mark.parametrize(
    "expression", ["seglab_nothing", "sum by (colour) (seglab_requests_total)", 'seglab_requests_total{code="1"}']
)
def test_what_there_is_not_is_seen(expression: str, metrics: dict[str, set[str]]) -> None:
    assert len(unknown(expression, metrics)) == 1


def test_every_metric_but_pythons_is_shown_or_watched(metrics: dict[str, set[str]]) -> None:
    asked = set(re.findall(r"seglab_\w+", " ".join(EXPRESSIONS)))
    assert {re.sub("_(bucket|sum|count|created|total)$", "", name) for name in metrics} == {
        re.sub("_(bucket|sum|count|created|total)$", "", name) for name in asked
    }


def test_the_data_source_is_named_by_its_uid() -> None:
    sources = [panel["datasource"]["uid"] for panel in DASHBOARD["panels"]]
    assert set(sources) == {"prometheus"}
    assert "${" not in json.dumps(DASHBOARD)
    assert DASHBOARD["uid"] == "seglab-serve"
