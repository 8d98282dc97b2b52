"""Tokens of the HTTP API: those of people, kept as hashes, and those of agents, kept nowhere.

An agent's token names its workflow and job, signed with a secret of the installation. It is good as
long as the job has not settled, so it ends with the agent and nothing has to be cleaned up.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
from typing import Literal

import msgspec

from . import clock
from .log import EventLog

Scope = Literal["read", "write", "admin"]
#: Each reaches what those before it reach, too.
SCOPES: tuple[Scope, ...] = ("read", "write", "admin")

PREFIX, JOB_PREFIX = "agt_", "agj."
_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"


class Token(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is kept of a token; the token itself is not. Times are ms."""

    id: str
    name: str
    scope: Scope
    #: SHA-256 of the token, which has 256 random bits: nothing to guess, so nothing to slow down.
    hash: str
    created_ms: int
    expires_ms: int | None = None

    @property
    def is_over(self) -> bool:
        return self.expires_ms is not None and self.expires_ms <= clock.now_ms()


class JobToken(msgspec.Struct, frozen=True, array_like=True):
    """What the token of an agent reaches."""

    workflow: str
    job: str


_decode = msgspec.json.Decoder(Token).decode
_decode_job = msgspec.json.Decoder(JobToken).decode
_encode = msgspec.json.Encoder().encode


async def create_token(
    log: EventLog, name: str, scope: Scope, *, lifetime_s: float | None = None
) -> tuple[str, Token]:
    """Make a token; returns its text, which cannot be had again, and what is kept of it."""
    name_of = "".join(secrets.choice(_ALPHABET) for _ in range(10))
    text = f"{PREFIX}{name_of}_{secrets.token_urlsafe(32)}"
    now_ms = clock.now_ms()
    expires_ms = None if lifetime_s is None else now_ms + int(lifetime_s * 1000)
    token = Token(name_of, name, scope, _hash(text), now_ms, expires_ms)
    await log.connection.call(lambda: log.redis.hset(log.keys.tokens, token.id, _encode(token)))
    return text, token


async def list_tokens(log: EventLog) -> list[Token]:
    """All tokens that have not been revoked, oldest first."""
    found = await log.connection.call(lambda: log.redis.hvals(log.keys.tokens))
    return sorted((_decode(data) for data in found), key=lambda token: token.created_ms)


async def revoke_token(log: EventLog, id: str) -> bool:
    """Make a token worthless; returns whether there was one."""
    return bool(await log.connection.call(lambda: log.redis.hdel(log.keys.tokens, id)))


async def find_token(log: EventLog, text: str) -> Token | None:
    """The token with this text, if it is good."""
    known_as = text.removeprefix(PREFIX).partition("_")[0]
    data = await log.connection.call(lambda: log.redis.hget(log.keys.tokens, known_as))
    token = _decode(data) if data else None
    same = hmac.compare_digest(_hash(text), token.hash if token else _hash(""))
    return token if token and same and not token.is_over else None


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()


async def make_job_token(log: EventLog, workflow: str, job: str) -> str:
    """The token of an agent, the same whenever it is asked for."""
    payload = _to_text(_encode(JobToken(workflow, job)))
    return f"{JOB_PREFIX}{payload}.{_sign(await _secret(log), payload)}"


async def find_job(log: EventLog, text: str) -> JobToken | None:
    """What an agent's token reaches, as long as the agent has not ended."""
    payload, _, signature = text.removeprefix(JOB_PREFIX).partition(".")
    if not hmac.compare_digest(
        _sign(await _secret(log), payload).encode(), signature.encode("utf-8", "replace")
    ):
        return None
    token = _read(payload)
    lives = token and await log.is_unsettled(token.workflow, token.job)
    return token if lives else None


def _read(payload: str) -> JobToken | None:
    try:
        return _decode_job(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    except (binascii.Error, ValueError, msgspec.MsgspecError):
        return None


def _to_text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _sign(secret: bytes, payload: str) -> str:
    made = hmac.new(secret, b"job-token\0" + payload.encode("utf-8", "replace"), hashlib.sha256)
    return _to_text(made.digest())


async def _secret(log: EventLog) -> bytes:
    """The installation's, made once."""
    key = log.keys.secret
    await log.connection.call(lambda: log.redis.set(key, secrets.token_hex(32), nx=True))
    found: bytes = await log.connection.call(lambda: log.redis.get(key))
    return found
