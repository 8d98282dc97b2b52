"""Copies the output of a container, from its start, over lost connections, nothing twice.

Docker's log streams cannot be trusted with more than the lines in them: they may hang, end early
at a rotation, or drop a last line without newline. So nobody waits for a stream to end. It is
followed while the container runs, begun again when it breaks, and when the container has ended
(as others find out) one plain read fetches what the stream did not bring. Docker's time stamps
tell which frames were seen; the frames of one long line share theirs.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import datetime, timedelta
from functools import lru_cache

import anyio

from .contract import LogLine, Sink
from .daemon import CONNECTION_ERRORS, Daemon, Stream
from .handover import Handover
from .output import Output, StreamName

_HEADER = 8
_STAMP = len("2026-01-01T00:00:00.000000000Z")
#: Frames of the two streams may be stored in another order than that of their stamps.
_OVERLAP = timedelta(milliseconds=100)
#: How long an ended container's log may bring nothing before it is given up.
_SILENCE_S = 2.0
#: How long a running container's may before the stream is taken for hung and begun again.
_FOLLOW_SILENCE_S = 30.0
_AGAIN_S = 0.2
#: Waits after each try to fetch the rest: a daemon that restarts is back in a few seconds.
_REST_S = (0.2, 0.5, 1.0, 2.0, 0.0)


class ContainerLog:
    """Reads in a thread, hands over in batches. `copy` runs until `finish` or cancellation."""

    def __init__(self, daemon: Daemon, container: str, output: Output) -> None:
        self._daemon = daemon
        self._path = f"/containers/{container}/logs"
        self.output = output
        self._handover = Handover()
        self._over = threading.Event()
        #: Nobody wants the rest.
        self._is_abandoned = False
        self._done = anyio.Event()
        self._stream: Stream | None = None
        self._frames = 0
        self._seen: dict[StreamName, _Position] = {"stdout": _Position(), "stderr": _Position()}

    async def copy(self, sink: Sink) -> None:
        """Pass on all lines."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._daemon.in_own_thread, self._read)
            try:
                while lines := await self._handover.take():
                    await sink(lines)
                    await self._handover.gather()
            finally:
                self._abandon()
        self._done.set()

    async def finish(self) -> None:
        """Fetch the rest, now that the container has ended; give up when nothing comes."""
        self._over.set()
        while not self._done.is_set():
            before = self._frames
            with anyio.move_on_after(_SILENCE_S):
                await self._done.wait()
            if self._frames == before and not self._handover.full:
                self._cut()

    def _abandon(self) -> None:
        self._is_abandoned = True
        self._over.set()
        self._handover.close()
        self._cut()

    def _cut(self) -> None:
        if self._stream is not None:
            self._stream.cut()

    def _read(self) -> None:
        """Make passes over the log until one began after the end. Runs in a thread."""
        while not self._over.wait(_AGAIN_S):  # one that ends at once is read once
            with suppress(*CONNECTION_ERRORS):
                self._pass_on(follow=True)
        if not self._read_rest():
            self.output.has_gaps = True
        self._handover.put(self.output.finish(time.time_ns() // 1_000_000))
        self._handover.finish()

    def _read_rest(self) -> bool:
        """Fetch what there is now; False when the daemon was away each time."""
        for wait_s in _REST_S:
            with suppress(*CONNECTION_ERRORS):
                self._pass_on(follow=False)
                return True
            if self._is_abandoned:
                break
            time.sleep(wait_s)
        return False

    def _pass_on(self, *, follow: bool) -> None:
        self._stream = self._daemon.request(
            "GET",
            self._path,
            _FOLLOW_SILENCE_S if follow else _SILENCE_S,
            **{"stdout": 1, "stderr": 1, "timestamps": 1, "follow": int(follow)},
            since=self._since(),
        )
        if follow and self._over.is_set():
            return self._stream.cut()  # whoever ended it may have come before there was a stream
        for position in self._seen.values():
            position.rewind()
        for name, frame in _frames(self._stream):
            self._handover.put(self._lines(name, frame))

    def _lines(self, name: StreamName, frame: bytes) -> list[LogLine]:
        """Take a frame, `<stamp> <bytes>`, unless an earlier pass did."""
        stamp = frame[:_STAMP].decode()
        self._frames += 1
        if not self._seen[name].reach(stamp, last=frame.endswith(b"\n")):
            return []
        return self.output.feed(name, frame[_STAMP + 1 :], _ts_ms(stamp))

    def _since(self) -> str:
        last = max(position.stamp for position in self._seen.values())
        if not last:
            return "0"
        return f"{(datetime.fromisoformat(last) - _OVERLAP).timestamp():.6f}"


class _Position:
    """How far one stream was read: up to the n-th frame of a stamp.

    A stamp has one line, in several frames when it is long. So a frame that follows a finished
    line of its own stamp comes again, as happens in Docker when a log is rotated.
    """

    def __init__(self) -> None:
        self.stamp = ""
        self._frames = 0
        self._skip = 0
        self._finished = True

    def rewind(self) -> None:
        """Begin a pass, in which frames come again."""
        self._skip = self._frames

    def reach(self, stamp: str, *, last: bool) -> bool:
        """Move on to a frame, the last of its line or not. Tell whether it is a new one."""
        if stamp > self.stamp:
            self.stamp, self._frames, self._skip, self._finished = stamp, 0, 0, False
        elif self._skip and stamp == self.stamp:
            self._skip -= 1
            return False
        elif self._finished or stamp < self.stamp:
            return False
        self._frames += 1
        self._finished = last
        return True


def _frames(chunks: Iterable[bytes]) -> Iterator[tuple[StreamName, bytes]]:
    """Undo Docker's multiplexing: a stream number, three zeros, the size in four bytes, data."""
    buffer = b""
    for chunk in chunks:
        buffer += chunk
        at = 0
        while len(buffer) >= at + _HEADER:
            end = at + _HEADER + int.from_bytes(buffer[at + 4 : at + _HEADER])
            if len(buffer) < end:
                break
            yield ("stderr" if buffer[at] == 2 else "stdout"), buffer[at + _HEADER : end]
            at = end
        buffer = buffer[at:]


def _ts_ms(stamp: str) -> int:
    return _second(stamp[:19]) * 1_000 + int(stamp[20:23])


@lru_cache(maxsize=16)
def _second(stamp: str) -> int:
    return int(datetime.fromisoformat(stamp + "+00:00").timestamp())
