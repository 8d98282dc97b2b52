"""How much of the machine others used meanwhile: figures taken beside a lot are worth less."""

from __future__ import annotations

import os
import resource
import time
from dataclasses import dataclass
from pathlib import Path

TICKS_PER_S = os.sysconf("SC_CLK_TCK")
#: Columns of the first line of /proc/stat, after its name, in which nothing is done.
IDLE, IOWAIT = 3, 4
#: Columns of /proc/<pid>/stat after the name in brackets.
USER, SYSTEM = 11, 12


@dataclass(frozen=True)
class Reading:
    """Processor seconds until now: of everybody, and of this process, its ended ones and Redis."""

    at: float
    all_s: float
    ours_s: float


def read(redis_pid: int) -> Reading:
    return Reading(time.monotonic(), _busy_s(), _ours_s() + _used_s(redis_pid))


def others_percent(before: Reading, after: Reading) -> float:
    """Of what all processors could have done in between, the share that others took."""
    others_s = (after.all_s - before.all_s) - (after.ours_s - before.ours_s)
    capacity_s = (after.at - before.at) * (os.cpu_count() or 1)
    return max(0.0, 100 * others_s / capacity_s)


def _busy_s() -> float:
    """Time that was stolen from a virtual machine counts, too."""
    line = Path("/proc/stat").read_text().partition("\n")[0]
    user_to_steal = [int(part) for part in line.split()[1:9]]
    return (sum(user_to_steal) - user_to_steal[IDLE] - user_to_steal[IOWAIT]) / TICKS_PER_S


def _ours_s() -> float:
    usages = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def _used_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[USER]) + int(fields[SYSTEM])) / TICKS_PER_S
