"""A history as a file of JSON lines: read by people and programs, checked line by line.

    {"format":"agentainer-history","format_version":1,"workflow":…,"events":…,"digest":…,"blobs":…}
    {"definition":{…}}
    {"version":1,"type":"workflow.created","data":{…},"ts":…,"by":"client","dg":"…"}   per event
    {"blob":"<digest>","base64":"…"}                                                    per payload
    {"end":true,"lines":…,"sums":"…","sha256":"…"}

`data` is the JSON of the log, byte for byte; what is no JSON on one line comes as `data_text`, and
what is no text as base64. The last line has a sum of all that stands before it, so no byte may
change, and a short one of each line (CRC-32, 8 hex digits), which tells where one did.
"""

from __future__ import annotations

import base64
import binascii
import gzip
import hashlib
import re
import zlib
from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec import UNSET

from ..core.entries import FIELDS
from ..core.errors import BundleDamaged
from ..core.ids import digest as content_digest
from ..core.payloads import NULL
from ..core.tail import Entry
from .damage import canonical
from .histories import History, Transcript

FORMAT, FORMAT_VERSION = "agentainer-history", 1
SUFFIX = ".agflow"

#: An entry as Redis answers it: its id, and names and values of its fields.
Raw = tuple[bytes, list[bytes]]

_encode = msgspec.json.Encoder().encode
#: Fields of an entry that are numbers where they are spelled as such.
_NUMBERS = (b"ts", b"cause", b"schema")
_LARGEST = 2**53
#: In front of the name of a field that is no text.
_CODED = "base64:"
_VERSION = re.compile(rb'\{"version":(\d+),')


class Head(msgspec.Struct, omit_defaults=False):
    """The first line."""

    format: str
    format_version: int
    workflow: str
    events: int
    #: Digest of the last event: that of the whole chain.
    digest: str
    blobs: int


class _Format(msgspec.Struct):
    """What of the first line every version of the format has."""

    format: str = ""
    format_version: int = 0


class Line(msgspec.Struct, omit_defaults=True):
    """One entry of the log."""

    version: int
    type: str | msgspec.UnsetType = UNSET
    data: msgspec.Raw | msgspec.UnsetType = UNSET
    data_text: str | msgspec.UnsetType = UNSET
    ts: int | str | msgspec.UnsetType = UNSET
    by: str | msgspec.UnsetType = UNSET
    dg: str | msgspec.UnsetType = UNSET
    cause: int | str | msgspec.UnsetType = UNSET
    schema: int | str | msgspec.UnsetType = UNSET
    #: Fields that others added.
    more: dict[str, str] = {}
    #: Fields that are no text.
    base64: dict[str, str] = {}
    #: The entry's id where it is not `<version>-0`.
    id: str | msgspec.UnsetType = UNSET


class DefinitionLine(msgspec.Struct):
    #: `null` when it is missing.
    definition: msgspec.Raw


class BlobLine(msgspec.Struct):
    blob: str
    base64: str


class End(msgspec.Struct):
    end: bool
    #: With this one.
    lines: int
    sums: str
    sha256: str


_format = msgspec.json.Decoder(_Format).decode
_head = msgspec.json.Decoder(Head).decode
_line = msgspec.json.Decoder(Line, strict=True).decode
_definition = msgspec.json.Decoder(DefinitionLine).decode
_blob = msgspec.json.Decoder(BlobLine).decode
_end = msgspec.json.Decoder(End).decode


def encode_history(history: History) -> bytes:
    """The file of a history that was read; the same history gives the same bytes."""
    lines = [*_lines(history)]
    body = b"".join(line + b"\n" for line in lines)
    end = End(True, len(lines) + 1, "".join(map(_sum, lines)), hashlib.sha256(body).hexdigest())
    return body + _encode(end) + b"\n"


def _lines(history: History) -> Iterator[bytes]:
    entries, blobs = history.entries, history.blobs
    last = entries[-1][1].get(b"dg", b"") if entries else b""
    yield _encode(
        Head(FORMAT, FORMAT_VERSION, history.workflow, len(entries), _text(last), len(blobs))
    )
    yield _encode_definition(history.definition_json)
    for entry in entries:
        yield encode_entry(entry)
    for name in sorted(blobs):
        yield _encode(BlobLine(name, base64.b64encode(blobs[name]).decode()))


def _encode_definition(data: bytes) -> bytes:
    return _encode(DefinitionLine(msgspec.Raw(data) if _is_plain(data) else NULL))


def encode_entry(entry: Entry) -> bytes:
    """One line, without its end."""
    name, fields = entry
    version = int(name.partition(b"-")[0])
    line = Line(version)
    if name != b"%d-0" % version:
        line.id = name.decode()
    for field, value in canonical(fields).items():
        _put(line, field, value)
    return _encode(line)


def _put(line: Line, field: bytes, value: bytes) -> None:
    text = _text_or_none(value)
    name = _text_or_none(field)
    if text is None or name is None:
        line.base64 = {**line.base64, _named(field, name): base64.b64encode(value).decode()}
    elif field == b"data" and _is_plain(value):
        line.data = msgspec.Raw(value)
    elif field == b"data":
        line.data_text = text
    elif field in _NUMBERS and text.isdecimal() and str(int(text)) == text:
        setattr(line, name, int(text) if int(text) < _LARGEST else text)
    elif field in FIELDS:
        setattr(line, name, text)
    else:
        line.more = {**line.more, name: text}


def _is_plain(data: bytes) -> bool:
    """Whether this is JSON on one line that comes back byte for byte."""
    if b"\n" in data or b"\r" in data:
        return False
    whole = b'{"definition":%b}' % data
    try:
        data.decode()
        found = _definition(whole).definition
        return bytes(found) == data and len(msgspec.json.decode(whole)) == 1
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False


def _sum(line: bytes) -> str:
    return f"{zlib.crc32(line):08x}"


def decode_history(data: bytes) -> History:
    """The history in a file, compressed or not. Raises BundleDamaged with the place."""
    return _Reader(_unpack(data)).read()


def _unpack(data: bytes) -> bytes:
    if not data.startswith(b"\x1f\x8b"):
        return data
    try:
        return gzip.decompress(data)
    except (OSError, EOFError, zlib.error) as error:
        raise BundleDamaged(f"it is compressed and cannot be unpacked: {error}") from error


class _Reader:
    """Read one file from its first line to its last."""

    def __init__(self, data: bytes) -> None:
        self._lines = data.split(b"\n")
        self._at = 0
        #: The version of the last event that was read.
        self._version: int | None = None

    def read(self) -> History:
        self._check_format()
        self._check_sums()
        head: Head = self._next(_head, "the head")
        definition = self._next(_definition, "the definition").definition
        transcript = Transcript(head.workflow)
        transcript.add_raw(self._entry() for _ in range(head.events))
        entries = transcript.entries
        if entries and _text(entries[-1][1].get(b"dg", b"")) != head.digest:
            raise self._damaged(f"the last event has another digest than the head: {head.digest}")
        blobs = dict(self._blob() for _ in range(head.blobs))
        self._version = None
        end: End = self._next(_end, "the last line")
        if end.lines != self._at:
            raise self._damaged(f"the file ends here, expected {end.lines} lines")
        stored = b"" if definition == NULL else bytes(definition)
        return transcript.history(stored, blobs)

    def _check_format(self) -> None:
        first = self._lines[0]
        try:
            found = _format(first)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            found = _Format()
        if found.format != FORMAT:
            text = f"expected a first line with format {FORMAT!r}, got {_text(first[:60])!r}"
            raise BundleDamaged(f"it is no exported history: {text}", line=1)
        if found.format_version > FORMAT_VERSION:
            raise BundleDamaged(
                f"it has format version {found.format_version}, this release reads up to "
                f"{FORMAT_VERSION}: use a newer one",
                line=1,
            )

    def _check_sums(self) -> None:
        """Every line is there, and as it was."""
        *lines, rest = self._lines
        last = lines[-1] if lines else b""
        if rest or not last.startswith(b'{"end":true'):
            text = "the file ends without its last line" if not rest else "the line has no end"
            raise self._damaged_at(len(lines) + bool(rest), f"{text}: it is cut off")
        try:
            end = _end(last)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise self._damaged_at(len(lines), f"the last line was changed: {error}") from error
        body = lines[:-1]
        whole = hashlib.sha256(b"".join(line + b"\n" for line in body)).hexdigest()
        sums = [end.sums[at : at + 8] for at in range(0, len(end.sums), 8)]
        if whole == end.sha256 and sums == [*map(_sum, body)] and end.lines == len(lines):
            return
        if whole != end.sha256:
            self._find_damage(body, sums)
        raise self._damaged_at(len(lines), "the last line was changed: it does not fit the others")

    def _find_damage(self, body: list[bytes], sums: list[str]) -> None:
        """Raises BundleDamaged with the first line that is not as it was."""
        for number, line in enumerate(body, 1):
            if sums[number - 1 : number] != [_sum(line)]:
                is_lost = sums[number : number + 1] == [_sum(line)]
                text = "a line is missing before this one" if is_lost else "the line was changed"
                raise self._damaged_at(number, text)
        if len(sums) > len(body):
            text = f"a line is missing before this one: {len(sums) + 1} were exported"
            raise self._damaged_at(len(body) + 1, text)

    def _damaged_at(self, number: int, reason: str) -> BundleDamaged:
        """Say which event the line has, as far as that can be told."""
        found = _VERSION.match(self._lines[number - 1])
        return BundleDamaged(reason, line=number, version=int(found[1]) if found else None)

    def _entry(self) -> Raw:
        line: Line = self._next(_line, "an event")
        self._version = line.version
        name = b"%d-0" % line.version if line.id is UNSET else line.id.encode()
        if not (line.more or line.base64):
            return name, [*_usual_fields(line)]
        try:
            fields = canonical({**dict(_pairs([*_usual_fields(line)])), **dict(_more_fields(line))})
        except (binascii.Error, ValueError) as error:
            raise self._damaged(f"its base64 cannot be read: {error}") from error
        return name, [one for pair in fields.items() for one in pair]

    def _blob(self) -> tuple[str, bytes]:
        self._version = None
        line = self._next(_blob, "a payload")
        try:
            data = base64.b64decode(line.base64, validate=True)
        except (binascii.Error, ValueError) as error:
            raise self._damaged(
                f"payload {line.blob}: its base64 cannot be read: {error}"
            ) from None
        if content_digest(data) != line.blob:
            raise self._damaged(f"payload {line.blob} has the digest {content_digest(data)}")
        return line.blob, data

    def _next(self, decode: Any, what: str) -> Any:
        line = self._lines[self._at] if self._at < len(self._lines) else b""
        self._at += 1
        if not line:
            raise self._damaged(f"expected {what}, the file ends: it is cut off")
        try:
            return decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise self._damaged(f"expected {what}: {error}") from error

    def _damaged(self, reason: str) -> BundleDamaged:
        return BundleDamaged(reason, line=self._at, version=self._version)


def _usual_fields(line: Line) -> Iterator[bytes]:
    """Names and values of the fields that the scripts write, in their order."""
    if line.type is not UNSET:
        yield b"type"
        yield line.type.encode()
    if line.data is not UNSET:
        yield b"data"
        yield bytes(line.data)
    elif line.data_text is not UNSET:
        yield b"data"
        yield line.data_text.encode()
    rest = (line.ts, line.by, line.dg, line.cause, line.schema)
    for name, value in zip(FIELDS[2:], rest, strict=True):
        if value is not UNSET:
            yield name
            yield str(value).encode()


def _more_fields(line: Line) -> Iterator[tuple[bytes, bytes]]:
    for name, text in line.more.items():
        yield name.encode(), text.encode()
    for name, text in line.base64.items():
        yield _name_of(name), base64.b64decode(text, validate=True)


def _pairs(flat: list[bytes]) -> Iterator[tuple[bytes, bytes]]:
    return zip(flat[::2], flat[1::2], strict=True)


def _named(field: bytes, name: str | None) -> str:
    """A field's name as text, also of one that is none."""
    plain = name is not None and not name.startswith(_CODED)
    return name if name and plain else _CODED + base64.b64encode(field).decode()


def _name_of(name: str) -> bytes:
    if not name.startswith(_CODED):
        return name.encode()
    return base64.b64decode(name.removeprefix(_CODED), validate=True)


def _text_or_none(data: bytes) -> str | None:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return None


def _text(data: bytes) -> str:
    return data.decode(errors="backslashreplace")
