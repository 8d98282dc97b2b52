"""What a fork takes over and what it runs, from logs made by hand."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from agentainer_flow.core import events as e
from agentainer_flow.core.definition import Bind, Definition, Fan, Quorum, StepSpec
from agentainer_flow.core.errors import InputError, Refused
from agentainer_flow.sdk.fork_plan import ForkPlan, Wish, plan_fork

from .test_workflow_view import ERROR, RAW, log

LOAD = StepSpec("load", binds={"source": Bind("source")})
WORK = StepSpec(
    "work", ("load",), {"item": Bind(item=True)}, Fan(Bind(step="load"), on_failure=Quorum(1))
)
ASIDE = StepSpec("aside", binds={"mode": Bind("mode")})
REPORT = StepSpec("report", ("work", "aside"))
DEFINITION = Definition("wf", (LOAD, WORK, ASIDE, REPORT))


def done(step: str, index: int = 0, result: bytes = b"1") -> list[e.Event]:
    return [e.TaskStarted(step, index, 1, "w"), e.TaskCompleted(step, index, 1, RAW(result))]


COMPLETED = (
    e.WorkflowCreated("wf", "digest", input=RAW(b'{"source": 1, "mode": "x"}')),
    e.WorkflowStarted(),
    e.StepScheduled("load", 1, 1),
    *done("load", result=b"[7, 8]"),
    e.StepCompleted("load"),
    e.StepScheduled("aside", 1, 1),
    *done("aside"),
    e.StepCompleted("aside"),
    e.StepScheduled("work", 2, 2),
    *done("work", 0),
    e.TaskStarted("work", 1, 1, "w"),
    e.TaskFailed("work", 1, 1, ERROR),
    e.StepCompleted("work", failed=1),
    e.StepScheduled("report", 1, 1),
    *done("report"),
    e.StepCompleted("report"),
    e.WorkflowCompleted(RAW(b"1")),
)


def planned(*events: e.Event, now: Definition | None = None, **wish: Any) -> ForkPlan:
    wanted = Wish(**wish)
    return plan_fork("w", log(*(events or COMPLETED)), DEFINITION, wanted, now=now)


def runs(plan: ForkPlan) -> dict[str, list[int]]:
    """The steps that run, with the tasks that they keep."""
    return {step.id: [task.index for task in step.reused] for step in plan.runs}


def test_a_step_and_what_depends_on_it_run_again() -> None:
    plan = planned(step="work")
    assert runs(plan) == {"work": [], "report": []}
    assert [step.why for step in plan.runs] == ["it was asked for", "it depends on work"]
    assert plan.forked_from == e.ForkedFrom("w", len(COMPLETED), ["work"])


def test_one_task_runs_again_and_the_step_keeps_the_others() -> None:
    plan = planned(step="work", index=0)
    assert runs(plan) == {"work": [1], "report": []}
    assert plan.runs[0].reused[0].error == ERROR


def test_what_failed_runs_again() -> None:
    assert runs(planned(from_failure=True)) == {"work": [0], "report": []}
    failed = (*COMPLETED[:15], e.StepFailed("work", ERROR, 1))
    assert runs(planned(*failed, from_failure=True)) == {"work": [0], "report": []}
    with pytest.raises(InputError, match="failed; say where to begin"):
        planned(*COMPLETED[:6], from_failure=True)


def test_a_moment_of_the_past() -> None:
    plan = planned(at="4")
    assert runs(plan) == {"load": [], "work": [], "aside": [], "report": []}
    assert plan.forked_from.version == 4
    assert runs(planned(at="6")) == {"work": [], "aside": [], "report": []}
    with pytest.raises(InputError, match="has events 1 to"):
        planned(at="99")


def test_an_input_that_is_given_anew_taints_its_readers() -> None:
    plan = planned(inputs={"mode": RAW(b'"y"')})
    assert {step.id: step.why for step in plan.runs} == {
        "aside": "it reads input mode",
        "report": "it depends on aside",
    }
    assert plan.forked_from.changed == ["input.mode"]


def test_an_output_that_is_given_stands_for_its_step() -> None:
    plan = planned(outputs={"work": RAW(b"[5, 6, 7]")})
    assert runs(plan) == {"report": []}
    given = next(step for step in plan.steps if step.id == "work")
    assert [bytes(task.result) for task in given.reused] == [b"5", b"6", b"7"]
    with pytest.raises(InputError, match="expected its output as a list"):
        planned(outputs={"work": RAW(b"5")})
    with pytest.raises(InputError, match="choose"):
        planned(step="work", outputs={"work": RAW(b"[5]")})


def test_another_definition() -> None:
    faster = msgspec.structs.replace(LOAD, timeout_s=5.0)
    other = msgspec.structs.replace(ASIDE, binds={})
    new = StepSpec("check", ("report",))
    plan = planned(now=Definition("wf", (faster, WORK, other, REPORT, new)))
    assert {step.id: step.why for step in plan.runs} == {
        "aside": "it is another in the definition",
        "report": "it depends on aside",
        "check": "it is new in the definition",
    }
    assert plan.forked_from.changed == ["definition"]


def test_a_fork_that_would_run_nothing_is_refused() -> None:
    with pytest.raises(Refused, match="nothing of workflow w would run again"):
        planned()


@pytest.mark.parametrize(
    ("wish", "problem"),
    [
        ({"step": "nothing"}, "has no step 'nothing'; it has load, work"),
        ({"outputs": {"nothing": RAW(b"1")}}, "has no step 'nothing'"),
        ({"step": "work", "index": 2}, "has tasks 0 to 1, got 2"),
    ],
)
def test_a_wish_that_names_what_is_not_there(wish: dict[str, Any], problem: str) -> None:
    with pytest.raises(InputError, match=problem):
        planned(**wish)


def written(op: str, key: str, value: bytes, by: float = 0) -> e.StateUpdated:
    return e.StateUpdated([e.StateChange(op, key, RAW(value), by)])  # type: ignore[arg-type]


def test_writes_of_tasks_that_run_again_are_left_out() -> None:
    story = log(
        *COMPLETED[:4],
        written("incr", "total", b"1", 1),
        *COMPLETED[4:8],
        written("incr", "total", b"11", 10),
        written("set", "outside", b'"x"'),
        *COMPLETED[8:],
    )
    claims = {5: 4, 10: 9}
    events = [msgspec.structs.replace(one, cause=claims.get(one.version)) for one in story]
    plan = plan_fork("w", events, DEFINITION, Wish(step="load"))
    state = {key: msgspec.json.encode(value) for key, value in plan.state.items()}
    assert state == {"total": b"10", "outside": b'"x"'}
    assert plan.notes == ["state total goes without what load[0] wrote"]
