"""The event catalogue, made of the event types: a page, JSON Schemas, and an AsyncAPI document.

python -m agentainer_flow.core.catalogue            docs/events.md
python -m agentainer_flow.core.catalogue schemas    docs/events.schema.json
python -m agentainer_flow.core.catalogue asyncapi   docs/asyncapi.json
"""

from __future__ import annotations

import inspect
import sys
import types
import typing
from functools import cache

import msgspec
import msgspec.structs

from . import cloudevents, events
from .cloudevents import CloudEvent, public_type

Json = dict[str, typing.Any]

HEAD = """# Events

<!-- Made by `python -m agentainer_flow.core.catalogue`; a test fails when it is out of date. -->

Every transition of a run is one entry of the Redis Stream `workflow:<id>:events`. Its entry id is
`<version>-0`, with versions 1, 2, 3 … without gaps. Its fields:

| field | |
| --- | --- |
| `type` | what happened, `noun.verb` in the past tense |
| `data` | JSON of the fields below; fields with a default may be left out |
| `ts` | when, in ms, by the clock of the Redis server |
| `by` | who wrote it: `client`, `user@host` (the command), `engine`, or another role by name |
| `cause` | version of the event that led to it, where one did |
| `schema` | schema number of `data`, where it is above 1 |
| `dg` | first 16 hex digits of the SHA-1 of the previous entry's `dg`, `type` and `data` |

Readers skip types they do not know and ignore fields they do not know.

For programs the same is in `events.schema.json` (JSON Schema of `data`) and `asyncapi.json`.
Over HTTP and webhooks an event is a CloudEvent of type `io.agentainer.<type>.v<schema>`.
"""

#: Structs that events are made of.
PARTS = (
    events.Failure,
    events.Blob,
    events.StateChange,
    events.JobSpec,
    events.ForkedFrom,
    events.ReusedTask,
    events.Trace,
)

#: Where the schemas of an AsyncAPI or OpenAPI document are.
_REF = "#/components/schemas/{name}"


def markdown() -> str:
    sections = [_section(event) for event in events.EVENTS.values()]
    parts = [_part(struct) for struct in PARTS]
    return "\n".join([HEAD, *sections, "## Parts\n", *parts])


def _section(event: type[events.Event]) -> str:
    return f"## {event.type}\n\n{_doc(event)}\n\n{_fields(event)}"


def _part(struct: type[msgspec.Struct]) -> str:
    return f"### {struct.__name__}\n\n{_doc(struct)}\n\n{_fields(struct)}"


def _doc(struct: type[msgspec.Struct]) -> str:
    return " ".join((inspect.getdoc(struct) or "").split())


def _fields(struct: type[msgspec.Struct]) -> str:
    found = msgspec.structs.fields(struct)
    if not found:
        return "No fields.\n"
    rows = [f"| `{field.encode_name}` | {_type(field.type)} |{_default(field)}" for field in found]
    return "\n".join(["| field | type | default |", "| --- | --- | --- |", *rows]) + "\n"


def _type(kind: typing.Any) -> str:
    if kind is msgspec.Raw:
        return "any JSON"
    text = kind.__name__ if isinstance(kind, type) and not typing.get_args(kind) else str(kind)
    for old, new in (("agentainer_flow.core.events.", ""), ("typing.", ""), ("msgspec.", "")):
        text = text.replace(old, new)
    return text.replace("|", "or")


def _default(field: msgspec.structs.FieldInfo) -> str:
    if field.default is not msgspec.NODEFAULT:
        value = field.default
        shown = bytes(value).decode() if isinstance(value, msgspec.Raw) else _json(value)
        return f" `{shown}` |"
    return " |" if field.default_factory is msgspec.NODEFAULT else " empty |"


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()


@cache
def _plain(struct: type[msgspec.Struct]) -> type[msgspec.Struct]:
    """The struct with `Any` for raw JSON, whose defaults msgspec cannot put into a schema."""
    made = [_plain_field(field) for field in msgspec.structs.fields(struct)]
    return msgspec.defstruct(struct.__name__, made, namespace={"__doc__": _doc(struct)})


def _plain_field(field: msgspec.structs.FieldInfo) -> tuple[str, typing.Any, typing.Any]:
    default = field.default
    if isinstance(default, msgspec.Raw):
        default = msgspec.json.decode(default)
    if field.default_factory is not msgspec.NODEFAULT:
        default = msgspec.field(default_factory=field.default_factory)
    elif default is msgspec.NODEFAULT:
        default = msgspec.field()
    return field.encode_name, _plain_type(field.type), default


def _plain_type(kind: typing.Any) -> typing.Any:
    parts = tuple(_plain_type(part) for part in typing.get_args(kind))
    if kind is msgspec.Raw:
        return typing.Any
    if isinstance(kind, type) and not parts and issubclass(kind, msgspec.Struct):
        return _plain(kind)
    if isinstance(kind, types.UnionType):
        return typing.Union[parts]  # noqa: UP007 - of types that are known only now
    origin: typing.Any = typing.get_origin(kind)
    return types.GenericAlias(origin, parts) if origin in (list, dict, tuple) else kind


@cache
def data_schemas() -> tuple[dict[str, Json], dict[str, Json]]:
    """JSON Schema of `data` by event type, and the components that those refer to."""
    kinds = [_plain(event) for event in events.EVENTS.values()]
    found, components = msgspec.json.schema_components(kinds, ref_template=_REF)
    return dict(zip(events.EVENTS, found, strict=True)), dict(sorted(components.items()))


def schemas() -> Json:
    """One JSON Schema document: `$defs` by event type, and their parts."""
    by_type, components = data_schemas()
    made = {name: components[schema["$ref"].rpartition("/")[2]] for name, schema in by_type.items()}
    parts = {name: one for name, one in components.items() if one not in made.values()}
    whole = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Events of Agentainer Flow, `data` by type",
        "$defs": {**made, **parts},
    }
    text = msgspec.json.encode(whole).decode().replace("#/components/schemas/", "#/$defs/")
    plain: Json = msgspec.json.decode(text)
    return plain


def message_schema(kind: str) -> Json:
    """JSON Schema of the CloudEvent of a type."""
    data = data_schemas()[0][kind]
    own = {"properties": {"type": {"const": public_type(kind)}, "data": data}}
    return {"allOf": [{"$ref": _REF.format(name="CloudEvent")}, own]}


def message_components() -> dict[str, Json]:
    """What the schemas of messages refer to."""
    _, components = msgspec.json.schema_components([CloudEvent], ref_template=_REF)
    return dict(sorted({**components, **data_schemas()[1]}.items()))


def asyncapi() -> Json:
    """An AsyncAPI 3.0 document of all events, over HTTP and on Redis."""
    messages = {
        kind: {
            "name": public_type(kind),
            "title": kind,
            "summary": _doc(event),
            "contentType": cloudevents.MEDIA_TYPE,
            "payload": message_schema(kind),
        }
        for kind, event in events.EVENTS.items()
    }
    listed = {kind: {"$ref": f"#/components/messages/{kind}"} for kind in messages}
    return {
        "asyncapi": "3.0.0",
        "info": {"title": "Events of Agentainer Flow", "version": "1", "description": _ABOUT},
        "channels": {
            "all": {"address": "/events", "messages": listed},
            "workflow": {
                "address": "/workflows/{workflow}/events",
                "parameters": {"workflow": {"description": "Id of a workflow."}},
                "messages": listed,
            },
        },
        "operations": {
            "followAll": {"action": "receive", "channel": {"$ref": "#/channels/all"}},
            "followOne": {"action": "receive", "channel": {"$ref": "#/channels/workflow"}},
        },
        "components": {"messages": messages, "schemas": message_components()},
    }


_ABOUT = (
    "Every transition of a workflow, in order within the workflow. Over HTTP as Server-Sent "
    "Events, lines of JSON or pages; to webhooks as one message each."
)


def _pretty(value: Json) -> str:
    return msgspec.json.format(msgspec.json.encode(value), indent=1).decode() + "\n"


_MADE = {"schemas": lambda: _pretty(schemas()), "asyncapi": lambda: _pretty(asyncapi())}

if __name__ == "__main__":
    sys.stdout.write(_MADE.get("".join(sys.argv[1:]), markdown)())
