"""One run: bring everything up, let it happen, let it come to rest, and judge."""

from __future__ import annotations

import time
from pathlib import Path

import anyio
import msgspec

from .driver import Driver
from .fleet import now_ms
from .judgement import Past, judge
from .report import Report
from .scene import Scene
from .schedule import Schedule, Start, Wanted, make_schedule
from .throughput import Users


async def run(folder: Path, seed: int, wanted: Wanted) -> Report:
    """Carry out the schedule of a seed in an empty folder, which keeps what is left to look at."""
    schedule = make_schedule(seed, wanted)
    (folder / "schedule.json").write_bytes(msgspec.json.encode(schedule))
    scene = Scene(folder, wanted, seed)
    report: Report | None = None
    async with scene.up() as driver, anyio.create_task_group() as tasks:
        tasks.start_soon(scene.nemesis.tend_forever)
        past = await _happen(scene, driver, schedule)
        report = await judge(scene, past)
        tasks.cancel_scope.cancel()
    assert report is not None
    (folder / "journal.json").write_bytes(msgspec.json.encode(scene.journal))
    (folder / "report.json").write_bytes(msgspec.json.encode(report))
    return report


async def _happen(scene: Scene, driver: Driver, schedule: Schedule) -> Past:
    """Let faults, workflows and commands come, and all of it come to rest."""
    begin_ms = now_ms()
    if scene.wanted.throughput:
        starts = await _measure(scene, driver, schedule)
    else:
        starts = schedule.starts
        begun = time.monotonic()
        async with anyio.create_task_group() as happening:
            happening.start_soon(scene.nemesis.carry_out, schedule.faults, begun)
            happening.start_soon(driver.carry_out, starts, schedule.commands, begun)
    end_ms = now_ms()
    await driver.resume_all()
    rested, drained_s = await scene.rest()
    return Past(starts, begin_ms, end_ms, rested, drained_s)


async def _measure(scene: Scene, driver: Driver, schedule: Schedule) -> list[Start]:
    """As long in peace as under faults, always busy; what was started."""
    users = Users(driver)
    faults = time.monotonic() + scene.wanted.seconds
    async with anyio.create_task_group() as happening:
        happening.start_soon(users.work, faults + scene.wanted.seconds)
        await anyio.sleep(scene.wanted.seconds)
        scene.journal.faults_ms = now_ms()
        happening.start_soon(scene.nemesis.carry_out, schedule.faults, faults)
    return users.starts
