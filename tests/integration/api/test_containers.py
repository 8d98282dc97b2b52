"""Graphs of containers, posted as JSON, that run without any code of their author."""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from agentainer_flow.core.settings import Settings

from .scene import Json, Scene, open_scene

pytestmark = pytest.mark.anyio

#: Answers with what it was given.
ECHO = """
import json, os, sys
given = json.loads(os.environ["AGENTAINER_INPUT"])
print(json.dumps({"input": given, "args": sys.argv[1:], "word": os.environ.get("WORD")}))
"""
#: Answers with twice the number that it was given.
DOUBLE = """
import json, os
print(json.loads(os.environ["AGENTAINER_INPUT"]) * 2)
"""
#: Fails with 75 on the first attempt.
FLAKY = """
import os, sys
sys.exit(0 if os.environ["AGENTAINER_ATTEMPT"] == "2" else 75)
"""
SLEEPER = "import time; time.sleep(60)"


@pytest.fixture
async def scene(settings: Settings, tmp_path: Path) -> AsyncIterator[Scene]:
    agents = {"echo": ECHO, "double": DOUBLE, "flaky": FLAKY, "sleeper": SLEEPER}
    for name, code in agents.items():
        folder = tmp_path / "agents" / name
        folder.mkdir(parents=True)
        (folder / "agent.py").write_text(code)
        command = {"command": [sys.executable, "agent.py"]}
        (folder / "agent.json").write_text(json.dumps(command))
    settings = msgspec.structs.replace(settings, agents=tmp_path / "agents")
    async with open_scene(settings, with_code=False) as scene:
        yield scene


async def run(scene: Scene, *steps: Json, **more: Any) -> Json:
    body = {"name": "graph", "steps": list(steps), "start": True, **more}
    answer = await scene.http.post("/workflows", json=body, headers={"Prefer": "wait=30"})
    assert answer.status_code == 201, answer.text
    made: Json = answer.json()
    assert made["status"] in ("completed", "failed"), made
    return made


async def test_a_container_gets_inputs_and_results_and_answers(scene: Scene) -> None:
    first = {"name": "first", "image": "echo", "env": {"WORD": "from ${input.source}"}}
    second = {
        "name": "second",
        "image": "echo",
        "command": [sys.executable, "agent.py", "${results.first.word}", "$${as it is}"],
        "input": {"word": "${results.first.word}", "n": 1},
    }
    ended = await run(scene, first, second, input={"source": "here"})
    assert ended["result"] == {
        "input": {"word": "from here", "n": 1},
        "args": ["from here", "${as it is}"],
        "word": None,
    }
    assert [step["dependencies"] for step in ended["steps"]] == [[], ["first"]]
    assert ended["steps"][0]["config"] == {"kind": "container", "image": "echo"}


async def test_without_input_all_that_is_known_is_handed_over(scene: Scene) -> None:
    first = {"name": "first", "image": "double", "input": 2}
    second = {"name": "second", "image": "echo", "depends_on": ["first"]}
    ended = await run(scene, first, second, input={"a": 1})
    assert ended["result"]["input"] == {"input": {"a": 1}, "results": {"first": 4}}


@pytest.mark.parametrize(
    "rule", [{"count": 3}, {"items": [0, 1, 2]}, {"over": "numbers"}, {"over": "list"}]
)
async def test_fan_out_over_counts_items_inputs_and_results(scene: Scene, rule: Json) -> None:
    # The text in the shell prints what `list` is to return.
    listed = {"name": "list", "image": "double", "command": "echo '[0, 1, 2]'"}
    fan = {"name": "fan", "image": "double", "input": "${item}", "parallel": rule}
    total = {"name": "total", "image": "echo", "input": "${results.fan}"}
    ended = await run(scene, listed, fan, total, input={"numbers": 3})
    result = ended["result"]["total"] if "total" in ended["result"] else ended["result"]
    assert result["input"] == [0, 2, 4]


async def test_retries_and_exit_codes(scene: Scene) -> None:
    rule = {"times": 2, "backoff": {"initial": 0.01}, "on": ["exit:75"]}
    assert (await run(scene, {"name": "a", "image": "flaky", "retry": rule}))["status"] == (
        "completed"
    )
    never = {**rule, "on": ["exit:1"]}
    failed = await run(scene, {"name": "a", "image": "flaky", "retry": never})
    assert (failed["status"], failed["error"]["exit_code"]) == ("failed", 75)


async def test_a_timeout_ends_the_container(scene: Scene) -> None:
    failed = await run(scene, {"name": "a", "image": "sleeper", "timeout": 0.2, "grace": 0.1})
    assert failed["error"]["kind"] == "timed_out"


async def test_collected_failures_reach_the_next_step(scene: Scene) -> None:
    rule = {"count": 2, "on_failure": "collect"}
    fan = {"name": "fan", "image": "double", "command": "exit 3", "parallel": rule}
    after = {"name": "after", "image": "echo", "depends_on": ["fan"]}
    ended = await run(scene, fan, after)
    errors = ended["result"]["input"]["results"]["fan"]
    assert [error["exit_code"] for error in errors] == [3, 3]


async def test_a_graph_can_be_created_again_by_its_name(scene: Scene) -> None:
    step = {"name": "a", "image": "echo", "input": "${input.word}", "parallel": {"count": 2}}
    await run(scene, step, input={"word": "one"})
    ended = await scene.run("graph", word="two")
    assert [one["input"] for one in ended["result"]] == ["two", "two"]
    found = await scene.get("/definitions/graph")
    assert (found["kind"], found["inputs"]) == ("container", [{"name": "word", "required": True}])


@pytest.mark.parametrize(
    ("steps", "problem"),
    [
        ([{"name": "a", "image": "x", "depends_on": ["b"]}], "unknown step 'b'"),
        ([{"name": "a", "image": "x"}, {"name": "a", "image": "x"}], "a second step"),
        (
            [
                {"name": "a", "image": "x", "depends_on": ["b"]},
                {"name": "b", "image": "x", "depends_on": ["a"]},
            ],
            "wait for each other",
        ),
        ([{"name": "a", "image": "x", "env": {"A": "${results.b}"}}], "no other step 'b'"),
        ([{"name": "a", "image": "x", "input": ["${item}"]}], "only a step with `parallel`"),
        ([{"name": "a", "image": "x", "env": {"A": "${oops}"}}], "is no reference"),
        ([{"name": "a", "image": "x", "parallel": {"count": 1, "over": "b"}}], "says one of"),
        ([{"name": "a", "image": "x", "resources": {"memory": "9999999g"}}], "expected a size"),
    ],
)
async def test_what_is_no_graph_is_said(scene: Scene, steps: list[Json], problem: str) -> None:
    answer = await scene.http.post("/workflows", json={"name": "graph", "steps": steps})
    assert answer.status_code == 422
    assert problem in answer.json()["detail"]


async def test_a_missing_input_is_said(scene: Scene) -> None:
    step = {"name": "a", "image": "x", "env": {"A": "${input.word}"}}
    answer = await scene.http.post("/workflows", json={"name": "graph", "steps": [step]})
    assert "needs word" in answer.json()["detail"]


async def test_the_name_of_a_class_is_not_taken(scene: Scene) -> None:
    body = {"name": "greet", "steps": [{"name": "a", "image": "x"}]}
    answer = await scene.http.post("/workflows", json=body)
    assert (answer.status_code, answer.json()["type"]) == (409, "/problems/name-taken")
