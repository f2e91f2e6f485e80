"""The page at `/docs`: the OpenAPI document for people, as one file that fetches nothing."""

from __future__ import annotations

from html import escape
from typing import Any

from seglab.reports.html_document import document

_STYLE = """
:root{color-scheme:light dark}
body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}
section{border-top:1px solid #bbb;margin-top:1.5rem}
td,th{padding:.15rem .8rem .15rem 0;text-align:left;vertical-align:top}
code,b.method{font-family:ui-monospace,monospace}
b.method{display:inline-block;min-width:4rem}
"""


def docs_page(api: dict[str, Any]) -> str:
    """HTML of an OpenAPI document."""
    title = f"{api['info']['title']} {api['info']['version']}"
    parts = [f"<h1>{escape(title)}</h1><p>{escape(api['info'].get('description', ''))}</p>"]
    parts.append('<p>For programs: <a href="openapi.json">openapi.json</a>. <a href=".">What this model is</a>.</p>')
    for path, methods in api["paths"].items():
        parts += [_operation(path, method, operation) for method, operation in methods.items()]
    return document(title, "\n".join(parts), style=_STYLE)


def _operation(path: str, method: str, operation: dict[str, Any]) -> str:
    name = escape(operation["operationId"])
    rows = [
        _row(one["name"], f"{one['in']}{', needed' if one.get('required') else ''}", _kind(one.get("schema", {})))
        for one in operation.get("parameters", [])
    ]
    given = operation.get("requestBody", {}).get("content", {})
    answers = [
        _row(status, answer.get("description", ""), ", ".join(answer.get("content", {})))
        for status, answer in operation["responses"].items()
    ]
    body = f"<p>Body: {escape(', '.join(given))}</p>" if given else ""
    parameters = f"<h3>Parameters</h3><table>{''.join(rows)}</table>" if rows else ""
    return (
        f'<section id="{name}"><h2><b class="method">{escape(method.upper())}</b> <code>{escape(path)}</code></h2>'
        f"{parameters}{body}<h3>Answers</h3><table>{''.join(answers)}</table></section>"
    )


def _kind(schema: dict[str, Any]) -> str:
    words = [str(schema.get("type", ""))]
    words += [f"{key} {schema[key]}" for key in ("default", "minimum", "maximum", "enum") if key in schema]
    return ", ".join(word for word in words if word)


def _row(*cells: str) -> str:
    return "<tr>" + "".join(f"<td>{escape(str(cell))}</td>" for cell in cells) + "</tr>"
