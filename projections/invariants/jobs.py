"""The jobs of one workflow: asked for by a running task, launched once, settled once."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from .entries import Entry
from .violation import Notes

JobStatus = Literal["requested", "launched", "settled"]


class JobStory(msgspec.Struct):
    id: str
    step: str
    index: int
    status: JobStatus = "requested"
    #: It was asked for in a pause; one that began before may still be on its way to its start.
    asked_in_pause: bool = False
    #: Version that asked for its stop, 0 when none did.
    stopping: int = 0
    container: str = ""
    #: Launcher sessions that recorded a launch, in turn.
    launchers: list[str] = []
    launched_ms: list[int] = []
    grace_ms: int = 0
    settled_version: int = 0
    how: str = ""


class Jobs:
    """All jobs of one workflow, told event by event."""

    def __init__(self, notes: Notes) -> None:
        self._notes = notes
        self.all: dict[str, JobStory] = {}
        #: Containers launched where one of the job had been before: never, they are adopted.
        self.relaunched = 0
        self.adopted = 0
        #: Jobs of settled tasks, with the time of that: their stop is asked for in the same moment.
        self._orphans: dict[str, int] = {}

    def requested(self, entry: Entry, *, in_pause: bool) -> None:
        name = str(entry.data.get("job"))
        if name in self.all:
            self._notes.say(entry.version, 8, f"job {name} is requested again")
        spec: dict[str, Any] = entry.data.get("spec") or {}
        self.all[name] = JobStory(
            name,
            str(entry.data.get("step")),
            int(entry.data.get("index", -1)),
            asked_in_pause=in_pause,
            grace_ms=int(1000 * spec.get("grace_s", 10)),
        )

    def launched(self, entry: Entry, *, paused: bool) -> None:
        job = self._open(entry)
        container, adopted = str(entry.data.get("container")), bool(entry.data.get("adopted"))
        self.adopted += adopted
        if job.container and (not adopted or job.container != container):
            self.relaunched += 1
            text = f"job {job.id} is launched again as {container}, it was {job.container}"
            self._notes.say(entry.version, 8, text)
        if paused and job.asked_in_pause and not job.container:
            text = f"job {job.id} was asked for in the pause and is launched in it"
            self._notes.say(entry.version, 7, text)
        job.container = container
        job.launchers = [*job.launchers, entry.by]
        job.launched_ms = [*job.launched_ms, entry.ts]
        if job.status == "requested":
            job.status = "launched"

    def stop_requested(self, entry: Entry) -> None:
        job = self._open(entry)
        if job.stopping:
            self._notes.say(entry.version, 8, f"the stop of job {job.id} is asked for again")
        job.stopping = entry.version
        self._orphans.pop(job.id, None)

    def settled(self, entry: Entry) -> None:
        job = self._open(entry)
        if entry.type == "job.succeeded" and not job.container:
            self._notes.say(entry.version, 8, f"job {job.id} succeeds and was never launched")
        job.status, job.settled_version, job.how = "settled", entry.version, entry.type
        self._orphans.pop(job.id, None)

    def _open(self, entry: Entry) -> JobStory:
        """The job of an event, which has to have been asked for and not have settled."""
        name = str(entry.data.get("job"))
        job = self.all.get(name)
        if job is None:
            self._notes.say(entry.version, 8, f"{entry.type} of job {name}, which nobody asked for")
            job = self.all[name] = JobStory(name, "", -1)
        elif job.status == "settled":
            text = f"{entry.type} of job {name}, which had settled at {job.settled_version}"
            self._notes.say(entry.version, 8, text)
        return job

    @property
    def unsettled(self) -> list[JobStory]:
        return [job for job in self.all.values() if job.status != "settled"]

    def task_settled(self, entry: Entry) -> None:
        """No agent outlives its task: note those that have to be told to stop now."""
        for job in self.unsettled:
            place = (entry.data.get("step"), entry.data.get("index"))
            if (job.step, job.index) == place and not job.stopping:
                self._orphans[job.id] = entry.ts

    def check_orphans(self, entry: Entry) -> None:
        """What happens in one call has one time, so a later one tells that a stop was forgotten."""
        for name, since in list(self._orphans.items()):
            if entry.ts > since:
                text = f"job {name} goes on although its task settled at {since} ms"
                self._notes.say(entry.version, 8, text)
                del self._orphans[name]

    def check_ended(self, entry: Entry) -> None:
        for job in self.unsettled:
            text = f"the workflow ends while job {job.id} is not settled"
            self._notes.say(entry.version, 8, text)
