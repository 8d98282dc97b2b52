"""What happened in a run, in words and in order."""

from __future__ import annotations

import hashlib
from collections.abc import Callable


class Story:
    """Lines with their time. Their digest is that of the run: equal runs tell the same."""

    def __init__(self, now_s: Callable[[], float]) -> None:
        self._now_s = now_s
        self.lines: list[str] = []
        self._trace = hashlib.sha256()

    def tell(self, text: str) -> None:
        """Note what a reader of a failure wants to know."""
        line = f"{self._now_s():9.4f}  {text}"
        self.lines.append(line)
        self.trace(line.encode())

    def trace(self, data: bytes) -> None:
        """Take into the digest what is not told."""
        self._trace.update(data)

    @property
    def digest(self) -> str:
        return self._trace.hexdigest()[:16]
