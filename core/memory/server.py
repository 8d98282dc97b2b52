"""A Redis in this process, for tests: its data, its time, and who is connected.

Nothing in it depends on chance or on the wall clock unless it is given those: the same commands at
the same times give the same answers and the same order of everything.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from ..clock import now
from . import (
    admin,
    hashes,
    keyspace,
    lists,
    reading,
    scripting,
    sets,
    sorted_sets,
    stream_groups,
    strings,
)
from .database import Database
from .interpreter import interpreter
from .table import find
from .values import Args, Failure, Reply

if TYPE_CHECKING:
    from .session import Faults, Session
    from .waiting import Waiting

#: Modules whose import enters their commands in the table.
_ENTERED = (
    admin,
    hashes,
    keyspace,
    lists,
    reading,
    scripting,
    sets,
    sorted_sets,
    stream_groups,
    strings,
)


class Written(NamedTuple):
    """What one command, script or transaction wrote."""

    micros: int
    commands: list[Args]


def own_clock() -> float:
    """The time as whoever calls the server sees it, ms."""
    return now() * 1000


class Server:
    """Answer commands. `clock` tells the time, ms; `seed` fixes what is random."""

    def __init__(
        self,
        clock: Callable[[], float] = own_clock,
        *,
        seed: int = 0,
        keeps_journal: bool = False,
    ) -> None:
        interpreter()
        self._clock = clock
        self._seed = seed
        self._lock = threading.RLock()
        self.database = Database(seed)
        #: What was written, oldest first; None: it is not kept.
        self.journal: list[Written] | None = [] if keeps_journal else None
        #: Asked at each connection, within whoever connects, for what goes wrong on it.
        self.faults: Callable[[Session], Faults | None] = lambda session: None
        self.sessions: list[Session] = []
        #: Reads that wait, in the order in which they came.
        self.waiting: list[Waiting] = []
        self.is_away = False

    def run(self, command: Args) -> Reply:
        """Apply one command at the time that it is now. Raises Failure."""
        with self._lock:
            micros = self._begin()
            try:
                return self._apply(command)
            finally:
                self._end(micros, [command])

    def run_all(self, commands: list[Args]) -> list[Reply]:
        """Apply commands as one; what fails answers with its Failure."""
        with self._lock:
            micros = self._begin()
            replies = [self._attempt(command) for command in commands]
            self._end(micros, commands)
            return replies

    def _begin(self) -> int:
        micros = int(self._clock() * 1000)
        self._set_time(micros)
        return micros

    def _set_time(self, micros: int) -> None:
        db = self.database
        db.micros, db.now, db.wrote = micros, micros // 1000, False

    def _apply(self, command: Args) -> Reply:
        name, *args = command
        found = find(name, args)
        self.database.wrote |= found.writes
        return found.run(self.database, args)

    def _attempt(self, command: Args) -> Reply:
        try:
            return self._apply(command)
        except Failure as failure:
            return failure

    def _end(self, micros: int, commands: list[Args]) -> None:
        """Note what was written, and wake who waits for streams that have changed."""
        db = self.database
        if self.journal is not None and db.wrote:
            self.journal.append(Written(micros, commands))
        if db.stirred:
            stirred, db.stirred = frozenset(db.stirred), []
            for waiting in list(self.waiting):
                waiting.look_again(stirred)

    def lose(self, number: int) -> None:
        """Forget the last writes, as a Redis that crashed before it had kept them.

        Connections end; scripts are forgotten, as they are kept nowhere.
        """
        if self.journal is None:
            raise ValueError("the server keeps no journal: serve(…, keeps_journal=True)")
        with self._lock:
            self.cut()
            kept = self.journal[: max(0, len(self.journal) - number)]
            replicas, options = self.database.replicas, self.database.options
            self.database = Database(self._seed)
            self.database.replicas, self.database.options = replicas, options
            for written in kept:
                self._set_time(written.micros)
                for command in written.commands:
                    self._attempt(command)
            self.database.stirred.clear()
            self.journal = kept

    def go_away(self) -> None:
        """End all connections and refuse others."""
        self.is_away = True
        self.cut()

    def come_back(self) -> None:
        self.is_away = False

    def cut(self) -> None:
        """End all connections; who is there may connect again."""
        for session in list(self.sessions):
            session.cut()
