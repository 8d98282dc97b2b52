"""Dashboard, alerts and guide name metrics and commands that there are."""

from __future__ import annotations

import importlib
import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main

from agentainer_flow.cli.main import app
from agentainer_flow.core.metrics import METRICS, Metric

ROOT = Path(__file__).parents[2]
RULES = ROOT / "deploy/prometheus/alerts.yml"
DASHBOARDS = sorted((ROOT / "deploy/grafana").glob("*.json"))
GUIDE = ROOT / "docs/guides/monitoring.md"

#: What a query may name: histograms are several series.
SERIES: dict[str, Metric] = {
    name: one
    for one in METRICS
    for name in (
        [f"{one.prometheus}_{part}" for part in ("bucket", "count", "sum")]
        if one.kind == "histogram"
        else [one.prometheus]
    )
}


def alerts() -> list[dict[str, Any]]:
    yaml: Any = importlib.import_module("yaml")
    return [
        rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]
    ]


def queries() -> Iterator[tuple[str, str]]:
    """Where each is, and the query."""
    for rule in alerts():
        yield rule["alert"], rule["expr"]
    for path in DASHBOARDS:
        dashboard = json.loads(path.read_text())
        for panel in dashboard["panels"]:
            for target in panel.get("targets", []):
                yield panel["title"], target["expr"]
        for variable in dashboard["templating"]["list"]:
            if variable["type"] == "query":
                yield variable["name"], variable["definition"]


def test_queries_use_series_that_there_are() -> None:
    used = {name for _, query in queries() for name in re.findall(r"\bagentainer_\w+", query)}
    assert used <= set(SERIES)


def test_queries_select_by_labels_that_there_are() -> None:
    for place, query in queries():
        for name, selected in re.findall(r"\b(agentainer_\w+)\{([^}]*)\}", query):
            labels = re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", selected)
            assert set(labels) <= {*SERIES[name].labels, "le"}, place


def test_queries_group_by_labels_that_there_are() -> None:
    for place, query in queries():
        known = {
            label for name in re.findall(r"\bagentainer_\w+", query) for label in _labels(name)
        }
        for grouped in re.findall(r"\bby \(([^)]*)\)", query):
            assert {label.strip() for label in grouped.split(",")} <= known, place


def _labels(name: str) -> set[str]:
    return {*SERIES[name].labels, "le"}


def test_every_metric_is_on_a_dashboard() -> None:
    text = " ".join(path.read_text() for path in DASHBOARDS)
    assert [one.prometheus for one in METRICS if one.prometheus not in text] == []


def test_the_guide_has_every_metric_with_its_labels() -> None:
    rows = dict(re.findall(r"^\| `(agentainer_\w+)` \| (.*) \|$", GUIDE.read_text(), re.MULTILINE))
    expected = {
        one.prometheus: f"{one.kind} | {', '.join(f'`{label}`' for label in one.labels)} "
        f"| {one.text}"
        for one in METRICS
    }
    assert rows == expected


@pytest.mark.parametrize("rule", alerts(), ids=lambda rule: rule["alert"])
def test_an_alert_says_how_bad_it_is_and_what_to_do(rule: dict[str, Any]) -> None:
    assert rule["for"]
    assert rule["labels"]["severity"] in ("critical", "warning")
    assert rule["annotations"]["summary"]
    named = re.findall(r"`agentainer ([^`]+)`", rule["annotations"]["action"])
    assert named
    for command in named:
        assert_command(command.split())


def assert_command(words: list[str]) -> None:
    """It is one of ours, with options that it has."""
    command: Any = typer.main.get_command(app)
    while hasattr(command, "commands"):
        command = command.commands[words.pop(0)]
    known = {option for one in command.params for option in one.opts}
    assert {word for word in words if word.startswith("--")} <= known


def promtool(*arguments: str | Path) -> None:
    """Have Prometheus' tool agree."""
    tool = shutil.which("promtool")
    if tool is None:
        pytest.skip("promtool is not installed")
    done = subprocess.run([tool, *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_prometheus_takes_the_rules() -> None:
    promtool("check", "rules", RULES)


@pytest.mark.parametrize(
    ("alert", "series"),
    [
        ("AgentainerTasksPoisoned", "agentainer_tasks_poisoned_total"),
        ("AgentainerTasksLost", "agentainer_tasks_lost_total"),
        ("AgentainerAgentsCannotStart", 'agentainer_job_launch_seconds_count{result="failed"}'),
        ("AgentainerAppendsFenced", 'agentainer_appends_refused_total{reason="fenced"}'),
    ],
)
def test_what_is_counted_for_the_first_time_alerts_and_ceases(
    alert: str, series: str, tmp_path: Path
) -> None:
    """A counter that begins with 30 has never increased."""
    firing = f'count(ALERTS{{alertname="{alert}", alertstate="firing"}})'
    story: dict[str, Any] = {
        "rule_files": [str(RULES)],
        "tests": [
            {
                "interval": "1m",
                "input_series": [{"series": series, "values": "_x10 30x60"}],
                "promql_expr_test": [
                    {"expr": firing, "eval_time": "17m", "exp_samples": [{"value": 1}]},
                    {"expr": firing, "eval_time": "45m", "exp_samples": []},
                ],
            }
        ],
    }
    (tmp_path / "story.yml").write_text(json.dumps(story))
    promtool("test", "rules", tmp_path / "story.yml")
