"""What an agent prints, cut into lines whose number and length in memory are bounded."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from typing import Literal

from .contract import LogLine

StreamName = Literal["stdout", "stderr"]

#: Longer lines are passed on in pieces of this many bytes.
LINE_LIMIT = 64 * 1024
#: How many last lines, and how many characters of each, an outcome carries.
TAIL_LINES = 20
TAIL_WIDTH = 1_000


class Output:
    """The two streams of one agent.

    `last_stdout` is the last line of stdout that is not blank, whole, or empty when it is longer
    than `answer_limit` bytes: that line can be the agent's answer. The texts of `hidden` are not
    kept in lines.
    """

    def __init__(self, answer_limit: int, hidden: Sequence[str] = ()) -> None:
        self._hidden = hidden
        #: Set when whoever keeps the output was away: what was printed then is lost.
        self.has_gaps = False
        self._cutters = {"stdout": _Cutter(answer_limit), "stderr": _Cutter(0)}
        self._tail: deque[str] = deque(maxlen=TAIL_LINES)

    @property
    def last_stdout(self) -> bytes:
        return self._cutters["stdout"].last

    @property
    def last_lines(self) -> list[str]:
        return list(self._tail)

    def feed(self, stream: StreamName, data: bytes, ts_ms: int) -> list[LogLine]:
        """Take the next bytes of a stream, give the lines that they complete."""
        return self._lines(stream, self._cutters[stream].feed(data), ts_ms)

    def finish(self, ts_ms: int) -> list[LogLine]:
        """Give what stands there without a newline at the end."""
        out = self._lines("stdout", self._cutters["stdout"].finish(), ts_ms)
        return out + self._lines("stderr", self._cutters["stderr"].finish(), ts_ms)

    def _lines(self, stream: StreamName, pieces: list[bytes], ts_ms: int) -> list[LogLine]:
        texts = [piece.removesuffix(b"\r").decode(errors="replace") for piece in pieces]
        for secret in self._hidden:
            texts = [text.replace(secret, "***") for text in texts]
        self._tail.extend(text[:TAIL_WIDTH] for text in texts[-TAIL_LINES:])
        return [LogLine(ts_ms, stream, text) for text in texts]


class _Cutter:
    """Cuts the bytes of one stream into lines, and long lines into pieces."""

    def __init__(self, answer_limit: int) -> None:
        self._answer_limit = answer_limit
        self._rest = b""
        #: The pieces of the unfinished line that were given out, for `last`.
        self._given: list[bytes] = []
        self._given_size = 0
        self.last = b""

    def feed(self, data: bytes) -> list[bytes]:
        *lines, rest = data.split(b"\n")
        out: list[bytes] = []
        for line in lines:
            out += self._complete(self._rest + line)
            self._rest = b""
        self._rest += rest
        if len(self._rest) > LINE_LIMIT:
            *pieces, self._rest = _pieces(self._rest)
            self._keep(pieces)
            out += pieces
        return out

    def finish(self) -> list[bytes]:
        rest, self._rest = self._rest, b""
        return self._complete(rest) if rest else []

    def _complete(self, line: bytes) -> list[bytes]:
        pieces = list(_pieces(line)) if len(line) > LINE_LIMIT else [line]
        self._keep(pieces)
        whole = b"".join(self._given) if self._given_size <= self._answer_limit else b""
        if self._given_size > self._answer_limit or whole.strip():
            self.last = whole
        self._given, self._given_size = [], 0
        return pieces

    def _keep(self, pieces: list[bytes]) -> None:
        """Remember the line so far, until it is too long to be an answer."""
        self._given_size += sum(map(len, pieces))
        if self._given_size <= self._answer_limit:
            self._given += pieces
        else:
            self._given = []


def _pieces(line: bytes) -> Iterator[bytes]:
    """Cut between characters: a UTF-8 character keeps its up to four bytes together."""
    while len(line) > LINE_LIMIT:
        cut = LINE_LIMIT
        while cut > LINE_LIMIT - 4 and line[cut] & 0xC0 == 0x80:
            cut -= 1
        yield line[:cut]
        line = line[cut:]
    yield line
