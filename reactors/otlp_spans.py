"""Spans as OTLP's protobuf has them, written directly.

A span made of the SDK's objects and then encoded takes several times as long, and most of its
attributes are those of many others: they are written once. Numbers of fields are those of
`opentelemetry/proto/trace/v1/trace.proto`.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from struct import Struct

from ..projections.span_attributes import Attributes
from ..projections.spans import Link, Moment, Span

#: Attributes whose bytes are kept: those of a run, of a step and of workers come again.
KEPT = 4096

_INT64 = range(-(2**63), 2**63)
#: Tag and value: start and end of a span, the time of an event, a double, flags.
_times = Struct("<BQBQ").pack
_time = Struct("<BQ").pack
_double = Struct("<Bd").pack
_INTERNAL = b"\x30\x01"
_OK, _UNSET = b"\x7a\x02\x18\x01", b"\x7a\x00"
_LINK_FLAGS = b"\x35\x00\x03\x00\x00"
#: Whether the parent is of another process is known, and it is; or there is no parent.
_REMOTE, _ROOT = b"\x85\x01\x00\x03\x00\x00", b"\x85\x01\x00\x01\x00\x00"


def spans_bytes(spans: Iterable[Span]) -> bytes:
    """The field `spans` of ScopeSpans."""
    return b"".join([_field(2, _span(span)) for span in spans])


def _span(span: Span) -> bytes:
    parts = [
        _ids(span.trace_id, span.span_id),
        b"\x22\x08" + bytes.fromhex(span.parent_id) if span.parent_id else b"",
        _name(span.name),
        _INTERNAL,
        _times(0x39, span.start_ms * 1_000_000, 0x41, span.end_ms * 1_000_000),
        _attributes(9, span.attributes),
        *[_field(11, _event(moment)) for moment in span.moments],
        *[_field(13, _link(link)) for link in span.links],
        _status(span),
        _REMOTE if span.parent_id else _ROOT,
    ]
    return b"".join(parts)


def _ids(trace_id: str, span_id: str) -> bytes:
    return b"\x0a\x10" + bytes.fromhex(trace_id) + b"\x12\x08" + bytes.fromhex(span_id)


@lru_cache(KEPT)
def _name(name: str) -> bytes:
    return _field(5, _text(name))


def _status(span: Span) -> bytes:
    if span.error is not None:
        return _field(15, _field(2, _text(span.error)) + b"\x18\x02")
    return _OK if span.ok else _UNSET


def _event(moment: Moment) -> bytes:
    time = _time(0x09, moment.ms * 1_000_000)
    return time + _field(2, _text(moment.name)) + _attributes(3, moment.attributes)


def _link(link: Link) -> bytes:
    return (
        _ids(link.trace_id, link.span_id)
        + _attributes(4, {"agentainer.link.type": link.type})
        + _LINK_FLAGS
    )


def _attributes(number: int, attributes: Attributes) -> bytes:
    return b"".join([_attribute(number, key, value) for key, value in attributes.items()])


@lru_cache(KEPT, typed=True)
def _attribute(number: int, key: str, value: str | float) -> bytes:
    return _field(number, _field(1, _text(key)) + _field(2, _value(value)))


def _value(value: str | float) -> bytes:
    match value:
        case bool():
            return b"\x10\x01" if value else b"\x10\x00"
        case int() if value in _INT64:
            return b"\x18" + _varint(value % 2**64)
        case float():
            return _double(0x21, value)
        case _:
            return _field(1, _text(str(value)))


def _text(text: str) -> bytes:
    return text.encode(errors="replace")


def _field(number: int, data: bytes) -> bytes:
    """A field of bytes, text or a message; its number is below 16."""
    return bytes((number << 3 | 2,)) + _varint(len(data)) + data


def _varint(number: int) -> bytes:
    if number < 128:
        return bytes((number,))
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
    return bytes(out)
