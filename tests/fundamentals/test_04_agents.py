"""Agents are launched from steps, once per name, and answer with JSON."""

from __future__ import annotations

import pytest

from agentainer_flow import (
    AgentFailed,
    AgentTimeout,
    AsyncContext,
    Context,
    Workflow,
    WorkflowFailed,
    parallel,
    step,
    workflow,
)

RESULT = """
printf '{"path": "%s", "job": "%s"}' "$WHERE" "$AGENTAINER_JOB_ID" > "$AGENTAINER_RESULT_PATH"
"""


def test_agent_answers_with_the_json_of_its_result_file() -> None:
    @workflow()
    class Answering(Workflow):
        @step()
        def ask(self, context: Context) -> dict[str, str]:
            agent = context.deploy_agent("writer", "any", env={"WHERE": "/out"}, command=RESULT)
            answer: dict[str, str] = agent.wait()
            return {**answer, "id": agent.id, "status": agent.status}

    assert Answering().run() == {
        "path": "/out",
        "job": "ask-0-writer",
        "id": "ask-0-writer",
        "status": "succeeded",
    }


def test_agent_answers_with_the_last_line_of_its_output() -> None:
    @workflow()
    class Printing(Workflow):
        @step()
        async def ask(self, context: AsyncContext) -> list[object]:
            agent = await context.deploy_agent("p", "any", command="echo thinking; echo '[1, 2]'")
            return [await agent.wait(timeout=20), await agent.status]

    assert Printing().run() == [[1, 2], "succeeded"]


def test_failed_agent_raises_with_exit_code_and_last_lines() -> None:
    @workflow()
    class Exits(Workflow):
        @step()
        def ask(self, context: Context) -> list[object]:
            agent = context.deploy_agent("bad", "any", command="echo no disk; exit 3")
            with pytest.raises(AgentFailed) as caught:
                agent.wait()
            return [caught.value.exit_code, caught.value.last_lines, agent.logs()]

    assert Exits().run() == [3, ["no disk"], ["no disk"]]


def test_workflow_failed_carries_the_last_lines_of_the_agent() -> None:
    @workflow()
    class Carries(Workflow):
        @step()
        @parallel()
        def ask(self, context: Context, item: int) -> None:
            command = f"echo working on {item}; exit {item}"
            context.deploy_agent("worker", "any", command=command).wait()

    with pytest.raises(WorkflowFailed) as caught:
        Carries().run(items=[0, 7])
    assert (caught.value.index, caught.value.last_lines) == (1, ["working on 7"])


def test_unknown_image_fails_with_what_to_do() -> None:
    @workflow()
    class NoImage(Workflow):
        @step()
        def ask(self, context: Context) -> None:
            context.deploy_agent("x", "no-such-image:1").wait()

    with pytest.raises(WorkflowFailed, match=r"image_missing.*no-such-image"):
        NoImage().run()


def test_agent_that_needs_more_memory_than_there_is_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    @workflow()
    class TooLarge(Workflow):
        @step()
        def ask(self, context: Context) -> None:
            context.deploy_agent("small", "any", command="true", memory="1g").wait()
            context.deploy_agent("large", "any", command="true", memory="1025m").wait()

    monkeypatch.setenv("AGENTAINER_AGENT_MEMORY", "1g")
    with pytest.raises(WorkflowFailed, match=r"cannot_start: it needs 1\.001 GiB of memory"):
        TooLarge().run()


def test_waiting_with_a_timeout_leaves_the_agent_running_until_stopped() -> None:
    @workflow()
    class Impatient(Workflow):
        @step()
        def ask(self, context: Context) -> str:
            agent = context.deploy_agent("slow", "any", command="sleep 60")
            with pytest.raises(AgentTimeout):
                agent.wait(timeout=0.2)
            assert agent.status == "running"
            agent.stop()
            with pytest.raises(AgentFailed, match="cancelled"):
                agent.wait(timeout=20)
            return agent.status

    assert Impatient().run() == "cancelled"


def test_siblings_of_a_failed_task_are_stopped_with_their_agents() -> None:
    @workflow()
    class Stopped(Workflow):
        @step()
        @parallel()
        def ask(self, context: Context, item: int) -> None:
            command = "exit 1" if item == 0 else "sleep 600"
            context.deploy_agent("agent", "any", command=command).wait()

    with pytest.raises(WorkflowFailed):
        Stopped().run(items=3)  # ends at once, not after ten minutes
