"""Record what becomes of jobs, by the token of their claim, and count how they end."""

from __future__ import annotations

import msgspec

from ..core import clock
from ..core import events as e
from ..core import metrics as m
from ..core.answers import ClaimedJob
from ..core.log import EventLog
from .runtimes.contract import Launch, Outcome, Runtime

_encode = msgspec.json.Encoder().encode


class JobRecords:
    def __init__(self, event_log: EventLog) -> None:
        self._log = event_log

    async def refuse(self, job: ClaimedJob, token: str, problem: str) -> None:
        """Record that a job cannot be started here, nor anywhere else."""
        failure = e.Failure("cannot_start", problem)
        answer = await self._log.scripts.settle_job(
            job.workflow,
            job=job.job,
            token=token,
            type=e.JobFailed.type,
            rest=_encode({"error": failure}).decode(),
            final=True,
        )
        self.count_end("cannot_start" if answer != "lost" else "")

    async def record_outcome(self, launch: Launch, token: str, outcome: Outcome) -> bool:
        """False when the claim no longer holds: somebody else says how the agent ended."""
        match outcome.kind:
            case "succeeded":
                return await self._record_success(launch, token, outcome.result.encode())
            case "cancelled":
                return await self.record(launch, token, e.JobCancelled, {}) != "lost"
            case kind:
                failure = e.Failure(
                    kind,
                    outcome.reason or f"the agent ended with {kind}",
                    exit_code=outcome.exit_code,
                    last_lines=outcome.last_lines,
                )
                return await self.record(launch, token, e.JobFailed, {"error": failure}) != "lost"

    async def _record_success(self, launch: Launch, token: str, result: bytes) -> bool:
        facts: dict[str, object] = {"result": msgspec.Raw(result)}
        if len(result) > self._log.settings.inline_limit:
            facts = {"blob": await self._log.put_blob(launch.workflow, result)}
        return await self.record(launch, token, e.JobSucceeded, facts) != "lost"

    async def record(
        self, launch: Launch, token: str, kind: type[e.JobEvent], facts: dict[str, object]
    ) -> str:
        """What the script answers: `lost` when the claim no longer holds."""
        return await self._log.scripts.settle_job(
            launch.workflow,
            job=launch.job,
            token=token,
            type=kind.type,
            rest=_encode(facts).decode(),
            final=kind is not e.JobLaunched,
        )

    def count_end(self, result: str) -> None:
        """Count an agent that ended; empty: somebody else has recorded how."""
        if self._log.instruments and result:
            self._log.instruments.count(m.JOBS_FINISHED, result)

    def observe(self, metric: m.Metric, since: float, runtime: Runtime, result: str) -> None:
        """`since` is a moment of the monotonic clock."""
        if self._log.instruments:
            seconds = clock.monotonic() - since
            self._log.instruments.observe(metric, seconds, runtime.name, result)
