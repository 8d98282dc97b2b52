"""Secrets leave no history: known by their names, taken out without touching anything else."""

from __future__ import annotations

import pytest

from agentainer_flow.core import events as e
from agentainer_flow.core.definition import ContainerSpec, Definition, StepSpec
from agentainer_flow.core.ids import digest
from agentainer_flow.core.payloads import decode
from agentainer_flow.core.secrets import is_secret
from agentainer_flow.projections.bundle import encode_history
from agentainer_flow.projections.histories import History, history_of
from agentainer_flow.projections.redaction import redact
from agentainer_flow.sdk.verify import verify_history

from .histories import RAW, Log, completed


def with_data(event: e.Event) -> History:
    log = Log()
    log.decide()
    log.start()
    log.add(event, "worker")
    return log.history()


def last_data(history: History) -> str:
    return history.entries[-1][1][b"data"].decode()


SPEC = e.JobSpec(
    "any",
    env={"OPENAI_API_KEY": "sk-1", "MODE": "fast", "URL": "redis://me:pw@host/0"},
    secrets={"API_KEY": "OPENAI"},
    input=RAW(b'{"password":"pw","deep":[{"accessToken":"t\\"t"}],"tokens":7,"note":"a token"}'),
)


def test_environment_and_input_of_an_agent_lose_their_secrets() -> None:
    history = with_data(e.JobRequested("each", 0, "j", 1, "agent", SPEC))
    spec = decode(redact(history).entries[-1][1][b"data"])["spec"]
    assert spec["env"] == {"OPENAI_API_KEY": "***", "MODE": "fast", "URL": "redis://me:***@host/0"}
    assert spec["secrets"] == {"API_KEY": "OPENAI"}  # only names: launchers have the values
    assert spec["input"] == {
        "password": "***",
        "deep": [{"accessToken": "***"}],
        "tokens": 7,
        "note": "a token",
    }


def test_state_loses_what_its_keys_say_is_secret() -> None:
    changes = [
        e.StateChange("set", "password", RAW(b'"pw"')),
        e.StateChange("set", "key", RAW(b'"kept"')),
        e.StateChange("incr", "token", RAW(b"3"), 3),
    ]
    found = decode(last_data(redact(with_data(e.StateUpdated(changes)))).encode())["changes"]
    assert [one["value"] for one in found] == ["***", "kept", 3]


def test_redacted_history_is_one_chain_and_stays_as_it_is() -> None:
    once = redact(with_data(e.JobRequested("each", 0, "j", 1, "agent", SPEC)))
    assert once.problems == []
    assert verify_history(once).clean
    assert encode_history(redact(once)) == encode_history(once)


def test_history_without_secrets_is_left_alone() -> None:
    history = completed().history()
    assert redact(history) is history


def test_broken_chain_stays_broken_where_it_was() -> None:
    history = with_data(e.JobRequested("each", 0, "j", 1, "agent", SPEC))
    history.entries[2][1][b"dg"] = b"0" * 16
    entries = redact(history).entries
    found = history_of("w", entries, history.definition_json, {}).problems
    assert [one.version for one in found] == [3, 4]


def test_payload_beside_the_log_loses_its_secrets() -> None:
    data = b'{"password":"pw"}'
    log = Log()
    log.decide()
    started = log.start()
    blob = e.Blob(digest(data), len(data))
    log.add(e.TaskCompleted("each", 0, 1, blob=blob), "worker", started)
    found = redact(log.history({blob.digest: data}))
    ((name, left),) = found.blobs.items()
    assert (name, left) == (digest(left), b'{"password":"***"}')
    assert decode(last_data(found).encode())["blob"] == {"digest": name, "size": len(left)}


def test_definition_of_containers_loses_its_secrets() -> None:
    step = StepSpec("a", kind="container", container=ContainerSpec("any", env={"TOKEN": "t"}))
    found = redact(Log(Definition("graph", (step,))).history())
    assert b'"TOKEN":"***"' in found.definition_json
    created = found.events[0].event
    assert isinstance(created, e.WorkflowCreated)
    assert created.definition == digest(found.definition_json)


@pytest.mark.parametrize(
    ("name", "secret"),
    [
        ("API_KEY", True),
        ("GITHUB_TOKEN", True),
        ("DB_PASSWORD", True),
        ("AWS_SECRET_ACCESS_KEY", True),
        ("GOOGLE_CREDENTIALS", True),
        ("MODE", False),
        ("api_key", True),
        ("apiKey", True),
        ("password", True),
        ("accessToken", True),
        ("key", False),
        ("tokens_used", False),
        ("keyboard", False),
    ],
)
def test_names_of_secrets(name: str, secret: bool) -> None:
    assert is_secret(name) == secret
