"""Take secrets out of a history before it leaves the installation.

A text counts as secret by the name that it stands under: `"API_KEY": "…"` in the environment of an
agent, `"password": "…"` in an input, a result or the state; so does the password in a URL. Secrets
that launchers have are in no history: events only name them, and those names stay.

Only the texts change, everything else stays byte for byte; then the chain of digests is made anew.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

import msgspec

from ..core.entries import decode_entry
from ..core.events import Blob, JobRequested, WorkflowCreated
from ..core.ids import digest
from ..core.secrets import is_secret
from ..core.tail import Entry
from .damage import chained
from .histories import History, read_definition

HIDDEN = b"***"

_STRING = rb'"(?:[^"\\]|\\.)*"'
#: A change of state; a member with a text; any other text, so that none is read from its middle.
_TEXTS = re.compile(
    rb'(?P<change>"key":(?P<key>%b),"value":)%b|(?P<member>(?P<name>%b)\s*:\s*)(?P<text>%b)|%b'
    % ((_STRING,) * 5)
)
#: What no text with a secret goes without, to be quick where there is none.
_HINT = re.compile(rb"key|token|secret|passw|pwd|credential|passphrase|://", re.IGNORECASE)
_URL = re.compile(rb'(://[^/\s:@"]*:)(?!\*\*\*@)[^@\s/"]+@')


def redact(history: History) -> History:
    """The history without its secrets. Doing it again changes nothing."""
    blobs, moved = _redact_blobs(history.blobs)
    stored = _redact_definition(history.definition_json)
    if stored != history.definition_json:
        moved[digest(history.definition_json).encode()] = digest(stored).encode()
    entries = [_redact_entry(entry, moved) for entry in history.entries]
    if entries == history.entries and blobs == history.blobs and stored == history.definition_json:
        return history
    entries = _chain_anew(history.entries, entries)
    return msgspec.structs.replace(
        history,
        events=[decode_entry(entry) for entry in entries],
        definition=read_definition(stored)[0],
        blobs=blobs,
        entries=entries,
        definition_json=stored,
    )


def _redact_blobs(blobs: Mapping[str, bytes]) -> tuple[dict[str, bytes], dict[bytes, bytes]]:
    """The payloads, and what has to be put for the digest (with its size) of those that changed."""
    found: dict[str, bytes] = {}
    moved: dict[bytes, bytes] = {}
    for name, data in blobs.items():
        hidden = _hide(data, {})
        now = digest(hidden) if hidden != data else name
        found[now] = hidden
        if now != name:
            moved[_reference(name, data)] = _reference(now, hidden)
    return found, moved


def _reference(name: str, data: bytes) -> bytes:
    return msgspec.json.encode(Blob(name, len(data)))


def _redact_definition(data: bytes) -> bytes:
    definition, _ = read_definition(data)
    steps = definition.steps if definition else ()
    named = [step.container.secrets for step in steps if step.container]
    return _hide(data, {name: text for one in named for name, text in one.items()})


def _redact_entry(entry: Entry, moved: Mapping[bytes, bytes]) -> Entry:
    name, fields = entry
    data = fields.get(b"data", b"")
    hidden = _hide(data, _named(entry)) if _HINT.search(data) else data
    if fields.get(b"type", b"") == WorkflowCreated.type.encode() or b'"digest"' in hidden:
        for old, new in moved.items():
            hidden = hidden.replace(old, new)
    return entry if hidden == data else (name, {**fields, b"data": hidden})


def _named(entry: Entry) -> Mapping[str, str]:
    """What an agent's secrets are called: by variable, not their values."""
    if entry[1].get(b"type") != JobRequested.type.encode():
        return {}
    event = decode_entry(entry).event
    return event.spec.secrets if isinstance(event, JobRequested) else {}


def _hide(data: bytes, named: Mapping[str, str]) -> bytes:
    return _URL.sub(rb"\1***@", _TEXTS.sub(_hider(named), data))


def _hider(named: Mapping[str, str]) -> Callable[[re.Match[bytes]], bytes]:
    def hide(found: re.Match[bytes]) -> bytes:
        if found["change"] and is_secret(_plain(found["key"])):
            return found["change"] + b'"' + HIDDEN + b'"'
        if found["member"] and found["text"] != b'""' and is_secret(_plain(found["name"])):
            if named.get(_plain(found["name"])) == _plain(found["text"]):
                return found[0]
            return found["member"] + b'"' + HIDDEN + b'"'
        return found[0]

    return hide


def _plain(text: bytes) -> str:
    return text[1:-1].decode(errors="replace")


def _chain_anew(before: Sequence[Entry], after: Sequence[Entry]) -> list[Entry]:
    """Entries of which the data changed, with the digests that they have now.

    Where the chain was broken before, it stays broken.
    """
    made: list[Entry] = []
    old = new = b""
    for (_, was), (name, fields) in zip(before, after, strict=True):
        known = was.get(b"dg", b"")
        digest_now = chained(new, fields) if known == chained(old, was) else known
        made.append((name, {**fields, b"dg": digest_now} if b"dg" in was else fields))
        old, new = known, digest_now
    return made
