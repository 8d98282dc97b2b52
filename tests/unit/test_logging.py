"""Log lines: what they say, and what gets into none of them."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentainer_flow.core.logging import of_libraries, processors
from agentainer_flow.core.secrets import HIDDEN, hide, hide_in_text
from agentainer_flow.core.settings import load_settings
from agentainer_flow.core.tracing import trace_id_of

SECRET = "s3cr3t-Value-42"


def logged(event: str = "happened", *, log_format: str = "json", **values: Any) -> str:
    line: Any = {"event": event, **values}
    for process in processors(load_settings({}, log_format=log_format), colors=False):
        line = process(None, "info", line)
    return str(line)


def test_a_line_is_json_with_level_time_and_trace() -> None:
    line = json.loads(logged(workflow="w1", step="a", index=3, attempt=1))
    assert line["trace_id"] == trace_id_of("w1")
    assert (line["event"], line["level"], line["step"]) == ("happened", "info", "a")
    assert line["timestamp"].endswith("Z")


def test_a_line_for_people() -> None:
    line = logged(log_format="console", step="a", api_key=SECRET)
    assert "step=a" in line
    assert SECRET not in line


def test_what_a_library_warns_of_is_a_line_like_ours(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    steps = processors(load_settings({}, log_format="json"), colors=False)
    monkeypatch.setattr(logging, "lastResort", of_libraries(steps))
    library = logging.Logger("some.library")
    try:
        raise ValueError(f"password='{SECRET}' is wrong")
    except ValueError:
        library.exception("cannot open %s", f"redis://user:{SECRET}@host/0")
    library.info("all is well")
    said = capsys.readouterr().err
    line = json.loads(said)
    assert (line["logger"], line["level"]) == ("some.library", "error")
    assert line["event"].startswith("cannot open redis://user:")
    assert "ValueError" in line["exception"]
    assert SECRET not in said


@pytest.mark.parametrize(
    "values",
    [
        {"password": SECRET},
        {"apiKey": SECRET},
        {"Authorization": f"Bearer {SECRET}"},
        {"env": {"OPENAI_API_KEY": SECRET}},
        {"deep": [{"x": ({"client_secret": SECRET},)}]},
        {"url": f"redis://user:{SECRET}@host/0"},
        {"headers": f"{{'authorization': 'Bearer {SECRET}'}}"},
        {"command": f"curl -H 'Authorization: Bearer {SECRET}' x"},
        {"query": f"/cb?token={SECRET}&n=1"},
        {"text": f'{{"password": "{SECRET}"}}'},
        {"error": ValueError(f"api_key='{SECRET}' is wrong")},
        {"data": f"token: {SECRET}".encode()},
        {"text": f"agt_abc_{SECRET}"},
        {"text": f"the token agj.{SECRET}.sig of an agent"},
        {"password": [SECRET]},
        {"token": {"value": SECRET}},
        {"PassWord": SECRET},
        {"db.password": SECRET},
        {"passwords": [SECRET]},
        {"map": {b"password": SECRET, ("a", 1): 2}},
        {"headers": [("X-Api-Key", SECRET)]},
        {"argv": ["psql", "--password", SECRET, "db"]},
        {"command": f"psql --password {SECRET} db"},
        {"header": f"X-Api-Key: {SECRET}"},
        {"header": f"Authorization: token {SECRET}"},
        {"text": f"password='two {SECRET}'"},
        {"text": f'{{\\"password\\": \\"{SECRET}\\"}}'},
        {"url": f"postgres://user:a@{SECRET}@host/db"},
        {"text": f"sk-proj-{SECRET}"},
        {"text": f"eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.{SECRET}"},
        {"text": f"-----BEGIN RSA PRIVATE KEY-----\n{SECRET}\n-----END RSA PRIVATE KEY-----"},
    ],
)
@pytest.mark.parametrize("log_format", ["json", "console"])
def test_secrets_are_in_no_line(values: dict[str, Any], log_format: str) -> None:
    assert SECRET not in logged(log_format=log_format, **values)


def test_secrets_of_the_environment_are_hidden_wherever_they_are() -> None:
    environ = {"AGENTAINER_SECRET_OPENAI": SECRET, "SHORT_KEY": "abc", "HOME": "/root"}
    assert hide_in_text(f"it answered {SECRET}!", environ) == f"it answered {HIDDEN}!"
    assert hide_in_text("abc in /root", environ) == "abc in /root"


def test_passwords_in_urls_of_the_environment_are_secrets_by_themselves() -> None:
    assert hide_in_text(f"no: {SECRET}", {"DB": f"redis://:{SECRET}@host"}) == f"no: {HIDDEN}"


def test_the_folder_of_the_process_is_no_secret() -> None:
    """PWD once was one by its name, and cut the paths of tracebacks."""
    assert (
        hide_in_text("/srv/flow/a.py", {"PWD": "/srv/flow", "OLDPWD": "/srv"}) == "/srv/flow/a.py"
    )


def test_secrets_are_hidden_in_tracebacks() -> None:
    try:
        raise ValueError(f"password={SECRET}")
    except ValueError as error:
        line = logged(exc_info=error)
    assert "ValueError" in line
    assert SECRET not in line


@pytest.mark.parametrize(
    "text", ["tokens_used: 12", "the key is under the mat", "step=token_count", "a://b@c/d", ""]
)
def test_innocent_texts_stay(text: str) -> None:
    assert hide_in_text(text, {}) == text


@given(st.recursive(st.text() | st.integers() | st.none(), lambda s: st.lists(s)), st.text())
def test_hiding_twice_is_hiding_once(value: Any, name: str) -> None:
    once = hide(value, name, {})
    assert hide(once, name, {}) == once
