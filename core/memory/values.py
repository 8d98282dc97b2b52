"""What keys hold, what commands answer, and how numbers are read and written."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right, insort
from collections.abc import Sequence
from operator import itemgetter
from typing import TypeAlias

Args: TypeAlias = Sequence[bytes]
#: None is Redis' nil; a Failure is an answer only within EXEC.
Reply: TypeAlias = "int | bytes | Sequence[Reply] | Failure | None"


class Failure(Exception):
    """An error that Redis answers with; its text begins with a code, such as ERR."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text


class Status(bytes):
    """A short answer such as OK, which scripts see as {ok = …}."""


OK = Status(b"OK")


class Hash(dict[bytes, bytes]): ...


class Items(list[bytes]):
    """A list."""


class Members(dict[bytes, None]):
    """A set, which remembers in which order it grew."""


_score = itemgetter(0)


class Ranking:
    """A sorted set."""

    def __init__(self) -> None:
        self.scores: dict[bytes, float] = {}
        self.order: list[tuple[float, bytes]] = []

    def __len__(self) -> int:
        return len(self.order)

    def put(self, member: bytes, score: float) -> None:
        old = self.scores.get(member)
        if old == score:
            return
        if old is not None:
            del self.order[bisect_left(self.order, (old, member))]
        self.scores[member] = score
        insort(self.order, (score, member))

    def remove(self, member: bytes) -> bool:
        score = self.scores.pop(member, None)
        if score is None:
            return False
        del self.order[bisect_left(self.order, (score, member))]
        return True

    def between(self, low: bytes, high: bytes) -> tuple[int, int]:
        """Where the members with scores from `low` to `high` begin and end; `(` excludes."""
        first, last = bound(low), bound(high)
        begin = (bisect_right if low[:1] == b"(" else bisect_left)(self.order, first, key=_score)
        end = (bisect_left if high[:1] == b"(" else bisect_right)(self.order, last, key=_score)
        return begin, max(begin, end)


def integer(text: bytes, problem: str = "ERR value is not an integer or out of range") -> int:
    """Read a whole number as strictly as Redis does."""
    try:
        number = int(text)
    except ValueError:
        raise Failure(problem) from None
    if b"%d" % number != text or not -(2**63) <= number < 2**63:
        raise Failure(problem)
    return number


def real(text: bytes, problem: str = "ERR value is not a valid float") -> float:
    try:
        number = float(text)
    except ValueError:
        raise Failure(problem) from None
    if math.isnan(number):
        raise Failure(problem)
    return number


def bound(text: bytes) -> float:
    return real(text.removeprefix(b"("), "ERR min or max is not a float")


def real_text(number: float) -> bytes:
    if number.is_integer() and abs(number) < 1e17:
        return b"%d" % int(number)
    return repr(number).encode()


def span(start: int, stop: int, size: int) -> tuple[int, int]:
    """Begin and end, for Python, of an inclusive range that may count from the end."""
    begin = max(start + size, 0) if start < 0 else start
    end = stop + size + 1 if stop < 0 else stop + 1
    return begin, max(begin, min(end, size))
