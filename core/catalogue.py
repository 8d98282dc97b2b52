"""The event catalogue as a page: `python -m agentainer_flow.core.catalogue`."""

from __future__ import annotations

import inspect
import sys
import typing

import msgspec
import msgspec.structs

from . import events

HEAD = """# Events

<!-- Made by `python -m agentainer_flow.core.catalogue`; a test fails when it is out of date. -->

Every transition of a run is one entry of the Redis Stream `workflow:<id>:events`. Its entry id is
`<version>-0`, with versions 1, 2, 3 … without gaps. Its fields:

| field | |
| --- | --- |
| `type` | what happened, `noun.verb` in the past tense |
| `data` | JSON of the fields below; fields with a default may be left out |
| `ts` | when, in ms, by the clock of the Redis server |
| `by` | who wrote it: `client`, `engine`, `janitor`, or a worker or launcher by name |
| `cause` | version of the event that led to it, where one did |
| `dg` | first 16 hex digits of the SHA-1 of the previous entry's `dg`, `type` and `data` |

Readers skip types they do not know and ignore fields they do not know.
"""

#: Structs that events are made of.
PARTS = (events.Failure, events.Blob, events.StateChange, events.JobSpec)


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


if __name__ == "__main__":
    sys.stdout.write(markdown())
