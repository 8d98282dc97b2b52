"""Exported histories: the same bytes after a round trip, and no damage that goes unnoticed."""

from __future__ import annotations

import gzip

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentainer_flow.core.errors import BundleDamaged
from agentainer_flow.core.ids import digest
from agentainer_flow.core.tail import Entry
from agentainer_flow.projections.bundle import decode_history, encode_history
from agentainer_flow.projections.damage import canonical
from agentainer_flow.projections.histories import history_of

from .histories import completed

BLOBS = {digest(b'"large"'): b'"large"'}
FILE = encode_history(completed().history(BLOBS))


def test_round_trip_gives_the_same_history_and_bytes() -> None:
    history = completed().history(BLOBS)
    found = decode_history(FILE)
    assert found == history
    assert encode_history(found) == FILE


def test_compressed_file_is_read_as_well() -> None:
    assert decode_history(gzip.compress(FILE)) == decode_history(FILE)
    with pytest.raises(BundleDamaged, match="cannot be unpacked"):
        decode_history(gzip.compress(FILE)[:-10])


NAMES = st.sampled_from([b"type", b"data", b"ts", b"by", b"dg", b"cause", b"schema"])
VALUES = st.binary() | st.sampled_from(
    [b"{}", b'{"a": 1}', b" {}", b"{}\n", b"007", b"7", b"1e400", b'{"a":1},"b":{}', b'"\\ud800"']
)


@given(
    st.lists(st.dictionaries(NAMES | st.binary(max_size=4), VALUES, max_size=6), max_size=4),
    st.binary(max_size=20),
)
def test_whatever_an_entry_holds_comes_back(
    fields: list[dict[bytes, bytes]], stored: bytes
) -> None:
    entries: list[Entry] = [
        (b"%d-%d" % (2 * number, number % 2), canonical(one))
        for number, one in enumerate(fields, 1)
    ]
    file = encode_history(history_of("w", entries, stored, {}))
    found = decode_history(file)
    assert [(name, dict(one)) for name, one in found.entries] == entries
    assert encode_history(found) == file


def test_every_line_that_is_cut_off_is_noticed() -> None:
    for size in range(0, len(FILE), 7):
        with pytest.raises(BundleDamaged):
            decode_history(FILE[:size])


@pytest.mark.parametrize("at", range(0, len(FILE), 11))
def test_every_byte_that_changes_is_noticed_in_its_line(at: int) -> None:
    damaged = bytearray(FILE)
    damaged[at] ^= 1
    with pytest.raises(BundleDamaged) as raised:
        decode_history(bytes(damaged))
    if ord("\n") not in (damaged[at], FILE[at]):
        assert raised.value.line == FILE[:at].count(b"\n") + 1


@pytest.mark.parametrize("number", range(FILE.count(b"\n")))
def test_every_line_that_is_missing_is_noticed(number: int) -> None:
    lines = FILE.splitlines(keepends=True)
    with pytest.raises(BundleDamaged):
        decode_history(b"".join(lines[:number] + lines[number + 1 :]))


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "it is no exported history"),
        (b"\x00\xff", "it is no exported history"),
        (b'{"format":"other"}\n', "it is no exported history"),
        (FILE.replace(b'_version":1', b'_version":2', 1), "this release reads up to 1"),
        (FILE + b"more", "the line has no end"),
    ],
)
def test_what_is_none_is_refused_in_words(data: bytes, said: str) -> None:
    with pytest.raises(BundleDamaged, match=said):
        decode_history(data)
