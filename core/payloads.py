"""Values in and out of the log: JSON text, bounded in size."""

from __future__ import annotations

import math
import re
from typing import Any, cast

import msgspec

from .errors import PayloadError

_encoder = msgspec.json.Encoder(decimal_format="string")
_decoder = msgspec.json.Decoder()

#: Deeper values are refused: every reader of the log must be able to decode them.
MAX_DEPTH = 200

_TOKENS = re.compile(rb'"(?:[^"\\]|\\.)*"|[\[{\]}]')

NULL = msgspec.Raw(b"null")


def encode(value: Any, *, what: str, limit: int) -> msgspec.Raw:
    """Encode a value to JSON.

    Raises PayloadError, naming `what`, when it has no JSON form or is larger than `limit` bytes.
    """
    try:
        data = _encoder.encode(value)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise PayloadError(
            f"{what} cannot be stored as JSON: {error}. Return dicts, lists, text, numbers, "
            "dataclasses or msgspec structs"
        ) from error
    if len(data) > limit:
        raise PayloadError(
            f"{what} has {len(data):,} bytes, the limit is {limit:,} (AGENTAINER_PAYLOAD_LIMIT). "
            "Store large data elsewhere and return where it is"
        )
    if is_too_deep(data):
        raise PayloadError(f"{what} is nested more than {MAX_DEPTH} levels deep; flatten it")
    if b"null" in data and _has_no_number(msgspec.to_builtins(value)):
        raise PayloadError(f"{what} holds NaN or infinity; JSON has no word for it, use null")
    return msgspec.Raw(data)


def is_too_deep(data: bytes) -> bool:
    """Whether JSON text is nested deeper than readers can be expected to follow."""
    if data.count(b"[") + data.count(b"{") <= MAX_DEPTH:
        return False
    depth = 0
    for match in _TOKENS.finditer(data):
        token = match[0]
        if token in b"[{":
            depth += 1
            if depth > MAX_DEPTH:
                return True
        elif token in b"]}":
            depth -= 1
    return False


def _has_no_number(value: object) -> bool:
    """Whether a plain value holds a float that is no number: it would be stored as null."""
    if isinstance(value, float):
        return not math.isfinite(value)
    if isinstance(value, dict):
        return any(_has_no_number(item) for item in cast("dict[Any, object]", value).values())
    if isinstance(value, list | tuple):
        return any(_has_no_number(item) for item in cast("list[object]", value))
    return False


def plain_text(text: str) -> str:
    """The text without what UTF-8 cannot carry, such as undecodable parts of file names."""
    return text.encode("utf-8", "backslashreplace").decode()


def decode(data: bytes | msgspec.Raw) -> Any:
    """Decode JSON that the log holds, to plain Python values."""
    return _decoder.decode(data)


def convert(value: Any, kind: Any, *, what: str) -> Any:
    """Convert a plain value to the annotated type.

    Raises PayloadError, naming `what`, with expected and got.
    """
    try:
        return msgspec.convert(value, kind, strict=True)
    except msgspec.ValidationError as error:
        raise PayloadError(f"{what} does not fit {describe(kind)}: {error}") from error


def describe(kind: Any) -> str:
    """Name a type the way a person wrote it."""
    return kind.__name__ if isinstance(kind, type) else str(kind).replace("typing.", "")


def is_json(text: str | bytes) -> bool:
    try:
        _decoder.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return True
