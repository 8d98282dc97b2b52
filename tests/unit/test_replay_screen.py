"""Going through a workflow on the screen: every key leads where its help says."""

from __future__ import annotations

import pytest
from rich.console import Console
from textual.widgets import Input, Static

from agentainer_flow.cli.navigator import Navigator
from agentainer_flow.cli.replay_screen import ReplayScreen
from agentainer_flow.projections.histories import History

from .test_history import FAILED

pytestmark = pytest.mark.anyio


@pytest.fixture
def screen() -> ReplayScreen:
    return ReplayScreen(Navigator(History("w1", FAILED, None)))


def shown(screen: ReplayScreen, pane: str) -> str:
    console = Console(width=120, color_system=None)
    with console.capture() as capture:
        console.print(screen.query_one(f"#{pane}", Static).content)
    return capture.get()


@pytest.mark.parametrize(
    ("keys", "position"),
    [
        ("right", 2),
        ("j space k", 2),
        ("left", 1),
        ("end", len(FAILED)),
        ("end left", len(FAILED) - 1),
        ("end right", len(FAILED)),
        ("end home", 1),
        ("f", 9),
        ("f f", 16),
        ("end F F", 16),
        ("s", 3),
        ("end S", 17),
        ("g 1 2 enter", 12),
        ("slash p a u s e d enter", 11),
        ("slash t a s k enter n n N", 4),
        ("u s t a t u s = = ' p a u s e d ' enter", 11),
        ("u escape right", 2),
    ],
)
async def test_keys(screen: ReplayScreen, keys: str, position: int) -> None:
    async with screen.run_test(size=(120, 40)) as pilot:
        await pilot.press(*keys.split())
        await pilot.pause()
        assert screen.navigator.position == position
        assert f"event {position} of {len(FAILED)}" in shown(screen, "head")


async def test_panes_tell_the_moment(screen: ReplayScreen) -> None:
    async with screen.run_test(size=(120, 40)) as pilot:
        await pilot.press(*["g", "9", "enter"])
        await pilot.pause()
        assert "task.failed" in shown(screen, "event")
        assert "steps.a.tasks.0.status  running -> failed" in shown(screen, "event")
        assert "0/3 done, 1 failed" in shown(screen, "steps")
        assert "list" in shown(screen, "state")
        assert shown(screen, "events").count("\n") >= len(FAILED) - 1


async def test_a_small_screen_shows_the_events_around(screen: ReplayScreen) -> None:
    async with screen.run_test(size=(60, 12)) as pilot:
        await pilot.press("end")
        await pilot.pause()
        events = shown(screen, "events")
        assert f"{len(FAILED):>5} " in events
        assert "    1 " not in events


async def test_what_leads_nowhere_is_said(screen: ReplayScreen) -> None:
    async with screen.run_test(size=(120, 40)) as pilot:
        await pilot.press("left")
        assert "this is the first event" in shown(screen, "note")
        await pilot.press(*["u", "n", "o", "enter"])
        await pilot.pause()
        assert "cannot use the condition 'no'" in shown(screen, "note")
        await pilot.press(*["slash", "z", "z", "z", "enter"])
        await pilot.pause()
        assert "no 'zzz' after this event" in shown(screen, "note")
        assert not screen.query_one("#prompt", Input).has_class("asked")
        await pilot.press("question_mark")
        assert "Nothing is executed" in shown(screen, "note")
