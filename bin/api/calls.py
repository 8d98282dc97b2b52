"""Read a request: path, query, headers and body, each decoded strictly to its type."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from typing import Any, TypeVar, cast
from urllib.parse import parse_qsl, unquote, urlencode

import msgspec
from litestar import Request
from litestar.exceptions import HTTPException

from ..core.ids import digest
from ..core.payloads import is_too_deep
from .api import Api
from .conditions import Conditions, read_conditions
from .operations import Operation
from .problems import FieldError, Problem
from .tokens import Caller

T = TypeVar("T")


class Call:
    """One request, as an operation gets it."""

    def __init__(
        self,
        api: Api,
        operation: Operation,
        request: Request[Any, Any, Any],
        caller: Caller,
        body: bytes,
    ) -> None:
        self.api = api
        self.log = api.log
        self.operation = operation
        self.request = request
        self.caller = caller
        self.raw_body = body
        self.path = _read_path(operation, request)
        self.query: Any = _read_query(operation, request)
        self.conditions: Conditions = read_conditions(operation, request.headers)
        self.body: Any = _read_body(operation, request, body)

    @property
    def workflow(self) -> str:
        return self.path["workflow"]

    @property
    def key(self) -> str | None:
        """The idempotency key, told from those of other callers and for other methods and paths."""
        key = self.conditions.idempotency_key
        if key is None:
            return None
        parts = (self.caller.name, self.request.method, self.request.url.path, key)
        return digest("\0".join(parts).encode())

    def next_page(self, **place: str) -> str:
        """The target of this request with another place to begin at."""
        text = self.request.scope.get("query_string", b"").decode("latin-1")
        pairs = [(name, value) for name, value in parse_qsl(text) if name not in place]
        return f"{self.request.url.path}?{urlencode([*pairs, *place.items()])}"

    def accepts(self, media_types: Iterable[str]) -> str:
        """The media type to answer with: of those, the first that the caller likes best.

        Raises Problem `not-acceptable`.
        """
        offered = list(media_types)
        header = self.request.headers.get("accept", "*/*")
        best = max(offered, key=lambda name: (_liking(header, name), -offered.index(name)))
        if not _liking(header, best):
            raise Problem("not-acceptable", f"it can be had as {', '.join(offered)}")
        return best


def _read_path(operation: Operation, request: Request[Any, Any, Any]) -> dict[str, str]:
    """Parts of the path, decoded one by one: a state key may hold an encoded slash."""
    names = operation.path.strip("/").split("/")
    raw: bytes = request.scope.get("raw_path") or request.url.path.encode()
    parts = raw.split(b"?")[0].decode("latin-1").strip("/").split("/", len(names) - 1)
    found: dict[str, str] = {}
    for name, part in zip(names, parts, strict=False):
        if name.startswith("{"):
            found[name[1:-1]] = _unquote(name[1:-1], part)
    return found


def _unquote(name: str, part: str) -> str:
    try:
        return unquote(part, errors="strict")
    except UnicodeDecodeError as error:
        raise Problem(
            "invalid-request",
            "the path is not UTF-8",
            errors=[FieldError("is not UTF-8", parameter=name)],
        ) from error


def _read_query(operation: Operation, request: Request[Any, Any, Any]) -> Any:
    text = request.scope.get("query_string", b"").decode("latin-1")
    try:
        pairs = parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=100)
    except ValueError as error:
        raise Problem("invalid-request", f"the query cannot be read: {error}") from error
    if operation.query is None:
        if pairs:
            name = pairs[0][0]
            raise Problem(
                "invalid-request",
                "this operation takes no query",
                errors=[FieldError("is not known here", parameter=name)],
            )
        return None
    return _convert_query(operation.query, pairs)


def _convert_query(kind: type[msgspec.Struct], pairs: list[tuple[str, str]]) -> Any:
    lists = _list_fields(kind)
    values: dict[str, Any] = {}
    for name, value in pairs:
        if name in lists:
            values.setdefault(name, []).append(value)
        elif name in values:
            raise _bad_parameter(name, "is given more than once")
        else:
            values[name] = value
    try:
        return msgspec.convert(values, kind, strict=False)
    except msgspec.ValidationError as error:
        detail, pointer = split_error(error)
        name = pointer.strip("/").partition("/")[0]
        if unknown := re.search(r"unknown field `(.+)`", detail):
            raise _bad_parameter(unknown[1], "is not known here") from error
        raise _bad_parameter(name, detail) from error


def _bad_parameter(name: str, detail: str) -> Problem:
    return Problem(
        "invalid-request",
        f"query parameter {name!r}: {detail}",
        errors=[FieldError(detail, parameter=name)],
    )


@cache
def _list_fields(kind: type[msgspec.Struct]) -> frozenset[str]:
    found = msgspec.inspect.type_info(kind)
    fields = getattr(found, "fields", ())
    return frozenset(
        field.encode_name for field in fields if isinstance(field.type, msgspec.inspect.ListType)
    )


async def read_bytes(request: Request[Any, Any, Any]) -> bytes:
    """The body. Raises Problem `too-large`."""
    try:
        return await request.body()
    except HTTPException as error:
        if error.status_code != 413:
            raise
        raise Problem("too-large", str(error.detail)) from error


def _read_body(operation: Operation, request: Request[Any, Any, Any], data: bytes) -> Any:
    if operation.body is None:
        if data:
            raise Problem("invalid-request", "this operation takes no body")
        return None
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json":
        given = f"got {media_type}" if media_type else "none was given"
        raise Problem("unsupported-media-type", f"expected application/json, {given}")
    if is_too_deep(data):
        raise Problem("invalid-request", "the body is nested too deep")
    return decode_body(operation.body, data)


def decode_body(kind: Any, data: bytes) -> Any:
    """Raises Problem `invalid-request` that points to the field."""
    try:
        return _decode(kind, data)
    except msgspec.ValidationError as error:
        detail, pointer = split_error(error)
        raise Problem(
            "invalid-request",
            f"the body does not fit: {detail}" + (f" at {pointer}" if pointer else ""),
            errors=[FieldError(detail, pointer=pointer)],
        ) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Problem("invalid-request", f"the body is not JSON: {error}") from error


def _decode(kind: Any, data: bytes) -> Any:
    try:
        return _decoder(kind).decode(data)
    except msgspec.ValidationError:
        whole = _whole(msgspec.json.decode(data))
        return msgspec.convert(whole, kind)


def _whole(value: Any) -> Any:
    """A value with 7.0 written as 7: in JSON they are one number, and either is an integer."""
    match value:
        case float() if value.is_integer() and abs(value) < 2**53:
            return int(value)
        case dict():
            pairs = cast("dict[str, object]", value).items()
            return {name: _whole(one) for name, one in pairs}
        case list():
            return [_whole(one) for one in cast("list[object]", value)]
        case _:
            return value


@cache
def _decoder(kind: Any) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(kind)


def split_error(error: msgspec.ValidationError) -> tuple[str, str]:
    """What msgspec says, and the JSON Pointer of where: `$.steps[0].image` as `/steps/0/image`."""
    text, _, place = str(error).partition(" - at `$")
    known = place.rstrip("`").partition("[...]")[0]  # a value of a mapping: msgspec tells no key
    return text, re.sub(r"\[(\d+)\]", r"/\1", known).replace(".", "/")


def _liking(header: str, media_type: str) -> float:
    """How much an Accept header wants a media type, 0 to 1."""
    best = (-1, 0.0)
    for part in header.lower().split(","):
        name, *parameters = (piece.strip() for piece in part.split(";"))
        closeness = _closeness(name, media_type)
        if closeness > best[0]:
            best = (closeness, _quality(parameters))
    return best[1]


def _closeness(pattern: str, media_type: str) -> int:
    if pattern == media_type:
        return 2
    if pattern == media_type.partition("/")[0] + "/*":
        return 1
    return 0 if pattern == "*/*" else -1


def _quality(parameters: list[str]) -> float:
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name == "q":
            return float(value) if re.fullmatch(r"[01](\.[0-9]{1,3})?", value) else 0.0
    return 1.0
