"""Nothing asks the system for the time or for chance but by `core.clock` and `core.ids`.

Else tests on virtual time would wait, or go otherwise each time.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest

import agentainer_flow
from agentainer_flow.core import clock, ids
from agentainer_flow.core.clock import Clock, use_clock
from agentainer_flow.core.ids import Origin, use_origin

ROOT = Path(agentainer_flow.__file__).parent
ROOMS = ("core", "projections", "reactors", "sdk")

RAW = re.compile(
    r"\btime\.(time|monotonic)(_ns)?\b|\bdatetime\.(now|utcnow|today)\b|\bdate\.today\b"
    r"|(?<![\w.])random\.(?!Random\b)\w+|\bsecrets\.(token_\w+|choice|randbelow|SystemRandom)\b|\buuid\w*\.uuid\d"
    r"|\bos\.(urandom|getpid)\b|\bgethostname\b"
)
#: Processes, containers and files outside, secrets, and what is only shown to people.
EXCEPT = re.compile(
    r"core/(clock|ids|embedded|archive|tokens|webhooks)\.py|reactors/runtimes/\w+\.py"
    r"|sdk/otlp_metrics\.py"
)


def lines() -> Iterator[tuple[str, str]]:
    for room in ROOMS:
        for path in sorted((ROOT / room).rglob("*.py")):
            name = f"{room}/{path.relative_to(ROOT / room)}"
            yield from ((name, line) for line in path.read_text().splitlines())


def test_time_and_chance_are_asked_in_one_place() -> None:
    assert [x for x in lines() if RAW.search(x[1]) and not EXCEPT.fullmatch(x[0])] == []


@pytest.mark.parametrize(
    "line",
    [
        "now = time.time()",
        "began = time.monotonic_ns()",
        "at = datetime.now(UTC)",
        "wait = random.random()",
        "key = secrets.token_hex(8)",
        "id = uuid.uuid4()",
        "name = socket.gethostname()",
    ],
)
def test_it_is_recognised(line: str) -> None:
    assert RAW.search(line)


@pytest.mark.parametrize("line", ["chance: random.Random", "at = clock.now()", "x.secrets.items()"])
def test_the_rest_is_not(line: str) -> None:
    assert not RAW.search(line)


@pytest.mark.anyio
async def test_a_clock_is_for_the_tasks_that_begin_within() -> None:
    told: list[float] = []

    async def tell() -> None:
        told.append(clock.now())

    async with anyio.create_task_group() as tasks:
        with use_clock(Clock(lambda: 12.5, lambda: 0.0)):
            tasks.start_soon(tell)
            assert clock.now_ms() == 12500
        tasks.start_soon(tell)

    assert told[0] == 12.5
    assert told[1] > 1e9


def names() -> list[str]:
    return [ids.new_workflow_id(), ids.new_session("worker"), ids.new_key()]


def test_a_seeded_origin_makes_the_same_names_again() -> None:
    made: list[list[str]] = []
    for _ in range(2):
        with (
            use_clock(Clock(lambda: 1.8e9, lambda: 0.0)),
            use_origin(Origin(random.Random(3), "host-1", 7)),
        ):
            made.append(names())

    assert made[0] == made[1] != names()
    assert made[0][1].startswith("worker@host-1:7:")


def test_seeded_ids_sort_by_time() -> None:
    found: list[str] = []
    with use_origin(Origin(random.Random(3), "host-1", 7)):
        for second in range(1, 200):
            with use_clock(Clock(lambda at=float(second): at, lambda: 0.0)):  # type: ignore[misc]
                found.append(ids.new_workflow_id())

    assert found == sorted(found)
    assert {len(one) for one in found} == {26}
