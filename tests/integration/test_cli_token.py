"""`agentainer token`: make, list and revoke; and the server that asks for one."""

from __future__ import annotations

from .command import Command


def test_a_token_is_shown_once_and_can_be_revoked(cli: Command) -> None:
    made = cli.ask("token", "create", "deploy", "--scope", "read", "--expires", "30d")
    assert made["token"].startswith(f"agt_{made['id']}_")
    (listed,) = cli.ask("token", "list")
    assert (listed["name"], listed["scope"]) == ("deploy", "read")
    assert "token" not in listed
    assert made["token"] not in cli("token", "list").stdout
    assert cli("token", "revoke", made["id"]).returncode == 0
    assert cli.ask("token", "list") == []


def test_what_is_not_there_or_no_span_is_said(cli: Command) -> None:
    gone = cli("token", "revoke", "nothing")
    assert (gone.returncode, "there is no token 'nothing'" in gone.stderr) == (1, True)
    assert cli("token", "create", "x", "--expires", "soon").returncode == 2


def test_others_are_not_served_without_a_token(cli: Command) -> None:
    refused = cli("serve", "--host", "0.0.0.0", "--port", "0")  # noqa: S104 - what is refused
    assert refused.returncode == 1
    assert "agentainer token create" in refused.stderr
