"""Copies what a process writes to its two files, from their start, while they grow."""

from __future__ import annotations

import time
from pathlib import Path

from .contract import LogLine, Sink
from .output import Output, StreamName

_CHUNK = 256 * 1024
_STREAMS: tuple[StreamName, ...] = ("stdout", "stderr")


class Transcript:
    """The files `stdout` and `stderr` of a folder; lines bear the time at which they were read."""

    def __init__(self, folder: Path, output: Output, sink: Sink) -> None:
        self._folder = folder
        self._output = output
        self._sink = sink
        self._read = dict.fromkeys(_STREAMS, 0)

    async def copy(self) -> bool:
        """Pass on what came, a chunk of each stream at most. Tell whether something came."""
        before = sum(self._read.values())
        if lines := self._next():
            await self._sink(lines)
        return sum(self._read.values()) > before

    async def finish(self) -> None:
        """Pass on the rest, after the last process that writes has ended."""
        while await self.copy():
            pass
        if lines := self._output.finish(_now_ms()):
            await self._sink(lines)

    def _next(self) -> list[LogLine]:
        lines: list[LogLine] = []
        for stream in _STREAMS:
            data = self._chunk(stream)
            self._read[stream] += len(data)
            lines += self._output.feed(stream, data, _now_ms())
        return lines

    def _chunk(self, stream: StreamName) -> bytes:
        try:
            with (self._folder / stream).open("rb") as file:
                file.seek(self._read[stream])
                return file.read(_CHUNK)
        except FileNotFoundError:
            return b""


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
