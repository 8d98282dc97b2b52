"""Values in and out of the log: JSON text, bounded in size."""

from __future__ import annotations

from typing import Any

import msgspec

from .errors import PayloadError

_encoder = msgspec.json.Encoder(decimal_format="string")
_decoder = msgspec.json.Decoder()

#: Deeper values are refused: every reader of the log must be able to decode them.
MAX_DEPTH = 64

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
    return msgspec.Raw(data)


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
