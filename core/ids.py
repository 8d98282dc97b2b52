"""Identifiers: sortable workflow ids, writer names, readable job ids, content digests."""

from __future__ import annotations

import hashlib
import os
import secrets
import socket

import uuid_utils

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base 32, lower case


def new_workflow_id(key: str | None = None) -> str:
    """Make an id of 26 characters.

    It sorts by creation time (a UUIDv7 in base 32); with an idempotency key it is made of that
    key, so that the same key asks for the same run.
    """
    if key is None:
        number = int(uuid_utils.uuid7())
    else:
        number = int.from_bytes(hashlib.sha256(key.encode()).digest()[:16])
    digits: list[str] = []
    for _ in range(26):
        number, digit = divmod(number, 32)
        digits.append(_ALPHABET[digit])
    return "".join(reversed(digits))


def new_session(role: str) -> str:
    """Name one incarnation of a process role, as `worker@host:1234:9f3c2a1b`."""
    return f"{role}@{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"


def new_key() -> str:
    """Make an idempotency key for a command whose caller gave none."""
    return secrets.token_hex(16)


def job_id(step: str, index: int, name: str, occurrence: int, series: int) -> str:
    """Name a job after where it comes from; unique within its workflow.

    The n-th agent of one name in one task ends in `.n`; attempts that begin anew in `@n`. A job
    that is launched again after a failure gets `~n` from the script that requests it.
    """
    base = f"{step}-{index}-{name}"
    base += f".{occurrence}" if occurrence > 1 else ""
    return base + (f"@{series}" if series > 1 else "")


def digest(data: bytes) -> str:
    """Content address of a payload or definition: 32 hex digits of its SHA-256."""
    return hashlib.sha256(data).hexdigest()[:32]
