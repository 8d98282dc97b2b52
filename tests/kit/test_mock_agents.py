"""Agents that a test plays: how they are found, what they answer, how they fail, what is noted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import anyio
import pytest

from agentainer_flow import AgentFailed, Context, parallel, step, workflow
from agentainer_flow.testing import (
    AgentCall,
    AgentFailure,
    LocalEngine,
    UnknownAgent,
    assert_that,
    mock_agent,
    run_local,
)
from tests.kit.workflows import Asks


@pytest.mark.parametrize(
    "pattern",
    ["thinker", "think*", "ghcr.io/team/thinker:2", "ghcr.io/*", "thinker:2", "thinker:*", "*"],
)
def test_found_by_name_or_image(pattern: str) -> None:
    assert run_local(Asks, question="?", agents=[mock_agent(pattern, returns=1)]).result == 1


def test_the_first_one_is_taken_that_fits() -> None:
    agents = [mock_agent("thinker", returns=1), mock_agent("*", returns=2)]
    assert run_local(Asks, question="?", agents=agents).result == 1
    assert [len(agent.calls) for agent in agents] == [1, 0]


def test_one_around_the_run_comes_before_those_of_the_run() -> None:
    with mock_agent("*", returns=1), mock_agent("thinker", returns=2):
        assert run_local(Asks, question="?", agents=[mock_agent("*", returns=3)]).result == 2
    with pytest.raises(UnknownAgent):
        run_local(Asks, question="?")


def test_a_call_has_what_the_step_gave() -> None:
    thinker = mock_agent("thinker", lambda call: {"said": call.input}, takes=90)
    run = run_local(Asks, question="why?", agents=[thinker])

    call = thinker.last_call
    assert (call.name, call.image) == ("thinker", "ghcr.io/team/thinker:2")
    assert (call.env, call.input, call.command) == ({"LANG": "en"}, "why?", None)
    assert (call.step, call.index, call.attempt, call.number) == ("ask", 0, 1, 1)
    assert call.outcome == "succeeded"
    assert call.result == {"said": "why?"} == run.result
    assert call.took == 90


def test_the_log_tells_the_same_of_calls() -> None:
    thinker = mock_agent("thinker", returns=[1], takes=90)
    run = run_local(Asks, question="why?", agents=[thinker])
    (call,) = run.calls
    assert (call.env, call.input, call.outcome, call.result) == (
        {"LANG": "en"},
        "why?",
        "succeeded",
        [1],
    )
    assert call.took == pytest.approx(90, abs=0.01)


@workflow(name="asks_many")
class AsksMany:
    @step()
    @parallel(max_workers=3)
    def ask(self, context: Context, item: int) -> Any:
        return context.deploy_agent("thinker", "thinker", input=item).wait()


def test_an_answer_may_depend_on_the_call() -> None:
    async def play(call: AgentCall) -> int:
        await anyio.sleep(5)
        return int(call.input) * 10

    run = run_local(
        AsksMany, items=[1, 2, 3], agents=[mock_agent("*", play, takes=lambda call: call.input)]
    )
    assert run.result == [10, 20, 30]
    assert run.took == pytest.approx(8, abs=0.01)


@pytest.mark.parametrize(
    ("agent", "kind", "message", "exit_code"),
    [
        (mock_agent("*", raises="no disk"), "failed", "no disk", 1),
        (mock_agent("*", raises=ValueError("odd")), "failed", "ValueError: odd", 1),
        (mock_agent("*", raises=ValueError), "failed", "ValueError", 1),
        (mock_agent("*", exit_code=3), "failed", "exit code 3", 3),
        (mock_agent("*", oom=True), "oom_killed", "out of memory", 137),
        (mock_agent("*", raises=AgentFailure("image_missing")), "image_missing", "", None),
        (mock_agent("*", raises=AgentFailure("lost", "gone")), "lost", "gone", None),
        (mock_agent("*", lambda call: 1 / 0), "failed", "ZeroDivisionError", 1),
        (mock_agent("*", lambda call: object()), "bad_result", "agent 'thinker'", 0),
    ],
)
def test_it_fails_as_containers_do(
    agent: Any, kind: str, message: str, exit_code: int | None
) -> None:
    @workflow(name="tells")
    class Tells:
        @step()
        def ask(self, context: Context) -> Any:
            try:
                return context.deploy_agent("thinker", "thinker").wait()
            except AgentFailed as failed:
                return [failed.kind, str(failed), failed.exit_code]

    told, text, code = run_local(Tells, agents=[agent]).result
    assert (told, code) == (kind, exit_code)
    assert message in text


def test_a_time_limit_of_an_agent_counts() -> None:
    @workflow(name="limited")
    class Limited:
        @step()
        def ask(self, context: Context) -> Any:
            return context.deploy_agent("thinker", "thinker", timeout=30).wait()

    run = run_local(Limited, agents=[mock_agent("*", takes=31)])
    assert_that(run).failed(step="ask", match="timed_out|longer than 30").took(at_most=31)


def test_a_retry_asks_again() -> None:
    def play(call: AgentCall) -> str:
        if call.number == 1:
            raise AgentFailure("oom_killed", exit_code=137)
        return "done"

    thinker = mock_agent("thinker", play)
    run = run_local(Asks, question="?", agents=[thinker])
    assert run.result == "done"
    assert [call.attempt for call in thinker.calls] == [1, 2]
    assert_that(run).retried("ask", times=1).took(at_least=2)


def test_what_it_prints_is_kept() -> None:
    @workflow(name="prints")
    class Prints:
        @step()
        def ask(self, context: Context) -> list[str]:
            agent = context.deploy_agent("thinker", "thinker")
            agent.wait()
            return agent.logs()

    assert run_local(Prints, agents=[mock_agent("*", prints=["a", "b"])]).result == ["a", "b"]
    assert run_local(Prints, agents=[mock_agent("*", prints="a\nb")]).result == ["a", "b"]


def test_two_answers_are_refused() -> None:
    with pytest.raises(ValueError, match="which"):
        mock_agent("*", lambda call: 1, returns=2)
    with pytest.raises(ValueError, match="which"):
        mock_agent("*", oom=True, returns=2)


@pytest.mark.parametrize(
    ("make", "given", "options", "error"),
    [
        (mock_agent, ["*", {"a": 1}], {}, "give a result as returns="),
        (mock_agent, ["*"], {"raises": 3}, "raises= is an exception or a text, got 3"),
        (mock_agent, ["*"], {"raises": int}, "raises= is an exception or a text"),
        (mock_agent, ["*"], {"takes": "1h"}, r"mock_agent\('\*'\) takes seconds, got '1h'"),
        (mock_agent, ["*"], {"takes": -1}, "cannot take -1 seconds"),
        (AgentFailure, ["oom"], {}, "no agent fails with 'oom'; kinds are failed, oom_killed"),
        (run_local, [Asks], {"agents": ["thinker"]}, r"a list of mock_agent\(…\), got \['think"),
        (LocalEngine, [], {"agents": mock_agent("*")}, r"a list of mock_agent\(…\), got mock_ag"),
    ],
)
def test_what_makes_no_agent_is_said_at_once(
    make: Callable[..., Any], given: list[Any], options: dict[str, Any], error: str
) -> None:
    with pytest.raises((TypeError, ValueError), match=error):
        make(*given, **options)


def test_agents_that_were_replaced_are_looked_at(flow: LocalEngine) -> None:
    given: Any = {"thinker": 1}
    flow.agents = given
    with pytest.raises(TypeError, match=r"a list of mock_agent\(…\), got {'thinker': 1}"):
        flow.run(Asks, question="?")


def test_an_assertion_about_a_call_fails_the_test_not_the_agent() -> None:
    def play(call: AgentCall) -> None:
        assert call.input == "why?", "the wrong question"

    with pytest.raises(AssertionError, match="the wrong question"):
        run_local(Asks, question="?", agents=[mock_agent("*", play)])


def test_a_time_that_cannot_be_told_fails_the_test() -> None:
    def takes(call: AgentCall) -> Any:
        return {"?": "1h"}[call.input]

    thinker = mock_agent("*", takes=takes)
    with pytest.raises(TypeError, match="takes seconds, got '1h'"):
        run_local(Asks, question="?", agents=[thinker])
    with pytest.raises(KeyError):
        run_local(Asks, question="!", agents=[thinker])


def test_agents_may_be_added_on_the_way(flow: LocalEngine) -> None:
    run = flow.start(Asks, question="?").until("task.started")
    flow.agents.append(mock_agent("thinker", returns=1))
    assert run.until().result == 1
