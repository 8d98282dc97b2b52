"""References in the texts of a container graph: `${input.source}`, `${results.fetch.path}`.

    ${input.NAME}        an input of the run
    ${results.STEP}      what a step returned; a list when it fanned out
    ${item}              the item of this task
    ${index}             its position
    ${workflow_id}       the run

Further names and numbers go into the value: `${results.fetch.pages.0}`. Where JSON is asked for, a
text that is one reference becomes the value itself; within a longer text a value that is no text
is written as JSON. `$${` is a plain `${`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, cast

import msgspec

from ..core.errors import InputError

_REFERENCE = re.compile(r"\$\$\{|\$\{([^{}]*)\}")
_PATH = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_.-]+)?")

ROOTS = ("input", "results", "item", "index", "workflow_id")


def references(value: Any) -> Iterator[tuple[str, list[str]]]:
    """(reference, its parts) of all references in a value. Raises InputError for a bad one."""
    for text in _texts(value):
        for match in _REFERENCE.finditer(text):
            if match[1] is not None:
                yield match[1], _parts(match[1])


def fill(value: Any, scope: Mapping[str, Any]) -> Any:
    """A value with its references replaced. Raises InputError for one that leads nowhere."""
    if isinstance(value, str):
        whole = _REFERENCE.fullmatch(value)
        if whole and whole[1] is not None:
            return look_up(whole[1], scope)
        return fill_text(value, scope)
    if isinstance(value, dict):
        pairs = cast("dict[str, object]", value).items()
        return {key: fill(one, scope) for key, one in pairs}
    if isinstance(value, list):
        return [fill(one, scope) for one in cast("list[object]", value)]
    return value


def fill_text(text: str, scope: Mapping[str, Any]) -> str:
    """A text with its references replaced by texts."""
    return _REFERENCE.sub(_writer(scope), text)


def _writer(scope: Mapping[str, Any]) -> Callable[[re.Match[str]], str]:
    def write(match: re.Match[str]) -> str:
        if match[1] is None:
            return "${"
        value = look_up(match[1], scope)
        return value if isinstance(value, str) else msgspec.json.encode(value).decode()

    return write


def look_up(reference: str, scope: Mapping[str, Any]) -> Any:
    """What a reference names. Raises InputError saying how far it leads."""
    found: Any = scope
    for number, part in enumerate(parts := _parts(reference)):
        try:
            found = _step_into(found, part)
        except (KeyError, IndexError, ValueError, TypeError) as error:
            place = ".".join(parts[:number]) or "the scope of this step"
            raise InputError(f"${{{reference}}} leads nowhere: no {part!r} in {place}") from error
    return found


def _step_into(value: Any, part: str) -> Any:
    if isinstance(value, Mapping):
        return cast("Mapping[str, Any]", value)[part]
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return cast("Sequence[object]", value)[int(part)]
    raise TypeError


def _parts(reference: str) -> list[str]:
    """The names of a reference."""
    parts = reference.strip().split(".")
    if not _PATH.fullmatch(reference.strip()) or parts[0] not in ROOTS or "" in parts:
        raise InputError(
            f"${{{reference}}} is no reference; it begins with one of {', '.join(ROOTS)}. "
            "A plain ${ is written $${"
        )
    return parts


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        values = cast("dict[str, object]", value).values()
        yield from (text for one in values for text in _texts(one))
    elif isinstance(value, list | tuple):
        items = cast("Sequence[object]", value)
        yield from (text for one in items for text in _texts(one))
