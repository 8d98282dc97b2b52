"""Sizes are read and said the way people write them, in settings, options and steps alike."""

from __future__ import annotations

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from agentainer_flow.cli.main import app
from agentainer_flow.core.errors import PayloadError, SettingsError
from agentainer_flow.core.settings import load_settings
from agentainer_flow.core.sizes import LARGEST, parse_size, say_size
from agentainer_flow.sdk.agents import job_spec


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("1048576", 1 << 20),
        ("512m", 512 << 20),
        ("8g", 8 << 30),
        ("8GB", 8 << 30),
        (" 1.5 GiB ", 3 << 29),
        ("64k", 64 << 10),
        ("1t", 1 << 40),
        (4096, 4096),
    ],
)
def test_sizes_are_numbers_or_texts_with_a_unit(text: object, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("wrong", ["", "much", "-1", "1 2", "8x", "g", 1.5, True, None, [1]])
def test_what_is_no_size_is_refused_with_what_one_is(wrong: object) -> None:
    with pytest.raises(ValueError, match=r"expected bytes or a text like 512m or 8g, got "):
        parse_size(wrong)


@pytest.mark.parametrize("wrong", [-5, LARGEST + 1, "2000t"])
def test_what_no_host_has_is_refused(wrong: object) -> None:
    with pytest.raises(ValueError, match="expected a size from 0 to 1024 TiB"):
        parse_size(wrong)


@given(st.integers(0, LARGEST))
def test_a_size_that_is_said_is_read_again_to_four_digits(size: int) -> None:
    said = say_size(size).removesuffix(" bytes")
    assert parse_size(said) == pytest.approx(size, rel=1e-3)


@pytest.mark.parametrize(
    ("size", "text"), [(100, "100 bytes"), (512 << 20, "512 MiB"), (3 << 29, "1.5 GiB")]
)
def test_sizes_are_said_in_the_largest_unit(size: int, text: str) -> None:
    assert say_size(size) == text


def test_settings_read_sizes_and_name_the_variable_that_is_none() -> None:
    settings = load_settings({"AGENTAINER_AGENT_MEMORY": "8g", "AGENTAINER_INLINE_LIMIT": "1k"})
    assert (settings.agent_memory, settings.inline_limit) == (8 << 30, 1024)
    assert load_settings({}).agent_memory is None
    with pytest.raises(SettingsError, match="AGENTAINER_AGENT_MEMORY: expected bytes or a text"):
        load_settings({"AGENTAINER_AGENT_MEMORY": "much"})
    with pytest.raises(SettingsError, match="agent_memory must be above 0"):
        load_settings({}, agent_memory=0)


def test_agents_ask_for_sizes() -> None:
    assert job_spec("image", None, None, limit=9, memory="1g").memory_bytes == 1 << 30
    with pytest.raises(PayloadError, match="deploy_agent: memory: expected bytes or a text"):
        job_spec("image", None, None, limit=9, memory="much")


@pytest.mark.parametrize("command", ["up", "reactors", "launcher"])
def test_commands_refuse_a_memory_that_is_no_size(command: str) -> None:
    done = CliRunner().invoke(app, [command, "--memory", "much"])
    assert done.exit_code == typer.BadParameter.exit_code
    assert "expected bytes or a text like 512m or 8g" in " ".join(done.output.split())
