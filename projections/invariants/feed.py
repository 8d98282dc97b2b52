"""What feeds say was appended, against what the logs have: one of them changed when they differ."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec

from .entries import Raw
from .violation import Violation

_decode = msgspec.json.Decoder(list[tuple[str, int | None, msgspec.Raw]]).decode


def check_feed(
    name: str, entries: Iterable[Raw], digests: Mapping[str, Sequence[str]]
) -> Iterator[Violation]:
    """`digests` are those of each log's entries, by workflow; feeds may tell of others, too."""
    for _, fields in entries:
        workflow, first = fields[b"w"].decode(), int(fields[b"v"])
        log = digests.get(workflow)
        if log is None:
            continue
        previous, last = fields[b"prev"].decode(), fields[b"dg"].decode()
        posts = _decode(fields[b"e"])
        told = [previous, _chain(previous, posts)]
        there = [_at(log, first - 1), _at(log, first + len(posts) - 1)]
        if told != there or (posts and last != told[1]):
            text = f"{name} tells of other entries from version {first} on than the log has"
            yield Violation(workflow, first, 1, text)


def _chain(digest: str, posts: Sequence[tuple[str, int | None, msgspec.Raw]]) -> str:
    for kind, _, data in posts:
        whole = digest.encode() + kind.encode() + bytes(data)
        digest = hashlib.sha1(whole, usedforsecurity=False).hexdigest()[:16]
    return digest


def _at(log: Sequence[str], version: int) -> str | None:
    if version == 0:
        return ""
    return log[version - 1] if version <= len(log) else None
