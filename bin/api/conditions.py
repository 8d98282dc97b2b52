"""The headers that say when a request counts: versions, idempotency keys, how long to wait."""

from __future__ import annotations

import re

import msgspec
from litestar.datastructures import Headers

from .operations import Operation
from .problems import FieldError, Problem

#: `*`, or entity tags separated by commas. Those without their quotes are understood, too.
ETAGS = r"^[!-~]([ -~]{0,498}[!-~])?$"
#: Printable ASCII, as a header can carry it.
KEY = r"^[!-~]{1,255}$"
#: Longest wait that a caller can ask for, seconds.
LONGEST_WAIT = 60

_ETAGS, _KEY = re.compile(ETAGS), re.compile(KEY)
_WAIT = re.compile(r'\s*wait\s*=\s*"?([0-9]{1,9})"?\s*(;.*)?')


class Conditions(msgspec.Struct, frozen=True):
    #: Entity tags; None when the header is missing, `*` among them for any.
    if_match: tuple[str, ...] | None = None
    if_none_match: tuple[str, ...] | None = None
    idempotency_key: str | None = None
    #: Seconds to wait for the end of the run.
    wait: float | None = None
    last_event_id: str | None = None

    def expected_version(self, current: int) -> int | None:
        """The version that a change is meant for; None for any.

        `current` is taken when it is among several. Raises Problem when none can match.
        """
        if self.if_match is None or "*" in self.if_match:
            return None
        versions = [int(tag[1:-1]) for tag in self.if_match if re.fullmatch(r'"[0-9]{1,15}"', tag)]
        if not versions:
            raise Problem("precondition-failed", "If-Match names no version of a workflow")
        return current if current in versions else versions[0]

    def is_known(self, etag: str) -> bool:
        """Whether the caller has the state of this entity tag already."""
        tags = self.if_none_match or ()
        return "*" in tags or etag in [tag.removeprefix("W/") for tag in tags]


def etag(version: int) -> str:
    return f'"{version}"'


def read_conditions(operation: Operation, headers: Headers) -> Conditions:
    """Only what the operation takes; the rest is none of its business. Raises Problem."""
    return Conditions(
        if_match=_tags(headers, "if-match") if operation.guarded else None,
        if_none_match=_tags(headers, "if-none-match") if operation.cacheable else None,
        idempotency_key=_key(headers) if operation.takes_key else None,
        wait=_wait(headers) if operation.waits else None,
        last_event_id=headers.get("last-event-id") if operation.resumes else None,
    )


def _tags(headers: Headers, name: str) -> tuple[str, ...] | None:
    value = headers.get(name)
    if value is None:
        return None
    if not _ETAGS.fullmatch(value):
        raise _bad_header(name, "is * or a list of entity tags, 500 characters at most")
    return tuple(_quoted(tag.strip()) for tag in value.split(","))


def _quoted(tag: str) -> str:
    return tag if tag == "*" or tag.endswith('"') else f'"{tag}"'


def _key(headers: Headers) -> str | None:
    value = headers.get("idempotency-key")
    if value is not None and not _KEY.fullmatch(value):
        raise _bad_header("idempotency-key", "is 1 to 255 printable ASCII characters")
    return value


def _wait(headers: Headers) -> float | None:
    """RFC 7240: what a server does not know it passes over."""
    for preference in headers.get("prefer", "").split(","):
        if match := _WAIT.fullmatch(preference):
            return min(int(match[1]), LONGEST_WAIT)
    return None


def _bad_header(name: str, detail: str) -> Problem:
    return Problem(
        "invalid-request",
        f"header {name}: {detail}",
        errors=[FieldError(detail, parameter=name)],
    )
