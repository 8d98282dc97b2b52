"""State as the log tells it. What is large lies beside the log, and folding does not fetch it."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from ..core.events import Blob, StateChange

EMPTY = msgspec.Raw(b"[]")


class Extended(msgspec.Struct):
    """A list of which parts lie beside the log: what it was, and the items appended since."""

    base: msgspec.Raw | Blob
    appended: list[msgspec.Raw | Blob]


StateValue = msgspec.Raw | Blob | Extended


def apply_change(state: dict[str, StateValue], change: StateChange) -> None:
    match change.op:
        case "delete":
            state.pop(change.key, None)
        case "append":
            old = state.get(change.key, EMPTY)
            state[change.key] = _appended(old, change.blob or change.value)
        case _:
            state[change.key] = change.blob or change.value


def whole(value: StateValue, payloads: Mapping[str, bytes]) -> bytes:
    """The JSON of a value, with what lies beside the log: `payloads` has it by digest.

    Raises KeyError with the digest of one that it has not.
    """
    match value:
        case Blob(digest=name):
            return payloads[name]
        case Extended(base, appended):
            first = whole(base, payloads)[1:-1]
            rest = [whole(item, payloads) for item in appended]
            return b"[" + b",".join([first, *rest] if first else rest) + b"]"
        case raw:
            return bytes(raw)


def _appended(old: StateValue, item: msgspec.Raw | Blob) -> StateValue:
    match old, item:
        case Extended(), _:
            old.appended.append(item)
            return old
        case msgspec.Raw(), msgspec.Raw():
            return _joined(bytes(old)[1:-1], bytes(item))
        case _:
            return Extended(old, [item])


def _joined(inside: bytes, item: bytes) -> msgspec.Raw:
    return msgspec.Raw(b"[" + inside + (b"," if inside else b"") + item + b"]")
