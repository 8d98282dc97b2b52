"""The API about itself: OpenAPI, a page to read it, the pages of problem types."""

from __future__ import annotations

import html
import re
from functools import cache
from typing import Any

import msgspec

from .calls import Call
from .operations import Answer, Operation, Reply
from .problems import KINDS, Kind, not_found

HTML = "text/html"


@cache
def _document(auth: bool) -> dict[str, Any]:
    from .app import OPERATIONS as ALL
    from .openapi import document

    return document(ALL, auth=auth)


async def openapi(call: Call) -> Answer:
    return Answer(_document(call.api.auth))


async def asyncapi(call: Call) -> Answer:
    from ..core.catalogue import asyncapi as document

    return Answer(document())


async def docs(call: Call) -> Answer:
    return Answer(_page_of(_document(call.api.auth)).encode(), media_type=HTML, headers=_SAFE)


async def problem(call: Call) -> Answer:
    kind = KINDS.get(call.path["slug"])
    if kind is None:
        raise not_found(f"type of problem {call.path['slug']!r}")
    return Answer(kind)


#: Nothing on the page is loaded from elsewhere, and nothing on it runs.
_SAFE = {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'"}

_STYLE = """
body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;
color:#1c2024;background:#fff}
h2{margin-top:2.5rem;border-bottom:1px solid #ccc}
details{border:1px solid #ccc;border-radius:4px;margin:.5rem 0;padding:.5rem .75rem}
summary{cursor:pointer}code,pre{font:14px ui-monospace,monospace}
pre{overflow:auto;background:#f4f4f5;padding:.5rem}b{display:inline-block;min-width:4.5rem}
table{border-collapse:collapse}td{padding:.15rem .75rem .15rem 0;vertical-align:top}
@media(prefers-color-scheme:dark){body{color:#e6e6e6;background:#16181a}pre{background:#22262a}}
"""


def _page_of(document: dict[str, Any]) -> str:
    groups = "".join(_group(document, tag) for tag in document["tags"])
    title = html.escape(f"{document['info']['title']} {document['info']['version']}")
    return (
        f'<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style></head><body>'
        f"<h1>{title}</h1><p>{_prose(document['info']['description'])}</p>"
        f'<p><a href="/openapi.json">/openapi.json</a> is this page for programs.</p>'
        f"{groups}{_schemas(document)}</body></html>"
    )


def _group(document: dict[str, Any], tag: dict[str, str]) -> str:
    operations = "".join(
        _operation(method, path, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
        if tag["name"] in operation["tags"]
    )
    heading = html.escape(tag["name"].capitalize())
    return f"<h2>{heading}</h2><p>{_prose(tag['description'])}</p>{operations}"


def _operation(method: str, path: str, operation: dict[str, Any]) -> str:
    parameters = "".join(
        f"<tr><td><code>{html.escape(one['name'])}</code></td><td>{one['in']}</td>"
        f"<td>{_prose(one.get('description', ''))} <code>{_short(one['schema'])}</code></td></tr>"
        for one in operation["parameters"]
    )
    body = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
    responses = "".join(
        f"<tr><td>{status}</td><td>{_prose(one['description'])}</td></tr>"
        for status, one in operation["responses"].items()
    )
    return (
        f'<details id="{operation["operationId"]}"><summary><b>{method.upper()}</b>'
        f"<code>{html.escape(path)}</code> {html.escape(operation['summary'])}</summary>"
        f"<p>{_prose(operation.get('description', ''))}</p><table>{parameters}</table>"
        + (f"<p>Body: <code>{_short(body['schema'])}</code></p>" if body else "")
        + f"<table>{responses}</table></details>"
    )


def _schemas(document: dict[str, Any]) -> str:
    parts = [
        f'<details id="{name}"><summary><code>{name}</code></summary>'
        f"<pre>{html.escape(msgspec.json.format(msgspec.json.encode(schema)).decode())}</pre>"
        "</details>"
        for name, schema in document["components"]["schemas"].items()
    ]
    return "<h2>Schemas</h2>" + "".join(parts)


def _short(schema: dict[str, Any]) -> str:
    if "$ref" in schema:
        name = html.escape(schema["$ref"].rpartition("/")[2])
        return f'<a href="#{name}">{name}</a>'
    return html.escape(msgspec.json.encode(schema).decode())


def _prose(text: str) -> str:
    """Paragraphs, and what is between backticks as code."""
    escaped = html.escape(text).replace("\n\n", "</p><p>")
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escaped)


OPERATIONS = (
    Operation(
        "GET",
        "/openapi.json",
        "openapi",
        "This document",
        openapi,
        "server",
        {200: Reply("OpenAPI 3.1.", dict[str, Any])},
        scope=None,
    ),
    Operation(
        "GET",
        "/asyncapi.json",
        "asyncapi",
        "The events, for programs",
        asyncapi,
        "server",
        {200: Reply("AsyncAPI 3.0.", dict[str, Any])},
        scope=None,
    ),
    Operation(
        "GET",
        "/docs",
        "docs",
        "The API as a page",
        docs,
        "server",
        {200: Reply("HTML that loads nothing from elsewhere.", str, (HTML,))},
        scope=None,
    ),
    Operation(
        "GET",
        "/problems/{slug}",
        "getProblem",
        "A type of problem",
        problem,
        "server",
        {200: Reply("What it means, and what to do.", Kind)},
        scope=None,
        problems=("not-found",),
    ),
)
