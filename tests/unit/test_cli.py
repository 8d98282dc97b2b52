"""What the command says and how it reads what it is given."""

from __future__ import annotations

import subprocess
import sys

import msgspec
import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from agentainer_flow.cli.main import app
from agentainer_flow.cli.output import choose_columns, duration
from agentainer_flow.cli.problems import Ambiguous, exit_code, innermost
from agentainer_flow.cli.values import read_value, read_values
from agentainer_flow.core import events as e
from agentainer_flow.core.errors import FlowError, InputError, Refused, WorkflowNotFound
from agentainer_flow.projections.brief import LONGEST, brief

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def test_the_command_starts_without_the_server() -> None:
    """Its libraries take longer to load than the rest of a command."""
    code = "import sys, agentainer_flow.cli.main; sys.exit('litestar' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


COMMANDS = [
    ["up"],
    ["reactors"],
    ["worker"],
    ["launcher"],
    ["doctor"],
    ["list"],
    ["queue", "list"],
    ["queue", "set"],
    ["test-history"],
    *(["workflow", v] for v in ("run", "start", "list", "status", "events", "logs", "cancel")),
    *(["workflow", v] for v in ("why", "replay", "diff", "blame", "verify", "export", "import")),
]

HEAVY = {"anyio", "docker", "redis", "rich", "structlog"}


@given(JSON)
def test_json_is_read_as_json(value: object) -> None:
    assert read_value(msgspec.json.encode(value).decode()) == value


@pytest.mark.parametrize("text", ["", "rush", "{no json", "01", "None", "a=b"])
def test_what_is_not_json_is_text(text: str) -> None:
    assert read_value(text) == text


def test_values_are_read_by_name() -> None:
    assert read_values(["n=1", "where=a=b"], "--input") == {"n": 1, "where": "a=b"}


@pytest.mark.parametrize("pairs", [["n"], ["=1"], ["n=1", "n=2"]])
def test_a_pair_that_cannot_be_read_is_refused(pairs: list[str]) -> None:
    with pytest.raises(typer.BadParameter):
        read_values(pairs, "--input")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0123, "12 ms"),
        (4.24, "4.2 s"),
        (200, "3 min 20 s"),
        (18_720, "5 h 12 min"),
        (273_600, "3 d 4 h"),
        (-1, "0 ms"),
        (None, ""),
    ],
)
def test_durations_have_two_units_at_most(seconds: float | None, text: str) -> None:
    assert duration(seconds) == text


def test_spare_columns_are_left_out_until_the_rest_fits() -> None:
    widths = {"id": 26, "image": 20, "host": 10, "runtime": 7}
    assert choose_columns(widths, ["host", "runtime"], 80) == ["id", "image", "host", "runtime"]
    assert choose_columns(widths, ["host", "runtime"], 60) == ["id", "image", "runtime"]
    assert choose_columns(widths, ["host", "runtime"], 10) == ["id", "image"]


@pytest.mark.parametrize(
    ("event", "text"),
    [
        (e.WorkflowCreated("orders", "d1", "shop:Orders"), "orders (shop:Orders)"),
        (e.StepScheduled("a", tasks=3, queued=3), "a, 3 tasks"),
        (e.TaskStarted("a", 2, 1, "w1"), "a[2]"),
        (e.TaskFailed("a", 2, 3, e.Failure("X", "no\nway")), "a[2] attempt 3: X: no way"),
        (e.StepFailed("a", e.Failure("X", "no")), "a: X: no"),
        (e.JobLaunched("a", 0, "j", "c1", "h1", "docker", adopted=True), "j, c1 on h1, adopted"),
        (e.JobCancelled("a", 0, "a-0-x"), "a-0-x"),
        (e.StateUpdated([e.StateChange("incr", "n")]), "incr n"),
        (e.Unknown("moon.rose", msgspec.Raw(b'{"phase":1}')), '{"phase":1}'),
        (e.WorkflowStarted(), ""),
    ],
)
def test_an_event_is_told_in_a_few_words(event: e.Event, text: str) -> None:
    assert brief(event) == text


def test_long_messages_are_cut() -> None:
    assert len(brief(e.WorkflowCancelled("why " * 100))) == LONGEST


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (WorkflowNotFound("w1"), 3),
        (Ambiguous("w", ["w1", "w2"]), 2),
        (InputError("no"), 2),
        (Refused("no"), 1),
    ],
)
def test_the_exit_code_tells_the_kind_of_error(error: FlowError, code: int) -> None:
    assert exit_code(error) == code


def test_one_error_in_groups_is_told_as_itself() -> None:
    error = Refused("no")
    assert innermost(ExceptionGroup("outer", [ExceptionGroup("inner", [error])])) is error


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_the_help_of_every_command_has_examples(command: list[str]) -> None:
    shown = CliRunner().invoke(app, [*command, "--help"]).output
    assert f"agentainer {' '.join(command)}" in shown.partition("Examples:")[2]


def test_help_imports_nothing_heavy() -> None:
    code = "import agentainer_flow.cli.main, sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert HEAVY & set(done.stdout.split()) == set()


def test_every_name_of_the_package_can_be_imported() -> None:
    code = "import agentainer_flow as a; print(*(getattr(a, name) and name for name in a.__all__))"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert "Handle" in done.stdout.split()
