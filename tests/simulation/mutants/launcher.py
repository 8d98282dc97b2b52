"""Bugs in what runs agents."""

from __future__ import annotations

from ..planting import Mutant

LAUNCHER = [
    Mutant(
        "a launcher keeps what Redis says it has",
        "reactors.launcher:Launcher._compare",
        "await self._session.hand_back_others",
        "list",
    ),
    Mutant(
        "containers that a dead launcher left are not removed",
        "reactors.leftovers:remove_ended",
        "return await runtime.remove(launch, has_ended)",
        "return True",
    ),
    Mutant(
        "an older claim of an agent ends the newer one",
        "reactors.agents:Agents.run",
        "if former.claim.number > claim.number:",
        "if False:",
    ),
    Mutant(
        "a container is removed before its end is recorded",
        "reactors.agents:Agents._carry_out",
        "if await self._records.record_outcome(launch, token, outcome):",
        "await runtime.remove(launch)\n"
        "    if await self._records.record_outcome(launch, token, outcome):",
    ),
    Mutant(
        "launchers do not hear of agents",
        "reactors.launcher:Launcher._hear",
        'case "job":\n            self._wake.set()',
        'case "job":\n            pass',
    ),
    Mutant(
        "an agent that is asked for during a claim is not seen",
        "reactors.launcher:Launcher._claim_forever",
        "self._wake = anyio.Event()\n"
        "        if self._was_away:\n"
        "            await self._compare()\n"
        "        claimed, claim = await self._claim()",
        "if self._was_away:\n"
        "            await self._compare()\n"
        "        claimed, claim = await self._claim()\n"
        "        self._wake = anyio.Event()",
    ),
    Mutant(
        "an agent that is adopted after a pause stands still",
        "reactors.agents:Agents._carry_out",
        "await self._thaw(launch)",
        "pass",
    ),
    Mutant(
        "whoever adopts an agent lets it go on in a pause",
        "reactors.agents:Agents._thaw",
        'if await self._log.status(launch.workflow) != "paused":',
        "if True:",
    ),
    Mutant(
        "launchers do not hear of stops",
        "reactors.launcher:Launcher._hear",
        "self._tasks.start_soon(self._agents.stop, stopped)",
        "pass",
    ),
    Mutant(
        "slots that become free are told to nobody",
        "reactors.capacity:Capacity.give",
        "self._tell()",
        "pass",
    ),
    Mutant(
        "one slot more than there is",
        "reactors.capacity:Capacity.free_slots",
        "self.slots - self._taken_slots",
        "self.slots + 1 - self._taken_slots",
    ),
    Mutant(
        "an agent begins that is to stop",
        "core.log:EventLog.may_begin",
        'record["token"] == token and record["state"] != "stopping"',
        'record["token"] == token',
    ),
    Mutant(
        "an end that was refused counts as recorded",
        "reactors.agents:Agents._carry_out",
        "if await self._records.record_outcome(launch, token, outcome):",
        "await self._records.record_outcome(launch, token, outcome)\n    if True:",
    ),
    Mutant(
        "an agent is removed whose launch was refused",
        "reactors.agents:Agents._carry_out",
        "await remove_ended(self._log, runtime, launch)\n        return",
        "await runtime.remove(launch)\n        return",
    ),
]
