"""Decisions are pure: from a view to what is due now, and to nothing once it is done."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from agentainer_flow.core import events as e
from agentainer_flow.core.definition import Bind, Definition, Fan, Quorum, StepSpec
from agentainer_flow.projections.fold import apply
from agentainer_flow.projections.workflow import ALL, WorkflowView
from agentainer_flow.reactors.binding import Cache
from agentainer_flow.reactors.scheduler import CHUNK, Decision, decide

RAW = msgspec.Raw
ERROR = e.Failure("ValueError", "no")


class Story:
    """A workflow whose events are applied as its scheduler and its workers would append them."""

    def __init__(self, *steps: StepSpec, inputs: bytes = b"{}") -> None:
        self.definition = Definition("wf", steps)
        self.view = WorkflowView("w")
        self.add(e.WorkflowCreated("wf", "d", input=RAW(inputs)), e.WorkflowStarted())

    def add(self, *events: e.Event) -> None:
        for event in events:
            apply(self.view, e.Recorded(self.view.version + 1, 0, event))

    def decide(self) -> Decision:
        touched, self.view.touched = self.view.touched, set()
        return decide(self.view, self.definition, Cache(), touched)

    def advance(self) -> list[str]:
        decision = self.decide()
        self.add(*[event for event, _ in decision.events])
        return [describe(event) for event, _ in decision.events]

    def complete(self, step: str, index: int = 0, result: bytes = b"1") -> None:
        self.add(e.TaskStarted(step, index, 1, "w"), e.TaskCompleted(step, index, 1, RAW(result)))


def describe(event: e.Event) -> str:
    return f"{event.type} {getattr(event, 'step', '')}".strip()


def test_steps_without_dependencies_are_scheduled_together() -> None:
    story = Story(StepSpec("a"), StepSpec("b"), StepSpec("c", ("a", "b")))

    assert story.advance() == ["step.scheduled a", "step.scheduled b"]
    assert not story.decide()


def test_join_waits_for_all_its_dependencies() -> None:
    story = Story(StepSpec("a"), StepSpec("b"), StepSpec("c", ("a", "b")))
    story.advance()

    story.complete("b")
    assert story.advance() == ["step.completed b"]
    story.complete("a")
    assert story.advance() == ["step.completed a", "step.scheduled c"]


def test_last_step_finishes_the_workflow() -> None:
    story = Story(StepSpec("a"))
    story.advance()
    story.complete("a")

    assert story.decide().finish


def test_workflow_does_not_finish_while_an_agent_runs() -> None:
    story = Story(StepSpec("a"))
    story.advance()
    story.add(e.JobRequested("a", 0, "j", 1, "agent", e.JobSpec("image")))
    story.complete("a")
    assert not story.decide().finish

    story.add(e.StepCompleted("a"), e.JobCancelled("a", 0, "j"))
    assert story.decide().finish


def test_causes_point_at_what_led_to_an_event() -> None:
    story = Story(StepSpec("a"), StepSpec("b", ("a",)))
    story.advance()
    story.complete("a")

    causes = [cause for _, cause in story.decide().events]

    assert causes == [story.view.version, 0]  # task.completed; then the first event of the commit


def test_large_fan_out_is_queued_in_portions() -> None:
    fan = StepSpec("a", binds={"x": Bind(item=True)}, parallel=Fan(Bind("xs"), 5))
    story = Story(fan, inputs=b'{"xs":%d}' % (2 * CHUNK + 1))

    sizes = [len(story.decide().queue[0].tasks)]
    story.view.touched.add(ALL)
    while story.advance():
        sizes.append(sum(len(batch.tasks) for batch in story.decide().queue))
        story.view.touched.add("a")

    assert sizes[:3] == [CHUNK, CHUNK, 1]
    assert story.view.steps["a"].queued == 2 * CHUNK + 1


def test_failed_task_fails_its_step_and_cancels_the_others() -> None:
    story = Story(StepSpec("a"), StepSpec("b"), StepSpec("c", ("a",)))
    story.advance()
    story.add(e.TaskStarted("a", 0, 1, "w"), e.TaskFailed("a", 0, 1, ERROR))

    assert story.decide().cancel == [("a", 0)]
    story.view.touched.add("a")
    assert story.advance() == ["step.failed a"]
    assert story.advance() == ["step.cancelled b"]
    assert story.advance() == ["workflow.failed a"]
    assert not story.decide()


def test_failure_waits_for_agents_to_stop() -> None:
    story = Story(StepSpec("a"))
    story.advance()
    story.add(
        e.TaskStarted("a", 0, 1, "w"),
        e.JobRequested("a", 0, "j", 1, "agent", e.JobSpec("image")),
        e.TaskFailed("a", 0, 1, ERROR),
    )
    assert story.advance() == ["step.failed a"]
    assert story.advance() == []

    story.add(e.JobCancelled("a", 0, "j"))
    assert story.advance() == ["workflow.failed a"]


def test_cancelling_before_anything_ran_ends_at_once() -> None:
    story = Story(StepSpec("a"))
    story.add(e.WorkflowCancelRequested("why not"))

    assert story.advance() == ["workflow.cancelled"]


@st.composite
def graphs(draw: st.DrawFn) -> list[StepSpec]:
    size = draw(st.integers(1, 8))
    return [
        StepSpec(f"s{n}", tuple(f"s{m}" for m in sorted(draw(st.sets(st.integers(0, n - 1)))) if n))
        if n
        else StepSpec("s0")
        for n in range(size)
    ]


@given(graphs(), st.randoms(use_true_random=False))
def test_any_graph_ends_with_each_step_done_once_after_its_dependencies(
    steps: list[StepSpec], order: object
) -> None:
    story = Story(*steps)
    seen = list(story.advance())
    while running := names(seen, "step.scheduled") - names(seen, "step.completed"):
        story.complete(order.choice(sorted(running)))  # type: ignore[attr-defined]  # pyright: ignore
        seen += story.advance()

    assert sorted(seen) == sorted(
        f"step.{w} {s.id}" for s in steps for w in ("scheduled", "completed")
    )
    for spec in steps:
        begun = seen.index(f"step.scheduled {spec.id}")
        assert all(seen.index(f"step.completed {name}") < begun for name in spec.depends_on)


def names(seen: Iterable[str], kind: str) -> set[str]:
    return {text.split()[1] for text in seen if text.startswith(kind)}


def reused(*indexes: int, error: e.Failure | None = None) -> e.TasksReused:
    tasks = [e.ReusedTask(index, 1, RAW(b"1"), error=error) for index in indexes]
    return e.TasksReused("fan", tasks)


class Fork(Story):
    """A run whose fan-out has some of its results already."""

    def __init__(self, items: int, *taken_over: e.Event, quorum: int = 1) -> None:
        fan = Fan(Bind(input="items"), on_failure=Quorum(quorum))
        self.definition = Definition("wf", (StepSpec("fan", parallel=fan),))
        self.view = WorkflowView("w")
        created = e.WorkflowCreated("wf", "d", input=RAW(b'{"items": %d}' % items))
        self.add(created, *taken_over, e.WorkflowStarted())


@given(st.integers(1, 3 * CHUNK), st.data())
def test_a_fork_queues_what_it_has_not_taken_over(total: int, data: st.DataObject) -> None:
    kept = data.draw(st.sets(st.integers(0, total - 1), max_size=20))
    kept |= set(range(data.draw(st.integers(0, total))))
    story = Fork(total, reused(*kept))
    queued: list[int] = []
    while decision := story.decide():
        queued += [task[0] for batch in decision.queue for task in batch.tasks]
        story.add(*[event for event, _ in decision.events])
        if decision.finish:
            break
    assert queued == [index for index in range(total) if index not in kept]
    assert story.view.step("fan").waiting == len(queued)
    assert (story.view.step("fan").status == "completed") == (not queued)


def test_a_fork_completes_when_the_rest_has() -> None:
    story = Fork(3, reused(0), reused(2, error=ERROR))
    assert story.advance() == ["step.scheduled fan"]
    story.complete("fan", 1)
    decision = story.decide()
    assert [event for event, _ in decision.events] == [e.StepCompleted("fan", 1)]
    assert decision.finish


def test_a_step_that_was_taken_over_is_done() -> None:
    story = Fork(2, reused(0, 1), e.StepReused("fan", 2))
    assert story.view.completed_steps == 1
    decision = story.decide()
    assert decision.finish
    assert not decision.events


def test_a_fan_out_that_cannot_reach_its_quorum_fails_at_once() -> None:
    # With one item too few the engine gave up on the workflow; with none the step completed.
    for items in (0, 1):
        story = Fork(items, quorum=2)
        assert story.advance() == ["step.failed fan"]
        assert story.view.steps["fan"].error == e.Failure(
            "TooFewItems", f"more tasks are to succeed than there are items, which are {items}"
        )
