"""What one process may run at a time, shared by all in it who claim work."""

from __future__ import annotations

from collections.abc import Callable

import anyio


class Capacity:
    """Slots and memory (bytes; None: no limit), how much of them is taken, and who waits for more.

    No two who claim for it may promise the same slot. Launchers, which take what runs already
    whatever there is room for, hold `claiming` from asking what is free until they took what they
    got. Workers, whose claims must not wait for each other, take slots before they claim and give
    back what they did not get.
    """

    def __init__(self, slots: int, memory_bytes: int | None = None) -> None:
        self.slots = slots
        self.memory_bytes = memory_bytes
        self.claiming = anyio.Lock()
        self._taken_slots = 0
        self._taken_memory = 0
        #: Bytes that the next piece of work of a claimant needs, those who wait longest first.
        self._line: dict[object, int] = {}
        self._listeners: list[Callable[[], None]] = []

    def free_slots(self, claimant: object = None) -> int:
        """Slots that this claimant may take. One is kept for each that is before it in line."""
        return max(0, self.slots - self._taken_slots - len(self._before(claimant)))

    def free_memory(self, claimant: object = None) -> int | None:
        """Bytes that this claimant may take; None: any number.

        What those before it in line need is kept for them, or small work would take for ever what
        large work waits for.
        """
        if self.memory_bytes is None:
            return None
        kept = sum(self._before(claimant))
        return max(0, self.memory_bytes - self._taken_memory - kept)

    def _before(self, claimant: object) -> list[int]:
        if not self._line:
            return []
        waiting = list(self._line)
        place = waiting.index(claimant) if claimant in self._line else len(waiting)
        return [self._line[one] for one in waiting[:place]]

    def take(self, slots: int = 1, memory_bytes: int = 0) -> None:
        self._taken_slots += slots
        self._taken_memory += memory_bytes

    def reserve(self, claimant: object) -> int:
        """Take slots for a claim that is about to be made; 0: there are none, stand in line.

        Of several who share only half of what is free, so that the others find some meanwhile.
        """
        free = self.free_slots(claimant)
        if not free:
            self.wait(claimant, 0)
            return 0
        if len(self._listeners) > 1:
            free = (free + 1) // 2
        self._line.pop(claimant, None)  # those behind get nothing by that
        self.take(free)
        return free

    def give(self, slots: int = 1, memory_bytes: int = 0) -> None:
        """Give back what was taken, and tell those who listen."""
        self._taken_slots -= slots
        self._taken_memory -= memory_bytes
        self._tell()

    def wait(self, claimant: object, memory_bytes: int) -> None:
        """Stand in line for this much, or stay there."""
        self._line[claimant] = memory_bytes

    def leave(self, claimant: object) -> None:
        """Wait no longer: those behind may have what was kept. Harmless for who did not wait."""
        if self._line.pop(claimant, None) is not None:
            self._tell()

    def listen(self, wake: Callable[[], None]) -> None:
        """Call `wake` whenever something becomes free."""
        self._listeners.append(wake)

    def _tell(self) -> None:
        for wake in self._listeners:
            wake()
