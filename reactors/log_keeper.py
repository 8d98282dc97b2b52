"""Keep what an agent prints, in a stream per job that outlives the agent."""

from __future__ import annotations

from ..core.log import EventLog
from .runtimes.contract import Launch, LogLine


class LogKeeper:
    """Pass an agent's output on to its stream; a follow that begins anew replaces it."""

    def __init__(self, event_log: EventLog, launch: Launch) -> None:
        self._log = event_log
        self._launch = launch
        self._kept = 0

    async def keep(self, lines: list[LogLine]) -> None:
        await self._log.scripts.write_logs(
            self._launch.workflow,
            job=self._launch.job,
            lines=[(line.ts_ms, line.stream, line.text) for line in lines],
            limit=self._log.settings.log_lines,
            after=self._kept,
        )
        self._kept += len(lines)
