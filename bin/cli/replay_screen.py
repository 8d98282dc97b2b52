"""The full screen of `agentainer workflow replay`: one event after the other, and what was then."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import msgspec
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.widgets import Footer, Input, Static

from ..core.events import Recorded
from ..projections.timeline import FAILURES, STEP_CHANGES
from ..sdk.progress import agents_text, tasks_text
from .changes import change_text, value_text
from .navigator import Navigator
from .output import coloured, local_time
from .reading import brief_line, public

#: Lines of a pane that are drawn; what a person looks for in more is found by `blame` and search.
SHOWN = 200

#: What the line at the bottom asks for, and what is done with the answer.
PROMPTS = {
    "search": "search for",
    "go_to": "go to event number, or time such as 2026-05-04T10:30",
    "until": "go on until, such as state.total > 3 or steps.load.failed > 0",
}

HELP = """\
right, space, j   next event              left, k    the one before
f, F              next, previous failure  s, S       next, previous step change
pgdn, pgup        a page on, back         home, end  first, last event
/                 search                  n, N       next, previous match
g                 go to a number or time  u          go on until a condition holds
tab               scroll another pane     q          leave

Nothing is executed: the log is read, and folded up to the event that is marked."""


class ReplayScreen(App[None]):
    """Panes: events, what the present one is and changed, steps, state."""

    CSS = """
    #head { height: 1; background: $primary-darken-2; color: $text; }
    #events { width: 1fr; height: 1fr; overflow: hidden; border-right: solid $primary; }
    #right { width: 1fr; }
    .pane { height: 1fr; border-bottom: solid $primary; padding: 0 1; }
    .pane:focus { background: $boost; }
    #note { height: auto; max-height: 10; color: $warning; }
    #prompt { display: none; height: 3; }
    #prompt.asked { display: block; }
    """

    ENABLE_COMMAND_PALETTE = False

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("right,space,j", "move('step', 1)", "next"),
        Binding("left,k", "move('step', -1)", "back"),
        Binding("f", "move('failure', 1)", "failure"),
        Binding("F,shift+f", "move('failure', -1)", show=False),
        Binding("s", "move('step_change', 1)", "step"),
        Binding("S,shift+s", "move('step_change', -1)", show=False),
        Binding("pagedown", "page(1)", show=False, priority=True),
        Binding("pageup", "page(-1)", show=False, priority=True),
        Binding("home", "end('first')", show=False, priority=True),
        Binding("end", "end('last')", show=False, priority=True),
        Binding("g", "ask('go_to')", "go to"),
        Binding("slash", "ask('search')", "search"),
        Binding("n", "again(1)", show=False),
        Binding("N,shift+n", "again(-1)", show=False),
        Binding("u", "ask('until')", "until"),
        Binding("question_mark", "help", "help"),
        Binding("q", "quit", "quit"),
        Binding("escape", "dismiss", show=False),
    ]

    def __init__(self, navigator: Navigator) -> None:
        super().__init__()
        self.navigator = navigator
        self._asked: Callable[[str], str] | None = None
        self._note = ""

    def compose(self) -> ComposeResult:
        yield Static(id="head")
        with Horizontal():
            yield Static(id="events")
            with Vertical(id="right"):
                for name in ("event", "steps", "state"):
                    with VerticalScroll(classes="pane", id=f"{name}-pane"):
                        yield Static(id=name)
        yield Static(id="note")
        yield Input(id="prompt")
        yield Footer()

    def on_mount(self) -> None:
        self.screen.set_focus(None)
        self.draw()

    def on_resize(self) -> None:
        self.call_after_refresh(lambda: self.draw(self._note))

    def draw(self, note: str = "") -> None:
        self._note = note
        shown: dict[str, RenderableType] = {
            "head": self._head(),
            "events": self._events(),
            "event": self._event(),
            "steps": self._steps(),
            "state": self._state(),
            "note": Text(note),
        }
        for name, content in shown.items():
            self.query_one(f"#{name}", Static).update(content)

    def action_move(self, name: str, direction: int) -> None:
        self.draw(getattr(self.navigator, name)(direction))

    def action_page(self, direction: int) -> None:
        self.draw(self.navigator.step(direction * max(1, self._height() - 1)))

    def action_end(self, name: str) -> None:
        self.draw(getattr(self.navigator, name)())

    def action_again(self, direction: int) -> None:
        self.draw(self.navigator.search("", direction))

    def action_help(self) -> None:
        self.draw(HELP)

    def action_ask(self, name: str) -> None:
        self._asked = getattr(self.navigator, name)
        prompt = self.query_one("#prompt", Input)
        prompt.value, prompt.placeholder = "", PROMPTS[name]
        prompt.add_class("asked")
        prompt.focus()

    def action_dismiss(self) -> None:
        self._close_prompt()
        self.draw()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        asked, text = self._asked, event.value.strip()
        self._close_prompt()
        self.draw(asked(text) if asked and text else "")

    def _close_prompt(self) -> None:
        self.query_one("#prompt", Input).remove_class("asked")
        self.screen.set_focus(None)

    def _height(self) -> int:
        return max(1, self.query_one("#events", Static).size.height)

    def _head(self) -> Text:
        at, view = self.navigator.recorded, self.navigator.view
        place = f"event {self.navigator.position} of {len(self.navigator.timeline)}"
        status = coloured(view.status)
        return Text.assemble(
            (f" {view.name} ", "bold"), f" {view.id}  {place}  {local_time(at.ts)}  ", status
        )

    def _events(self) -> RenderableType:
        height, position = self._height(), self.navigator.position
        total = len(self.navigator.timeline)
        first = max(1, min(position - height // 2, total - height + 1))
        last = min(total, first + height - 1)
        lines = [self._event_line(number) for number in range(first, last + 1)]
        return Text("\n").join(lines)

    def _event_line(self, number: int) -> Text:
        recorded = self.navigator.timeline.events[number - 1]
        line = Text(brief_line(recorded), style=_style(recorded))
        line.truncate(max(1, self.query_one("#events", Static).size.width), overflow="ellipsis")
        if number == self.navigator.position:
            line.stylize("reverse")
        return line

    def _event(self) -> RenderableType:
        recorded = self.navigator.recorded
        told = public(self.navigator.timeline.workflow, recorded)
        data = msgspec.json.format(msgspec.json.encode(told["data"])).decode()
        head = Text(f"{recorded.version} {recorded.type}", style="bold")
        by = Text(
            f"by {recorded.by}" + (f", because of {recorded.cause}" if recorded.cause else "")
        )
        changed = [change_text(change) for change in self.navigator.changes()[:SHOWN]]
        wrong = [Text(f"damaged: {text}", style="red") for text in self.navigator.problems()]
        return Group(head, by, *wrong, *changed, Text(_first_lines(data), style="dim"))

    def _steps(self) -> RenderableType:
        view = self.navigator.view
        steps = view.in_order(self.navigator.history.shown_definition(view))
        table = Table(box=None, pad_edge=False, header_style="bold")
        for name in ("STEP", "STATUS", "TASKS", "AGENTS"):
            table.add_column(name, no_wrap=True)
        for step in steps[:SHOWN]:
            table.add_row(step.id, coloured(step.status), tasks_text(step), agents_text(view, step))
        return table

    def _state(self) -> RenderableType:
        state = self.navigator.state()
        lines = [
            Text.assemble((name, "bold"), "  ", value_text(value))
            for name, value in list(state.items())[:SHOWN]
        ]
        return Group(Text("STATE", style="bold"), *(lines or [Text("empty", style="dim")]))


def _first_lines(text: str) -> str:
    lines = text.splitlines()
    return "\n".join(lines[:SHOWN]) + (
        f"\n… {len(lines) - SHOWN} more" if len(lines) > SHOWN else ""
    )


def _style(recorded: Recorded) -> str:
    if recorded.type in FAILURES:
        return "red"
    return "bold" if recorded.type in STEP_CHANGES else ""
