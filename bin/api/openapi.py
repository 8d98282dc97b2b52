"""The OpenAPI 3.1 document, made of the table of operations and the types that decode requests."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from importlib.metadata import version
from typing import Annotated, Any, Literal

import msgspec

from ..core.catalogue import message_components, message_schema
from ..core.cloudevents import MEDIA_TYPE as CLOUD_EVENT
from ..core.events import EVENTS
from .conditions import ETAGS, KEY, LONGEST_WAIT
from .operations import Operation, Reply
from .patterns import Name, WorkflowId
from .problems import KINDS, MEDIA_TYPE, ProblemDocument

Json = dict[str, Any]

_REF = "#/components/schemas/{name}"

PATH_PARAMETERS: dict[str, tuple[Any, str]] = {
    "workflow": (WorkflowId, "Id of a workflow."),
    "key": (
        Annotated[str, msgspec.Meta(min_length=1, max_length=500)],
        "A key of the state; encode slashes in it as %2F.",
    ),
    "job": (Annotated[str, msgspec.Meta(min_length=1, max_length=400)], "Id of an agent."),
    "webhook": (Annotated[str, msgspec.Meta(min_length=1, max_length=64)], "Id of a webhook."),
    "delivery": (Annotated[str, msgspec.Meta(min_length=1, max_length=200)], "Id of a delivery."),
    "name": (Name, "Name of a definition."),
    "slug": (Literal[*KINDS], "A type of problem."),
}

GROUPS = {
    "workflows": "Runs of definitions: create, look at, start, hold and end them.",
    "state": "What the tasks of a workflow share.",
    "events": "Everything that happened, in order, as CloudEvents.",
    "agents": "Steps and agents of a workflow, and what agents print.",
    "webhooks": "Events sent to where you say.",
    "definitions": "What workflows can be created of.",
    "queues": "What runs and what waits.",
    "server": "The server itself.",
}

INTRODUCTION = """Durable workflows of LLM-agent containers and Python steps.

Create a workflow, start it, follow its events to the end. Every change takes an
`Idempotency-Key`, under which it counts once however often it is sent, and `If-Match` with the
`ETag` of the version it is meant for. What goes wrong is told as a problem document (RFC 9457);
`/problems/{slug}` explains each type."""


def document(operations: Iterable[Operation], *, auth: bool) -> Json:
    """Describe operations; `auth`: this server asks everybody for a token."""
    listed = list(operations)
    paths: dict[str, Json] = {}
    for operation in listed:
        described = _operation(operation, auth)
        paths.setdefault(operation.path, {})[operation.method.lower()] = described
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Agentainer Flow",
            "version": version("agentainer-flow"),
            "description": INTRODUCTION,
            "license": {"name": "See the project"},
        },
        "servers": [{"url": "/"}],
        "tags": [{"name": name, "description": text} for name, text in GROUPS.items()],
        "paths": paths,
        "webhooks": _webhooks(),
        "components": {
            "schemas": {**message_components(), **_components(listed)},
            "headers": HEADERS,
            "securitySchemes": {
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "`agentainer token create NAME --scope read|write|admin`",
                }
            },
        },
    }


def _webhooks() -> dict[str, Json]:
    """What is sent to webhooks, by event type."""
    return {kind: {"post": _webhook(kind)} for kind in EVENTS}


def _webhook(kind: str) -> Json:
    content = {CLOUD_EVENT: {"schema": message_schema(kind)}}
    return {
        "summary": kind,
        "tags": ["webhooks"],
        "requestBody": {"required": True, "content": content},
        "responses": {"2XX": {"description": "Delivered; anything else is tried again."}},
    }


def _operation(operation: Operation, auth: bool) -> Json:
    made: Json = {
        "operationId": operation.id,
        "summary": operation.summary,
        "tags": [operation.group],
        "parameters": _parameters(operation),
        "responses": _responses(operation),
        "security": _security(operation, auth),
    }
    if operation.text:
        made["description"] = operation.text
    if operation.body is not None:
        schema = _schema(operation.body)
        content = {"application/json": {"schema": schema}}
        made["requestBody"] = {"required": True, "content": content}
    return made


def _security(operation: Operation, auth: bool) -> list[Json]:
    if operation.scope is None:
        return []
    return [{"token": []}] if auth else [{"token": []}, {}]


def _parameters(operation: Operation) -> list[Json]:
    found = [_path_parameter(name) for name in operation.path_parameters]
    found += _query_parameters(operation.query) if operation.query else []
    return found + _header_parameters(operation)


def _path_parameter(name: str) -> Json:
    kind, text = PATH_PARAMETERS[name]
    schema = _schema(kind)
    return {"name": name, "in": "path", "required": True, "description": text, "schema": schema}


def _query_parameters(kind: type[msgspec.Struct]) -> list[Json]:
    schema: Json = msgspec.json.schema_components([kind], ref_template=_REF)[1][kind.__name__]
    required = schema.get("required", [])
    return [
        _query_parameter(name, _without_null(field), name in required)
        for name, field in schema["properties"].items()
    ]


def _query_parameter(name: str, schema: Json, required: bool) -> Json:
    made: Json = {"name": name, "in": "query", "required": required, "schema": schema}
    if schema.get("type") == "array":
        made |= {"style": "form", "explode": True}
        if schema.get("default") == []:
            del schema["default"]
    if text := schema.pop("description", ""):
        made["description"] = text
    return made


def _without_null(schema: Json) -> Json:
    """A query cannot say null: what may be null may be left out."""
    schema = dict(schema)
    options = [one for one in schema.pop("anyOf", []) if one != {"type": "null"}]
    if len(options) == 1:
        schema |= options[0]
    if isinstance(schema.get("enum"), list) and None in schema["enum"]:
        schema["enum"] = [value for value in schema["enum"] if value is not None]
    if "default" in schema and schema["default"] is None:
        del schema["default"]
    return schema


def _header_parameters(operation: Operation) -> list[Json]:
    tags = {"type": "string", "pattern": ETAGS, "examples": ["*", '"7"']}
    found: list[Json] = []
    if operation.guarded:
        found.append(_header("If-Match", tags, "Carry it out only at this version (412)."))
    if operation.cacheable:
        found.append(_header("If-None-Match", tags, "Answer 304 when it still has this version."))
    if operation.takes_key:
        key = {"type": "string", "pattern": KEY}
        text = "Carry it out once, and answer again as the first time, for a day."
        found.append(_header("Idempotency-Key", key, text))
    if operation.waits:
        text = f"`wait=10`: answer when the run has ended, or after 10 s; at most {LONGEST_WAIT}."
        found.append(_header("Prefer", {"type": "string", "examples": ["wait=2"]}, text))
    if operation.traced:
        text = "The span that starts it, W3C; one that cannot be read is passed over."
        found.append(_header("traceparent", {"type": "string"}, text))
    return found


def _header(name: str, schema: Json, text: str) -> Json:
    return {"name": name, "in": "header", "required": False, "description": text, "schema": schema}


def _responses(operation: Operation) -> Json:
    made: Json = {
        str(status): _response(operation, reply) for status, reply in operation.replies.items()
    }
    if operation.cacheable:
        headers = {"ETag": {"$ref": "#/components/headers/ETag"}}
        made["304"] = {"description": "It still has that version.", "headers": headers}
    for status, slugs in _problems(operation).items():
        made[str(status)] = _problem_response(slugs)
    return made


def _response(operation: Operation, reply: Reply) -> Json:
    made: Json = {"description": reply.text}
    if reply.headers:
        made["headers"] = {name: {"$ref": f"#/components/headers/{name}"} for name in reply.headers}
    if operation.takes_key:
        replayed = {"$ref": "#/components/headers/Idempotent-Replayed"}
        made.setdefault("headers", {})["Idempotent-Replayed"] = replayed
    if reply.type is not None:
        made["content"] = {
            name: {"schema": _body_schema(reply, name)} for name in reply.media_types
        }
    if operation.links:
        made["links"] = {
            name: {"operationId": name, "parameters": dict(parameters)}
            for name, parameters in operation.links.items()
        }
    return made


def _body_schema(reply: Reply, media_type: str) -> Json:
    """JSON has the schema of its type; what is a stream, or text, is a string."""
    if media_type.endswith("batch+json"):
        return {"type": "array", "items": {"$ref": _REF.format(name="CloudEvent")}}
    if media_type.endswith("json") and not media_type.endswith("ndjson"):
        return _schema(reply.type)
    return {"type": "string"}


def _problems(operation: Operation) -> dict[int, list[str]]:
    slugs = ["invalid-request", *operation.problems, "too-many-requests", "unavailable"]
    slugs += ["misdirected"]
    if operation.scope:
        slugs += ["unauthorized", "forbidden"]
    if operation.body is not None:
        slugs += ["too-large", "unsupported-media-type"]
    if operation.guarded:
        slugs += ["precondition-failed", "precondition-required"]
    if operation.takes_key:
        slugs += ["idempotency-conflict"]
    found: dict[int, list[str]] = {}
    for slug in dict.fromkeys(slugs):
        found.setdefault(KINDS[slug].status, []).append(slug)
    return dict(sorted(found.items()))


def _problem_response(slugs: list[str]) -> Json:
    titles = "; ".join(KINDS[slug].title for slug in slugs)
    content = {MEDIA_TYPE: {"schema": _schema(ProblemDocument)}}
    made: Json = {"description": titles + ".", "content": content}
    if KINDS[slugs[0]].status in (429, 503):
        made["headers"] = {"Retry-After": {"$ref": "#/components/headers/Retry-After"}}
    return made


HEADERS: Json = {
    "ETag": {
        "description": "The version of the workflow.",
        "schema": {"type": "string", "pattern": '^"[0-9]+"$'},
    },
    "Location": {"description": "The workflow.", "schema": {"type": "string"}},
    "Link": {"description": "RFC 8288; `rel=next` is the next page.", "schema": {"type": "string"}},
    "Retry-After": {
        "description": "Seconds after which to try again.",
        "schema": {"type": "integer", "minimum": 0},
    },
    "Preference-Applied": {
        "description": "The preference that was honoured.",
        "schema": {"type": "string"},
    },
    "Idempotent-Replayed": {
        "description": "`true` when this is the answer to an earlier request with that key.",
        "schema": {"type": "string", "enum": ["true"]},
    },
}


@cache
def _known_schema(kind: Any) -> tuple[Json, dict[str, Json]]:
    (schema,), components = msgspec.json.schema_components([kind], ref_template=_REF)
    return schema, components


def _schema(kind: Any) -> Json:
    return _known_schema(kind)[0]


def _components(operations: list[Operation]) -> dict[str, Json]:
    kinds: list[Any] = [ProblemDocument]
    for operation in operations:
        kinds += [operation.body] if operation.body is not None else []
        kinds += [reply.type for reply in operation.replies.values() if reply.type is not None]
    found: dict[str, Json] = {}
    for kind in kinds:
        found |= _known_schema(kind)[1]
    return dict(sorted(found.items()))
